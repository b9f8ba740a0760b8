"""The private clone that an agent works on."""

from __future__ import annotations

from pathlib import Path

from penstock_adapters.git.desk import Desk, make_bare
from penstock_adapters.git.refs import named
from penstock_adapters.git.target import Target
from penstock_runtime.ports.repositories import Opened

_NAME = "clone.git"


async def make_clone(target: Target, ref: str | None, scratch: Path) -> Opened:
    """Make the clone, and beside it the desk that keeps its objects out of the agent's reach."""
    tip = await named(target, ref)
    desk = Desk.make(scratch, sha256=target.sha256)
    await desk.fetch(target, tip.commit)
    clone = scratch / _NAME
    make_bare(clone, sha256=target.sha256, ref=tip.ref, commit=tip.commit)
    desk.copy_packs(clone / "objects")
    return Opened(clone, tip.ref, tip.commit)
