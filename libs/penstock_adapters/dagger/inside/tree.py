"""What the agent's processes use, and their end."""

from __future__ import annotations

import os

_PAGE = 4096
_TICKS_PER_S = 100
_SIGKILL = 9
_INODE = 1024  # what the kernel spends on an empty file in memory, name included
_ENTRIES = 200_000  # of a workspace that are measured


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


def measured(path: str) -> int:
    """Bytes of the files below a folder."""
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
    return total
