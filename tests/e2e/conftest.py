"""One running stack for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from penstock_adapters.inline import builtin_manifests
from penstock_testkit.stack import RunningStack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: object) -> AsyncGenerator[RunningStack]:
    """Four services on real servers, with the built-in agents of the inline adapter."""
    folder: Path = tmp_path_factory.mktemp("stack") / "state of it"  # type: ignore[attr-defined]
    async with RunningStack.started(folder, PENSTOCK_SANDBOX="inline") as running:
        for manifest in builtin_manifests():
            await running.register(manifest.to_data())
        yield running
