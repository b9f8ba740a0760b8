"""What the agent's processes use, and their end."""

from __future__ import annotations

import os

_PAGE = 4096
_TICKS_PER_S = 100
_SIGKILL = 9
_INODE = 1024  # what the kernel spends on an empty file in memory, name included
_ENTRIES = 200_000  # of a workspace that are measured
_BLOCK = 512  # what `st_blocks` counts


def kill_all() -> None:
    """Kill every process but the container's first."""
    try:
        os.kill(-1, _SIGKILL)
    except ProcessLookupError:
        pass


def used() -> tuple[int, float]:
    """Memory in bytes and CPU seconds of every process but this one."""
    memory, ticks = 0, 0
    own = str(os.getpid())
    for name in os.listdir("/proc"):
        if not name.isdigit() or name in (own, "1"):
            continue
        try:
            with open(f"/proc/{name}/statm", "rb", 0) as file:
                pages = file.read(256).split()
            with open(f"/proc/{name}/stat", "rb", 0) as file:
                fields = file.read(1024).rpartition(b")")[2].split()
        except OSError:
            continue
        memory += (int(pages[1]) - int(pages[2])) * _PAGE
        ticks += int(fields[11]) + int(fields[12])
    return memory, ticks / _TICKS_PER_S


def held(path: str) -> int:
    """Bytes that a scratch area in memory holds, its empty files included."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    blocks = (found.f_blocks - found.f_bfree) * found.f_frsize
    return blocks + (found.f_files - found.f_ffree) * _INODE


def measured(path: str) -> tuple[int, int]:
    """Bytes of the files below a folder, and how many files and folders there are."""
    total, pending, left = 0, [path], _ENTRIES
    while pending and left > 0:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total, _ENTRIES - left


def hidden(folder: str, uid: int) -> int:
    """Bytes of deleted files of a folder that processes of `uid` hold open.

    The kernel shows what a process has open to its own user and not to a root without
    privileges, so this looks as that user. Who hides from its own user is not seen.
    """
    sizes: dict[tuple[int, int], int] = {}
    os.setegid(uid)
    os.seteuid(uid)
    try:
        for pid in os.listdir("/proc"):
            if pid.isdigit() and pid != "1":
                _add_deleted(f"/proc/{pid}/fd", folder, sizes)
    finally:
        os.seteuid(0)
        os.setegid(0)
    return sum(sizes.values())


def _add_deleted(opened: str, folder: str, sizes: dict[tuple[int, int], int]) -> None:
    try:
        names = os.listdir(opened)
    except OSError:
        return
    for name in names:
        try:
            if os.readlink(f"{opened}/{name}").startswith(f"{folder}/"):
                state = os.stat(f"{opened}/{name}")
                if state.st_nlink == 0:
                    sizes[state.st_dev, state.st_ino] = state.st_blocks * _BLOCK
        except OSError:
            continue
