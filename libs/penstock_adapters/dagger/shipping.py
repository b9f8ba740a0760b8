"""What a task brings to the engine, and what it takes back."""

from __future__ import annotations

import json
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from penstock_adapters.bubblewrap.task import readable_to_all
from penstock_adapters.dagger.documents import Step, chained, innermost
from penstock_adapters.dagger.session import Session
from penstock_runtime.bundles import CACHE_NAMES
from penstock_runtime.ports.sandbox import INSIDE_ROOT, Mount, SandboxSpec

MAX_BUNDLES = 64
"""Agents' folders whose upload is remembered."""

UNDIGESTED = tuple(sorted(f"**/{name}" for name in {*CACHE_NAMES, "*.pyc"}))
"""What an agent's digest does not cover, and so is not brought along."""

SIGNED_ENTRIES = 500
"""Entries of a folder that are looked at to tell whether it has changed."""


class Bundles:
    """Agents' folders as the engine has them, uploaded again when they change."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._ids: OrderedDict[tuple[Path, int], str] = OrderedDict()

    async def mounting(self, session: Session, folder: Path, uid: int) -> Step:
        """Bring an agent's folder to the engine; gives the step that shows it, read-only.

        Raises:
            EngineAway: The engine does not answer.
            Refused: The folder cannot be read.
        """
        found = await self.uploaded(session, folder)
        arguments = {"path": f"{INSIDE_ROOT}/agent", "source": found, "readOnly": True}
        if not readable_to_all(folder):
            arguments["owner"] = f"{uid}:{uid}"
        return "withMountedDirectory", arguments

    async def uploaded(self, session: Session, folder: Path) -> str:
        """Give the id of a folder's copy.

        Raises:
            EngineAway: The engine does not answer.
            Refused: The folder cannot be read.
        """
        if session is not self._session:
            self._session, self._ids = session, OrderedDict()
        signed = signature(folder)
        if signed is None:
            return await upload(session, folder, UNDIGESTED)
        key = (folder, signed)
        if key not in self._ids:
            self._ids[key] = await upload(session, folder, UNDIGESTED)
            while len(self._ids) > MAX_BUNDLES:
                self._ids.popitem(last=False)
        return self._ids[key]


def signature(folder: Path) -> int | None:
    """Tell a folder's state from another one of it; None if it has too many entries."""
    seen: list[tuple[str, int, int, int]] = []
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                seen.append((entry.path, found.st_mtime_ns, found.st_size, found.st_mode))
                if len(seen) > SIGNED_ENTRIES:
                    return None
                if stat.S_ISDIR(found.st_mode):
                    pending.append(entry.path)
    return hash(tuple(sorted(seen)))


async def upload(session: Session, folder: Path, exclude: Sequence[str] = ()) -> str:
    """Bring a folder to the engine as it is now; gives the copy's id.

    Raises:
        EngineAway: The engine does not answer.
        Refused: The folder cannot be read.
    """
    arguments = {"path": str(folder), "noCache": True}
    steps: list[Step] = [("host", {}), ("directory", {**arguments, "exclude": list(exclude)})]
    answer = await session.ask(chained(steps, "id"), session.waits.upload_s)
    return str(innermost(answer, steps)["id"])


async def mounting(session: Session, mount: Mount, uid: int, others: Sequence[Mount]) -> Step:
    """Bring a workspace to the engine; gives the step that mounts it.

    Args:
        session: with the engine.
        mount: the workspace.
        uid: the agent's.
        others: all of the task's mounts. What one of them covers is not brought: it may be
            covered because nobody is to see it.
    """
    covered = [
        other.target.removeprefix(f"{mount.target}/") + "/*"  # the folder itself is mounted on
        for other in others
        if other.target.startswith(f"{mount.target}/")
    ]
    owner = f"{uid}:{uid}"
    if mount.source.is_dir():
        arguments = {"path": mount.target, "source": await upload(session, mount.source, covered)}
        if mount.writable:
            return "withMountedDirectory", {**arguments, "owner": owner}
        if not readable_to_all(mount.source):
            arguments["owner"] = owner
        return "withMountedDirectory", {**arguments, "readOnly": True}
    steps: list[Step] = [("host", {}), ("file", {"path": str(mount.source), "noCache": True})]
    answer = await session.ask(chained(steps, "id"), session.waits.upload_s)
    found = innermost(answer, steps)["id"]
    return "withMountedFile", {"path": mount.target, "source": found, "owner": owner}


async def take_back(session: Session, container: str, mount: Mount) -> None:
    """Bring what the agent made of a workspace back to its place."""
    steps: list[Step] = [
        ("loadContainerFromID", {"id": container}),
        ("directory", {"path": mount.target}),
    ]
    path = json.dumps(str(mount.source), ensure_ascii=False)
    await session.ask(chained(steps, f"export(path: {path}, wipe: true)"), session.waits.upload_s)


async def channel_step(session: Session, path: Path, known: dict[Session, str]) -> Step:
    """Give the step that mounts the one socket on which all first processes call."""
    if session not in known:
        known.clear()
        steps: list[Step] = [("host", {}), ("unixSocket", {"path": str(path)})]
        answer = await session.ask(chained(steps, "id"), session.waits.secret_s)
        known[session] = str(innermost(answer, steps)["id"])
    place = f"{INSIDE_ROOT}/.channel"
    return "withUnixSocket", {"path": place, "source": known[session], "owner": "0:0"}


async def secret_steps(session: Session, spec: SandboxSpec) -> list[Step]:
    """Make secrets known to the engine, which scrubs them from what it prints itself."""
    steps: list[Step] = []
    for name, value in spec.secrets.items():
        setting: list[Step] = [
            ("setSecret", {"name": f"{spec.task_id}-{name}", "plaintext": value})
        ]
        answer = await session.ask(chained(setting, "id"), session.waits.secret_s)
        found = innermost(answer, setting)["id"]
        steps.append(("withSecretVariable", {"name": name, "secret": found}))
    return steps
