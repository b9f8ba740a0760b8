"""A private clone lies on the executor's own disk: it may grow by so much, and is then ended."""

import asyncio
import itertools
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from penstock_runtime.ports.clock import Clock

LOOK_S = 0.5  # between two looks; what is written meanwhile may be over the limit
MAX_ENTRIES = 200_000  # files and folders; each costs an inode, however small it is
BLOCK_BYTES = 512  # what `st_blocks` counts, whatever the file system's own blocks are

T = TypeVar("T")


class Overgrown(Exception):
    """The folder holds more than it may; the message says how much."""


async def within(work: Awaitable[T], folder: Path, extra_bytes: int, clock: Clock) -> T:
    """Await `work` while `folder` grows by at most `extra_bytes`.

    Raises:
        Overgrown: it grew beyond, and the work was cancelled.
    """
    allowed = await asyncio.to_thread(size_of, folder) + extra_bytes
    watch = asyncio.create_task(_overgrown(folder, allowed, clock))
    working = asyncio.ensure_future(work)
    try:
        _ = await asyncio.wait({watch, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        _ = watch.result()
        raise AssertionError("the watch ends by an error only")
    finally:
        for task in (watch, working):
            _ = task.cancel()
        # What was cancelled removes its temporaries first; its error is of no use any more.
        _ = await asyncio.gather(watch, working, return_exceptions=True)


async def _overgrown(folder: Path, allowed: int, clock: Clock) -> None:
    while True:
        await clock.sleep(LOOK_S)
        size = await asyncio.to_thread(size_of, folder)
        if size > allowed:
            raise Overgrown(f"its clone grew to {size} bytes; {allowed} are allowed (`disk_mb`)")


def size_of(folder: Path) -> int:
    """Give the bytes that a folder takes up on the disk; links are not followed.

    Raises:
        Overgrown: there are too many entries, or a folder was locked to hide what is in it.
    """
    total = entries = 0
    folders = [str(folder)]
    while folders:
        for entry in _listed(folders.pop()):
            entries += 1
            if entries > MAX_ENTRIES:
                raise Overgrown(f"its clone has over {MAX_ENTRIES} files and folders")
            try:
                total += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
            except FileNotFoundError:
                continue  # gone since it was listed
    return total


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(itertools.islice(found, MAX_ENTRIES + 1))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Overgrown(f"a folder of its clone cannot be read: {error.strerror}") from error
