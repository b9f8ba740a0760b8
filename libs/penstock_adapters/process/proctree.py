"""Sums over a process tree read from /proc, for limits no cgroup enforces."""

from __future__ import annotations

import os
from dataclasses import dataclass

TREE_BOUND = 20_000
"""Processes visited in one walk; a tree beyond it is over any limit anyway."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree uses.

    `memory_bytes` is now and `peak_bytes` the most seen so far; `cpu_s` counts from its start;
    `oom` is true once the kernel killed a process of the tree at its memory limit.
    """

    memory_bytes: int = 0
    peak_bytes: int = 0
    processes: int = 0
    cpu_s: float = 0.0
    oom: bool = False


def descendants(root: int) -> list[int]:
    """List the living descendants of a process, nearest first; the process itself excluded."""
    found: list[int] = []
    queue = [root]
    while queue and len(found) < TREE_BOUND:
        children = _children(queue.pop(0))
        found.extend(children)
        queue.extend(children)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                children.extend(int(child) for child in file.read().split())
    except OSError:  # it ended while being read
        pass
    return children


def measure(pids: list[int]) -> Usage:
    """Sum memory, threads and CPU time of processes; those that have ended count nothing."""
    memory = threads = 0
    cpu_s = 0.0
    for pid in pids:
        fields = stat_fields(pid)
        if fields is None:
            continue
        memory += int(fields[21]) * _PAGE_BYTES
        threads += int(fields[17])
        cpu_s += sum(int(value) for value in fields[11:15]) / _TICKS
    return Usage(memory_bytes=memory, peak_bytes=memory, processes=threads, cpu_s=cpu_s)


def stat_fields(pid: int) -> list[str] | None:
    """Fields 3 and following of /proc/PID/stat (state first), None if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot: with the pid it names it for ever."""
    fields = stat_fields(pid)
    return None if fields is None else fields[19]
