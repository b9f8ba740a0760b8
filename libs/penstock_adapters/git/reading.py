"""Reading contents out of a clone that an agent had to itself.

Nothing in it is trusted: git is never run in it, links and devices are refused before anything is
opened, and a content counts only if its own bytes give the id it was asked for by.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from penstock_adapters.git.desk import Desk
from penstock_runtime.ports.repositories import BLOB_BYTES_MAX, EffectDiffers, RepositoryRefused

ENTRIES_MAX = 200_000
"""Most files of an object folder that are looked at."""

CONTENT_BYTES_MAX = 32 * 1024 * 1024
"""Most bytes of all contents of one plan."""

_BORROWING = frozenset({"alternates", "http-alternates"})


async def take(clone: Path, wanted: Collection[str], desk: Desk) -> dict[str, bytes]:
    """Read contents by their ids, verify them, and keep them on the desk.

    Raises:
        EffectDiffers: one is missing, or is something else than its id says.
        RepositoryRefused: the clone holds what no git puts there, or the contents are too large.
    """
    objects = clone / "objects"
    _survey(clone, objects)
    names = sorted(set(wanted))
    contents = await contents_of(desk, names, borrowed=objects)
    for name in names:
        if desk.put_blob(contents[name]) != name:
            raise EffectDiffers(f"blob {name[:12]}: its content is another than its id says")
    return contents


async def contents_of(
    desk: Desk, names: Collection[str], borrowed: Path | None = None
) -> dict[str, bytes]:
    """Read blobs that the desk has, or that lie in a borrowed object folder.

    Raises:
        EffectDiffers: one is missing or no blob.
        RepositoryRefused: they are too large.
    """
    if not names:
        return {}
    asked = "".join(f"{name}\n" for name in names).encode("ascii")
    sizes = await desk.call("cat-file", "--batch-check", stdin=asked, borrowed=borrowed)
    _check_sizes(sizes.out.decode("utf-8", "replace").splitlines())
    answer = await desk.call(
        "cat-file",
        "--batch",
        stdin=asked,
        borrowed=borrowed,
        limit=CONTENT_BYTES_MAX + 128 * len(names),
    )
    return split_batch(answer.out)


def _check_sizes(lines: list[str]) -> None:
    whole = 0
    for line in lines:
        name, kind, *rest = line.split(" ")
        if kind != "blob" or len(rest) != 1:
            raise EffectDiffers(f"blob {name[:12]} is not in the clone")
        size = int(rest[0])
        whole += size
        if size > BLOB_BYTES_MAX:
            raise RepositoryRefused(
                f"blob {name[:12]} has {size} bytes, {BLOB_BYTES_MAX} are allowed"
            )
    if whole > CONTENT_BYTES_MAX:
        raise RepositoryRefused(
            f"the files have {whole} bytes together, {CONTENT_BYTES_MAX} are allowed"
        )


def split_batch(batch: bytes) -> dict[str, bytes]:
    """Read `cat-file --batch`: contents by id.

    Raises:
        EffectDiffers: one is missing.
    """
    found: dict[str, bytes] = {}
    place = 0
    while place < len(batch):
        end = batch.index(b"\n", place)
        name, kind, size = batch[place:end].decode("ascii").split(" ")
        if kind != "blob":
            raise EffectDiffers(f"blob {name[:12]} is not in the clone")
        start = end + 1
        found[name] = batch[start : start + int(size)]
        place = start + int(size) + 1
    return found


def _survey(clone: Path, objects: Path) -> None:
    """See that an object folder holds folders and plain files and borrows from nowhere."""
    for folder in (clone, objects):
        if not stat.S_ISDIR(os.lstat(folder).st_mode if folder.exists() else 0):
            raise RepositoryRefused("the agent left no repository")
    queue, seen = [objects], 0
    while queue:
        folder = queue.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if seen > ENTRIES_MAX:
                    raise RepositoryRefused(f"the clone has more than {ENTRIES_MAX} objects")
                if entry.is_dir(follow_symlinks=False):
                    queue.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) or entry.name in _BORROWING:
                    raise RepositoryRefused(
                        f"the clone holds something that is no object: {entry.name}"
                    )
