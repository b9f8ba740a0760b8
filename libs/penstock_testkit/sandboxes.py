"""Real sandboxes for tests, where this machine can have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.egress import EgressDecision

GRACE_S = 0.5


@asynccontextmanager
async def opened_bubblewrap(
    scratch: Path,
    *,
    readable: Iterable[Path] = (),
    on_egress: Callable[[str, EgressDecision], None] | None = None,
    use_cgroups: bool = True,
    spare: int = 1,
) -> AsyncIterator[BubblewrapSandbox]:
    """A bubblewrap sandbox; skips the test, saying why, where bwrap cannot run."""
    sandbox = BubblewrapSandbox(
        scratch,
        readable=readable,
        on_egress=on_egress,
        grace_s=GRACE_S,
        spare=spare,
        use_cgroups=use_cgroups,
    )
    try:
        health = await sandbox.check()
        if not health.available:
            pytest.skip(f"bubblewrap cannot run here: {health.obstacle}; mend: {health.mend}")
        yield sandbox
    finally:
        await sandbox.close()
