"""Handing a tree over to another uid and back, whatever an agent has made of it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def change_owner(tree: Path, old: int, new: int) -> None:
    """Give what `old` owns in a tree to `new`; follows no link and leaves hard links alone.

    A file with several names may have one outside the tree, where its owner must not change. The
    tree may be nested deeper than a path, a stack or the open descriptors can be: it is gone
    through by steps down and up again, with one folder open at a time. Nobody may rearrange it
    meanwhile.
    """
    parent = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _change(parent, tree.name, old, new)
        if not stat.S_ISDIR(found.st_mode):
            return
        here = os.open(tree.name, _FOLDER, dir_fd=parent)
    finally:
        os.close(parent)
    waiting = [_handed(here, old, new)]  # names of folders that are still to be gone into
    try:
        while True:
            if waiting[-1]:
                below = _step(here, waiting[-1].pop())
                if below is not None:
                    os.close(here)
                    here = below
                    waiting.append(_handed(here, old, new))
                continue
            waiting.pop()
            if not waiting:
                return
            above = os.open("..", _FOLDER, dir_fd=here)
            os.close(here)
            here = above
    finally:
        os.close(here)


def _handed(folder: int, old: int, new: int) -> list[str]:
    """Hand over what lies right in a folder, and name the folders among it."""
    folders: list[str] = []
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(_change(folder, name, old, new).st_mode):
                folders.append(name)
    return folders


def _change(folder: int, name: str, old: int, new: int) -> os.stat_result:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    shared = found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)
    if found.st_uid == old and not shared:
        os.chown(name, new, -1, dir_fd=folder, follow_symlinks=False)
    return found


def _step(folder: int, name: str) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError:
        return None
