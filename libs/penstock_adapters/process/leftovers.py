"""Programs of an executor that was killed: found by a mark in their environment, and ended.

What runs in a namespace of ours ends with us. A git that hangs in somebody's repository, an
engine's client, or an agent without isolation does not: each carries the name of its owner, and
the next executor on the machine ends what belongs to one that is no more.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import ExitStack, suppress
from functools import lru_cache

from penstock_adapters.process.owners import owner_is_gone, owner_tag

OWNER_VARIABLE = "PENSTOCK_OWNED_BY"
"""Names the process that has to outlive the one that carries it."""

TERM_S = 1.0
"""Seconds a leftover has to put its things in order: a git removes its lock files then."""

KILL_S = 2.0


def owned() -> dict[str, str]:
    """The variable for programs that must not outlive this process."""
    return {OWNER_VARIABLE: _mark(os.getpid())}


@lru_cache(maxsize=2)  # our own, and that of a parent we were forked from
def _mark(_pid: int) -> str:
    # A process number means something in its own namespace only.
    return f"{_namespace('self')}-{owner_tag()}"


def end_leftovers() -> int:
    """End every program whose owner is dead: politely, then for good. Waits until they are gone.

    Returns:
        How many there were.
    """
    prefix = f"{OWNER_VARIABLE}={_namespace('self')}-".encode()
    with ExitStack() as stack:
        ends: list[int] = []
        for name in os.listdir("/proc"):
            end = _orphan(name, prefix) if name.isdecimal() else None
            if end is not None:
                stack.callback(os.close, end)
                ends.append(end)
        for number, wait_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            for end in ends:
                with suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(end, number)
            if _gone(ends, wait_s):
                break
        return len(ends)


def _orphan(name: str, prefix: bytes) -> int | None:
    """A pidfd of a process, if it carries the mark of an owner that is dead."""
    try:
        # Opened before it is looked at, so that what is signalled is what was looked at.
        end = os.pidfd_open(int(name))
    except OSError:
        return None
    with suppress(OSError):
        with open(f"/proc/{name}/environ", "rb") as file:
            marks = [part for part in file.read().split(b"\0") if part.startswith(prefix)]
        if marks and owner_is_gone(marks[0][len(prefix) :].decode("ascii", "replace")):
            return end
    os.close(end)
    return None


def _gone(ends: list[int], wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    for end in ends:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        left_ms = max(0.0, until - time.monotonic()) * 1000
        if not poll.poll(left_ms):
            return False
    return True


def _namespace(process: str) -> str:
    return os.readlink(f"/proc/{process}/ns/pid").strip("pid:[]")
