"""Private folders of running tasks, and the removal of those a dead owner left behind."""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock_adapters.process.leftovers import end_leftovers
from penstock_adapters.process.owners import owner_is_gone, owner_tag

PREFIX = "penstock-sandbox"
HELD_S = 1.0  # that the lock of a dead owner may be held on by what it had begun
_LOOKS = 100
_UNFINISHED = ".new-"

_numbers = itertools.count(1)


def unique_name() -> str:
    """A name nobody else uses: prefix, owner tag and a number."""
    return f"{PREFIX}-{owner_tag()}-{next(_numbers)}"


def owner_is_dead(name: str) -> bool:
    """Whether a name made by `unique_name` belongs to a process that is no more."""
    parts = name.removeprefix(f"{PREFIX}-").split("-")
    if not name.startswith(f"{PREFIX}-") or len(parts) != 3:
        return False
    return owner_is_gone(f"{parts[0]}-{parts[1]}")


class Scratch:
    """A 0700 folder of this process below `parent`, with one folder per task.

    Programs and folders of owners that are no more are removed first. An owner in another container
    cannot be seen from here, so a lock on the folder itself tells that its owner lives; where there
    is such a folder, this takes `HELD_S`.

    Args:
        parent: of the folder.
        wait: seconds, while a lock may still be let go.
    """

    def __init__(self, parent: Path, *, wait: Callable[[float], None] = time.sleep) -> None:
        end_leftovers()  # before their folders: they may still write there
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(parent, wait)
        self.root = parent / unique_name()
        unfinished = parent / f"{_UNFINISHED}{self.root.name}"  # which nobody sweeps
        unfinished.mkdir(mode=0o700)
        self._lock = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unfinished.rename(self.root)

    def task_folder(self) -> Path:
        """Make a fresh private folder."""
        folder = self.root / str(next(_numbers))
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a task's folder, whatever the agent put there."""
        remove_tree(folder)

    def close(self) -> None:
        """Remove everything."""
        remove_tree(self.root)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def sweep(parent: Path, wait: Callable[[float], None] = time.sleep) -> None:
    """Remove folders of owners that are no more.

    A child that a dead owner has forked holds its lock, as every descriptor, until it has come to
    its `exec`: such a lock is waited for, `HELD_S` for all folders together. Where it is held on,
    its owner lives in another container, and the folder stays.

    Args:
        parent: of the folders.
        wait: seconds, between two looks.
    """
    left = [parent / entry for entry in os.listdir(parent) if owner_is_dead(entry)]
    for _ in range(_LOOKS):
        left = [folder for folder in left if not _is_removed(folder)]
        if not left:
            return
        wait(HELD_S / _LOOKS)


def _is_removed(folder: Path) -> bool:
    """Remove a folder unless somebody holds its lock."""
    if _is_held(folder):
        return False
    remove_tree(folder)
    return True


def _is_held(folder: Path) -> bool:
    """Tell whether somebody anywhere on this machine holds the folder's lock."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def remove_tree(folder: Path) -> None:
    """Remove a tree even if folders in it were made unwritable; never follows links.

    What an agent left may be nested deeper than a path or a stack can be: folders inside are
    moved up to the top before they are emptied, so that no depth matters.
    """
    if folder.is_symlink():
        return
    with suppress(OSError):
        os.chmod(folder, 0o700)
    waiting = [str(folder)]
    while waiting:
        current = waiting.pop()
        waiting += _emptied(current, str(folder))
        with suppress(OSError):  # the top one holds the others until the end
            os.rmdir(current)
    with suppress(OSError):
        os.rmdir(folder)


def _emptied(folder: str, top: str) -> list[str]:
    """Remove the files of a folder and move its folders up; gives where those are now."""
    moved: list[str] = []
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            with suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)  # a folder that is not writable cannot be moved
                place = os.path.join(top, f".removed-{next(_numbers)}")
                os.rename(entry.path, place)
                moved.append(place)
    return moved
