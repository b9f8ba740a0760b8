"""Repositories and temporaries that keep what they are asked for; no git is involved."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from penstock_adapters.process.scratch import remove_tree
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.repositories import (
    BACKUP_REFS,
    GitPlan,
    Landed,
    Opened,
    OutOfTime,
    ProposedFiles,
)

REF = "refs/heads/main"
TIP = "1" * 40
COMMIT = "2" * 40


class KeptRepositories:
    """Fulfils the port `Repositories`: notes every call, and raises what a test has put in.

    Attributes:
        calls: names of the calls, in order.
        faults: what a call of that name raises, once.
        hold: while unset, `land` waits.
        rollback: the script that a landing gives.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, Exception] = {}
        self.refs: list[str | None] = []
        self.landed: list[tuple[str, list[tuple[str, str]]]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.rollback = f"#!/bin/sh\ngit reset {TIP}\n"

    async def open(self, path: Path, ref: str | None, scratch: Path) -> Opened:
        """Make an empty folder."""
        self._called("open")
        self.refs.append(ref)
        clone = scratch / "clone"
        clone.mkdir()
        return Opened(clone, ref or REF, TIP)

    async def plan(self, path: Path, opened: Opened, proposed: ProposedFiles) -> GitPlan:
        """Give a plan of the proposed files."""
        self._called("plan")
        files = [{"path": file.path, "new": file.blob} for file in proposed.files]
        effect = {"kind": "git", "ref": opened.ref, "message": proposed.message, "files": files}
        base = {"ref": opened.ref, "commit": opened.commit, "files": {}}
        return GitPlan(effect, base)

    async def check(self, path: Path, effect: JsonObject, base: JsonObject) -> None:
        """Find everything as planned."""
        self._called("check")

    async def land(
        self,
        path: Path,
        opened: Opened,
        effect: JsonObject,
        base: JsonObject,
        key: str,
        trailers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        in_time: Callable[[], bool] = lambda: True,
    ) -> Landed:
        """Say that it was landed."""
        self._called("land")
        _ = await self.hold.wait()
        if not in_time():
            raise OutOfTime("too late")
        lines = trailers.items() if isinstance(trailers, Mapping) else trailers
        self.landed.append((key, list(lines)))
        return Landed(COMMIT, TIP, f"{BACKUP_REFS}{key}", self.rollback)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        fault = self.faults.pop(name, None)
        if fault is not None:
            raise fault


class FolderTemporaries:
    """Fulfils the executor's port of temporaries below a folder of the test."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.made: list[Path] = []

    def task_folder(self) -> Path:
        """Make a numbered folder."""
        folder = self._parent / f"task-{len(self.made)}"
        folder.mkdir(parents=True)
        self.made.append(folder)
        return folder

    async def remove(self, folder: Path) -> None:
        """Remove it with all that a fake puts there."""
        await asyncio.to_thread(remove_tree, folder)
