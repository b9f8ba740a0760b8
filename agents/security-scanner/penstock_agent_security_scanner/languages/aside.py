"""Reading files in a process of its own.

The parsers are native code without limits: a file made for it costs them gigabytes, minutes or the
process. So they run in a child, forked once, with limits on memory and on processor time for each
file. When it dies over a file, that file gives nothing, is counted, and the next has a new child.
"""

import contextlib
import json
import os
import resource
import select
import signal
import struct
from collections.abc import Callable, Iterable

from penstock_agent_security_scanner.catalogue import Rule

Found = Iterable[tuple[Rule, int]]
Read = Callable[[str, str], Found]

CPU_S = 1.5
WALL_S = 20.0
MEMORY_BYTES = 400_000_000
MAX_LOST = 10
_HEADER = struct.Struct("!I")


class Lost(Exception):
    """The child died, or took too long, over a file."""


class Aside:
    """A child that reads one file at a time.

    Attributes:
        lost: Files that were not read because the child died over them.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._child = 0
        self._to = self._from = -1
        self.lost = 0

    def scan(self, kind: str, text: str) -> list[tuple[Rule, int]]:
        """What is found in a text; nothing if reading it costs too much."""
        if self.lost >= MAX_LOST:
            self.lost += 1
            return []
        try:
            if not self._child:
                self._start()
            self._send(self._to, json.dumps([kind, text]).encode())
            answer = self._receive(self._from, WALL_S)
        except (Lost, OSError):
            self.lost += 1
            self.close()
            return []
        return [(Rule(*fields), line) for fields, line in json.loads(answer)]

    def close(self) -> None:
        """End the child, if there is one."""
        if not self._child:
            return
        for end in (self._to, self._from):
            os.close(end)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)
        self._child = 0

    def _start(self) -> None:
        questions, answers = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(questions[1])
            os.close(answers[0])
            self._serve(questions[0], answers[1])
        os.close(questions[0])
        os.close(answers[1])
        self._child, self._to, self._from = child, questions[1], answers[0]

    def _serve(self, questions: int, answers: int) -> None:
        """The child's life: it ends with its parent's end of the pipe, and never returns."""
        try:
            _limit_memory()
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)  # a parser that gives up says so at length
            while True:
                kind, text = json.loads(self._receive(questions, None))
                signal.setitimer(signal.ITIMER_PROF, CPU_S)
                found = [
                    ([rule.name, rule.severity, rule.cwe, rule.message, rule.suggestion], line)
                    for rule, line in self._read(kind, text)
                ]
                signal.setitimer(signal.ITIMER_PROF, 0)
                self._send(answers, json.dumps(found).encode())
        finally:
            os._exit(0)

    @staticmethod
    def _send(end: int, data: bytes) -> None:
        rest = memoryview(_HEADER.pack(len(data)) + data)
        while rest:
            rest = rest[os.write(end, rest) :]

    @staticmethod
    def _receive(end: int, patience_s: float | None) -> bytes:
        def exactly(size: int) -> bytes:
            held = bytearray()
            while len(held) < size:
                if patience_s is not None and not select.select([end], [], [], patience_s)[0]:
                    raise Lost
                data = os.read(end, size - len(held))
                if not data:
                    raise Lost
                held += data
            return bytes(held)

        return exactly(_HEADER.unpack(exactly(_HEADER.size))[0])


def _limit_memory() -> None:
    used = 0
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123
        used = int(pages.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + MEMORY_BYTES
    limit = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
