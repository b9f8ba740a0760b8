"""A process tree without a namespace around it, recognised by session and by a mark."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from penstock_adapters.process.child import Child
from penstock_adapters.process.proctree import Usage, descendants, measure, stat_fields

MARK = "PENSTOCK_SANDBOX_TASK"
"""Environment variable that marks the processes of one task."""

POLL_S = 0.01
_SESSION_FIELD = 3
_ZOMBIE = "Z"


class MarkedTree:
    """The descendants of a child, and those that left it but still carry its mark or session."""

    def __init__(self, child: Child, mark: str) -> None:
        self._child = child
        self._mark = f"{MARK}={mark}".encode()
        self._peak = 0
        self._cpu_s = 0.0

    def sample(self) -> Usage:
        """Sum what is alive now; peak and CPU time are the most that was seen."""
        if not self._child.ended:
            usage = measure([self._child.pid, *descendants(self._child.pid)])
            self._peak = max(self._peak, usage.memory_bytes)
            self._cpu_s = max(self._cpu_s, usage.cpu_s)
            return Usage(usage.memory_bytes, self._peak, usage.processes, self._cpu_s)
        return Usage(peak_bytes=self._peak, cpu_s=self._cpu_s)

    def terminate(self) -> None:
        """Ask the agent to end."""
        self._child.send(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child, its group, and every process that can be recognised as its own."""
        if not self._child.ended:
            for pid in descendants(self._child.pid):
                _kill(pid)
        self._child.send(signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        for pid in self._strays():
            _kill(pid)

    async def gone(self) -> None:
        """Wait until no recognisable process is left, killing those that appear meanwhile."""
        while strays := self._strays():
            for pid in strays:
                _kill(pid)
            await asyncio.sleep(POLL_S)

    def _strays(self) -> list[int]:
        pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
        return [pid for pid in pids if pid != self._child.pid and self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        fields = stat_fields(pid)
        if fields is None or fields[0] == _ZOMBIE:
            return False
        if int(fields[_SESSION_FIELD]) == self._child.pid:
            return True
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")
        except OSError:
            return False


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
