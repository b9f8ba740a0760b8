"""What tests of whole stacks share: one running stack a module, and what agents work on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.inline import builtin_manifests
from penstock_testkit.stack import RunningStack
from tests.e2e.bundles import open_place
from tests.e2e.hands import Hands, make_repository


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: object) -> AsyncGenerator[RunningStack]:
    """Four services on real servers, with the built-in agents of the inline adapter."""
    folder: Path = tmp_path_factory.mktemp("stack") / "state of it"  # type: ignore[attr-defined]
    async with RunningStack.started(folder, PENSTOCK_SANDBOX="inline") as running:
        for manifest in builtin_manifests():
            await running.register(manifest.to_data())
        yield running


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that agents under another uid may be shown."""
    with open_place() as name:
        yield Path(name)


@pytest.fixture
def repository(place: Path) -> Path:
    """A small repository with one commit, for one test."""
    number = len(list((place / "work").iterdir()))
    return make_repository(place / "work" / f"repository-{number}")


@pytest_asyncio.fixture(loop_scope="module")
async def hands(both: tuple[RunningStack, Hands]) -> Hands:
    """The executor beside a module's stack, running whatever an earlier test did to it."""
    await both[1].start()
    return both[1]
