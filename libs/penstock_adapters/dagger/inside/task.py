"""One task: the tree of its processes from its start to its end."""

from __future__ import annotations

import os
import time

from .agent import ARTIFACTS, WORK, become_agent, place_files
from .egress import open_way
from .speech import Channel, Tape
from .tree import held, hidden, kill_all, measured, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GROWTH_LOOKS = 10  # a workspace is measured once a second: it may have many files
_PIECE_BYTES = 64 * 1024
_BURIAL_S = 5.0
_SIGTERM, _SIGKILL, _SIGNALLED = 15, 9, 128


class Task:
    """The agent's processes: all but this one."""

    def __init__(self, order: dict[str, Any], speech: Channel | Tape) -> None:
        self._order = order
        self._speech = speech
        self._cpu_s = 0.0
        self.peak = 0
        self.code: int | None = None
        self.stop = b"-"
        self._looks = 0
        self._grown_from = [measured(path)[0] for path, _, _ in order["growing"]]
        self.output = place_files(order)
        out, self._out = os.pipe(), -1
        err = os.pipe()
        if order["egress"]:
            open_way(order["uid"], order["egress"])
        self.pid = os.fork()
        if self.pid == 0:
            become_agent(order, out[1], err[1])
        os.close(out[1])
        os.close(err[1])
        self.pipes = {out[0]: b"O", err[0]: b"E"}

    def read(self, fd: int) -> None:
        """Pass on what the agent printed."""
        data = os.read(fd, _PIECE_BYTES)
        if data:
            self._speech.say(self.pipes[fd], data)
        else:
            os.close(fd)
            del self.pipes[fd]

    def reap(self) -> None:
        """Take note of processes that have ended."""
        while True:
            try:
                pid, status, usage = os.wait3(os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._cpu_s += usage.ru_utime + usage.ru_stime
            self.peak = max(self.peak, usage.ru_maxrss * 1024)
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else _SIGNALLED - code

    def end(self, reason: bytes) -> None:
        """Kill everything, for a reason; the first one counts."""
        if self.stop == b"-":
            self.stop = reason
        kill_all()

    def terminate(self) -> None:
        """Ask the agent to end."""
        if self.code is None:
            os.kill(self.pid, _SIGTERM)

    def look(self) -> None:
        """Hold the whole tree to its limits."""
        memory, cpu_s = used()
        self.peak = max(self.peak, memory)
        memory += sum(held(path) for path in ("/tmp", WORK, "/dev/shm"))
        if memory > self._order["memory"]:
            self.end(b"M")
        elif self._cpu_s + cpu_s > self._order["cpu_s"]:
            self.end(b"C")
        self._looks += 1
        if self._looks % _GROWTH_LOOKS == 0:
            self.look_at_growth()

    def look_at_growth(self) -> None:
        """Hold the workspaces to what they may grow by."""
        growing = self._order["growing"]
        for (path, bound, most), before in zip(growing, self._grown_from, strict=True):
            size, entries = measured(path)
            if path == ARTIFACTS:
                size += hidden(path, self._order["uid"])
            if size - before > bound or entries > most > 0:
                self.end(b"A" if path == ARTIFACTS else b"G")

    def bury(self) -> None:
        """Leave no process, pass on what is left in the pipes, and tell the end."""
        deadline = time.monotonic() + _BURIAL_S
        while time.monotonic() < deadline:
            kill_all()
            self.reap()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                break
        for fd in tuple(self.pipes):
            os.set_blocking(fd, False)
            while fd in self.pipes:
                try:
                    self.read(fd)
                except BlockingIOError:
                    break
        self.look_at_growth()
        self._speech.say(b"X", self._ending())

    def _ending(self) -> bytes:
        limit = self._order["output_bytes"]
        size = os.fstat(self.output).st_size
        state, data = b"P", b""
        if size > limit:
            state = b"L"
        else:
            data = os.pread(self.output, limit, 0)
        code = _SIGNALLED + _SIGKILL if self.code is None else self.code
        numbers = (code, int(self._cpu_s * 1e6), self.peak)
        return self.stop + state + b"".join(n.to_bytes(8, "big") for n in numbers) + data
