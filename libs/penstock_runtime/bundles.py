"""Agents as folders: what a bundle is, and its digest.

A bundle's digest is SHA-256 over its files in the order of their relative POSIX paths: for each
the length-prefixed path, one byte that says what it is (`f`, `x` for executable, `l` for a link)
and the length-prefixed content (of a link: its target). Caches are left out, everything else
counts. The same folder has the same digest on every machine.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock_contracts.agent.v1 import AgentManifest
from penstock_runtime.faults import PenstockFault

MANIFEST_NAME = "agent.yaml"
CACHE_NAMES = frozenset(
    {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis", ".git"}
)
MAX_BUNDLE_FILES = 10_000
MAX_BUNDLE_BYTES = 256 * 1024 * 1024
_READ_BYTES = 1024 * 1024


class BundleFault(PenstockFault):
    """A folder that is no usable bundle; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An agent at hand.

    Attributes:
        manifest: with `bundle` filled in (None for a built-in agent).
        digest: of manifest and bundle together; what tasks and the catalog name.
        folder: None for a built-in agent of the inline adapter.
    """

    manifest: AgentManifest
    digest: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a scan found: bundles by agent name, and what could not be read, one sentence each."""

    bundles: Mapping[str, Bundle] = field(default_factory=dict[str, Bundle])
    faults: Sequence[str] = ()


class Bundles(Protocol):
    """The agents this machine can run."""

    async def find(self, agent: str, digest: str) -> Bundle | None:
        """Give the agent as it is now, looking again if it is absent or has changed.

        The caller compares `digest`; an agent with another one is given so that it can be named.
        """
        ...

    async def discover(self) -> Discovery:
        """Look at everything again."""
        ...


def bundle_files(folder: Path) -> Sequence[str]:
    """Give the relative POSIX paths of all files of a bundle, sorted.

    Raises:
        BundleFault: there are too many, or the folder cannot be read.
    """
    found: list[str] = []
    _collect(folder, "", found)
    return sorted(found)


def _collect(folder: Path, prefix: str, found: list[str]) -> None:
    try:
        with os.scandir(folder) as entries:
            listed = list(entries)
    except OSError as error:
        raise BundleFault(f"{folder}: {error.strerror}") from error
    for entry in listed:
        if entry.name in CACHE_NAMES or entry.name.endswith(".pyc"):
            continue
        if entry.is_dir(follow_symlinks=False):
            _collect(folder / entry.name, f"{prefix}{entry.name}/", found)
        else:
            found.append(f"{prefix}{entry.name}")
        if len(found) > MAX_BUNDLE_FILES:
            raise BundleFault(f"{folder}: more than {MAX_BUNDLE_FILES} files")


def bundle_stamp(folder: Path) -> int:
    """Give a number that changes when a file of the bundle is changed, added or removed.

    Cheap: it looks at sizes and times, not at contents.

    Raises:
        BundleFault: the folder cannot be read.
    """
    seen: list[tuple[str, int, int, int]] = []
    for name in bundle_files(folder):
        try:
            state = (folder / name).lstat()
        except OSError as error:
            raise BundleFault(f"{folder / name}: {error.strerror}") from error
        seen.append((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return hash(tuple(seen))


def bundle_digest(folder: Path) -> str:
    """Give the digest of a bundle as `sha256:<hex>`.

    Raises:
        BundleFault: the folder is too large, or something in it cannot be read.
    """
    digest = hashlib.sha256(b"penstock.bundle.v1\x00")
    total = 0
    for name in bundle_files(folder):
        path = folder / name
        try:
            kind, size, content = _content(path)
            total += size
            if total > MAX_BUNDLE_BYTES:
                raise BundleFault(f"{folder}: more than {MAX_BUNDLE_BYTES} bytes")
            raw = name.encode()
            digest.update(len(raw).to_bytes(4, "big") + raw + kind)
            digest.update(size.to_bytes(8, "big"))
            for part in content:
                digest.update(part)
        except OSError as error:
            raise BundleFault(f"{path}: {error.strerror}") from error
    return f"sha256:{digest.hexdigest()}"


def _content(path: Path) -> tuple[bytes, int, Iterable[bytes]]:
    if path.is_symlink():
        target = str(path.readlink()).encode()
        return b"l", len(target), (target,)
    if not path.is_file():
        raise BundleFault(f"{path}: neither a file, a folder nor a link")
    state = path.stat()
    return (b"x" if state.st_mode & 0o100 else b"f"), state.st_size, _read(path, state.st_size)


def _read(path: Path, size: int) -> Iterable[bytes]:
    left = size
    with path.open("rb") as source:
        while left > 0:
            part = source.read(min(_READ_BYTES, left))
            if not part:
                raise BundleFault(f"{path}: changed while it was read")
            left -= len(part)
            yield part
