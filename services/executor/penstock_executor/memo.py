"""The digest of all that the result of a memoised agent depends on."""

import asyncio
import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from penstock_core.workflow.canonical import canonical_digest
from penstock_executor.workspaces import Shown
from penstock_runtime.bundles import Bundle
from penstock_runtime.ports.sandbox import Limits, Mount

MAX_ENTRIES = 20_000  # files, folders and links of all workspaces of a task together
MAX_BYTES = 256 * 1024 * 1024  # of these files
_READ_BYTES = 1024 * 1024
_FORMAT = "penstock.memo.v1"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not hold it up


class _Undigested(Exception):
    """A folder has no digest: it is too large, changes, or holds what cannot be read."""


async def memo_of(bundle: Bundle, shown: Shown, limits: Limits) -> str | None:
    """Give the digest; None where it would cost too much or cannot be said.

    Args:
        bundle: whose digest covers the manifest and all files of the agent.
        shown: the input and the folders as the agent sees them.
        limits: as the manifest has them; the time that is left to a task changes no result.
    """
    try:
        workspaces = await asyncio.to_thread(_workspaces, shown.mounts)
        return canonical_digest(
            {
                "format": _FORMAT,
                "agent": bundle.digest,
                "image": bundle.manifest.image,
                "input": shown.input,
                "workspaces": dict(workspaces),
                "limits": asdict(limits),
            }
        )
    except (_Undigested, OSError, ValueError):  # ValueError: an input without a canonical form
        return None


def _workspaces(mounts: Sequence[Mount]) -> Sequence[tuple[str, str]]:
    budget = _Budget()
    found: list[tuple[str, str]] = []
    for mount in mounts:
        inside = f"{mount.target}/"
        covered = {
            other.target.removeprefix(inside) for other in mounts if other.target.startswith(inside)
        }
        found.append((mount.target, _folder_digest(mount.source, covered, budget)))
    return found


class _Budget:
    """What may still be looked at for one task."""

    def __init__(self) -> None:
        self._entries = MAX_ENTRIES
        self._bytes = MAX_BYTES

    def list_one(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise _Undigested

    def read(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise _Undigested


def _folder_digest(folder: Path, covered: Collection[str], budget: _Budget) -> str:
    """Digest paths, modes and contents; owners and times do not count.

    Args:
        folder: what is shown.
        covered: relative paths over which something else is mounted.
        budget: shared by all folders of the task.
    """
    digest = hashlib.sha256(folder.stat().st_mode.to_bytes(4, "big"))
    for name in _names(folder, "", covered, budget):
        path = folder / name
        state = path.lstat()
        kind = stat.S_IFMT(state.st_mode)
        digest.update(_framed(os.fsencode(name)))
        digest.update(state.st_mode.to_bytes(4, "big"))
        if kind == stat.S_IFLNK:
            digest.update(_framed(os.fsencode(path.readlink())))
        elif kind == stat.S_IFREG:
            budget.read(state.st_size)
            digest.update(state.st_size.to_bytes(8, "big"))
            for part in _content(path, state.st_size):
                digest.update(part)
        elif kind != stat.S_IFDIR:
            raise _Undigested
    return digest.hexdigest()


def _names(folder: Path, prefix: str, covered: Collection[str], budget: _Budget) -> Iterator[str]:
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in listed:
        budget.list_one()
        place = f"{prefix}{name}"
        yield place
        if is_folder and place not in covered:
            yield from _names(folder / name, f"{place}/", covered, budget)


def _framed(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Give a file's bytes, as many as it said; another kind in its place is never waited for."""
    number = os.open(path, _OPEN)
    with os.fdopen(number, "rb") as source:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise _Undigested
        while size > 0:
            part = source.read(min(_READ_BYTES, size))
            if not part:
                raise _Undigested
            size -= len(part)
            yield part
