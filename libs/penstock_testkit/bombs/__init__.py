"""Agents that take all they can get of one thing, in Python and in C, and how each has to end.

Where the kernel refuses, a bomb answers how much it got and ends well; else it is ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from penstock_runtime.ports.sandbox import ExitReason, Limits

MIB = 1024 * 1024
SOURCE = Path(__file__).with_name("bombs.c")

LIMITS = Limits(
    memory_bytes=48 * MIB,
    processes=16,
    cpu_s=30,
    wall_s=1.5,
    output_bytes=64 * 1024,
    log_bytes=64 * 1024,
    disk_bytes=8 * MIB,
    open_files=64,
)
"""Of every bomb; its time is what those run into that nothing else ends."""

_PRELUDE = """
import os, sys, signal, time
told = os.open(os.environ['PENSTOCK_OUTPUT'], os.O_WRONLY)  # there may be none left later
def give(count):
    os.write(told, str(count).encode())
    os._exit(0)
block = b'x' * (1 << 20)
work = os.environ['PENSTOCK_WORK']
print('up', flush=True)
"""


@dataclass(frozen=True, slots=True)
class Bomb:
    """One of them; `bombs.c` has one of the same name.

    Attributes:
        name: short, and a test's name.
        aim: what it does, as the table says it.
        code: of the agent in Python.
        ends: reasons with which it may end.
        most: the largest answer of one that ends well; None where the limit is another's.
    """

    name: str
    aim: str
    code: str
    ends: frozenset[ExitReason]
    most: int | None = None

    def program(self) -> str:
        """The agent in Python."""
        return _PRELUDE + self.code


def _of(*reasons: ExitReason) -> frozenset[ExitReason]:
    return frozenset(reasons)


_WELL = ExitReason.EXITED
_TOO_MANY = _of(ExitReason.TIMEOUT, ExitReason.SIGNALLED, ExitReason.MEMORY)
"""Held at the limit until the time is over, or ended by the watchdog for going beyond."""

BOMBS = (
    Bomb(
        "memory",
        "takes memory",
        "held = []\ntry:\n while True: held.append(bytearray(block))\n"
        "except MemoryError:\n count = len(held)\n del held\n give(count)",
        _of(ExitReason.MEMORY, _WELL),  # ends well where a watchdog has the kernel behind it
        4 * LIMITS.memory_bytes // MIB,
    ),
    Bomb(
        "forks",
        "starts processes without end",
        "while True:\n try: os.fork()\n except OSError: time.sleep(0.001)",
        _TOO_MANY,
    ),
    Bomb(
        "threads",
        "starts threads without end",
        "import threading\nthreading.stack_size(65536)\ncount = 1\n"
        "try:\n while True:\n  threading.Thread(target=signal.pause, daemon=True).start()\n"
        "  count += 1\n"
        "except RuntimeError: give(count)",
        _of(_WELL, ExitReason.SIGNALLED, ExitReason.MEMORY),
        LIMITS.processes,
    ),
    Bomb(
        "spin",
        "keeps every processor busy",
        "for _ in range(15):\n if os.fork() == 0: break\nwhile True: pass",
        _TOO_MANY,
    ),
    Bomb(
        "descriptors",
        "opens files without end",
        "count = 0\ntry:\n while True: os.open('/dev/null', 0); count += 1\n"
        "except OSError: give(count)",
        _of(_WELL),
        LIMITS.open_files,
    ),
    Bomb(
        "pipes",
        "fills pipes",
        "import fcntl\nheld = 0\ntry:\n while True:\n"
        "  _, end = os.pipe()\n  os.set_blocking(end, False)\n"
        "  try:\n   fcntl.fcntl(end, 1031, 1 << 20)\n  except OSError: pass\n"
        "  try:\n   while True: held += os.write(end, block)\n  except BlockingIOError: pass\n"
        "except OSError: give(held)",
        _of(_WELL, ExitReason.MEMORY, ExitReason.TIMEOUT),
        LIMITS.open_files * MIB,
    ),
    Bomb(
        "disk",
        "writes files without end",
        "held = 0\ntry:\n for number in range(64):\n"
        "  held += os.write(os.open(f'{work}/d{number}', 65), block)\n"
        "except OSError: pass\ngive(held)",
        _of(_WELL),
        LIMITS.disk_bytes,
    ),
    Bomb(
        "sparse",
        "makes a file of a terabyte",
        "fd = os.open(f'{work}/sparse', os.O_RDWR | os.O_CREAT)\n"
        "try: os.ftruncate(fd, 1 << 40); give(1)\nexcept OSError: pass\n"
        "try: os.pwrite(fd, b'x', 1 << 40); give(1)\nexcept OSError: give(0)",
        _of(_WELL),
        0,
    ),
    Bomb(
        "inodes",
        "makes empty files without end",
        "count = 0\ntry:\n while True: os.close(os.open(f'{work}/i{count}', 65)); count += 1\n"
        "except OSError: give(count)",
        _of(_WELL, ExitReason.MEMORY, ExitReason.TIMEOUT),
    ),
    Bomb(
        "folders",
        "nests folders twenty thousand deep",
        "os.chdir(work)\ndepth = 0\ntry:\n"
        " for depth in range(20000): os.mkdir('d' * 39); os.chdir('d' * 39)\n"
        "except OSError: pass\ngive(depth)",
        _of(_WELL, ExitReason.MEMORY, ExitReason.TIMEOUT),
    ),
    Bomb(
        "arguments",
        "starts a program with huge arguments",
        "try: os.execv('/bin/true', ['true', 'a' * (8 << 20)])\n"
        "except OSError as error: give(0 if error.errno == 7 else 1)",
        _of(_WELL, ExitReason.MEMORY),
        0,
    ),
    Bomb(
        "lines",
        "prints a line without an end",
        "while True: os.write(1, block)",
        _of(ExitReason.LOG_LIMIT),
    ),
    Bomb(
        "newlines",
        "prints empty lines without end",
        "block = b'\\n' * (1 << 20)\nwhile True: os.write(2, block)",
        _of(ExitReason.LOG_LIMIT),
    ),
    Bomb(
        "output",
        "makes its output document huge",
        "fd = os.open(os.environ['PENSTOCK_OUTPUT'], os.O_WRONLY)\nsize = 1 << 40\n"
        "while True:\n try: os.ftruncate(fd, size); break\n except OSError: size //= 2\n"
        "os._exit(0)",
        _of(ExitReason.OUTPUT_TOO_LARGE),
    ),
    Bomb(
        "files-in-memory",
        "keeps files in memory that have no name",
        "held = 0\ntry:\n while True:\n  fd = os.memfd_create('m')\n"
        "  for _ in range(7): held += os.write(fd, block)\n"
        "except OSError: give(held)",
        _of(ExitReason.MEMORY, _WELL, ExitReason.TIMEOUT),
        LIMITS.open_files * LIMITS.disk_bytes,
    ),
)


def names_in_c() -> tuple[str, ...]:
    """The bombs that the agent in C knows, in its order."""
    return tuple(re.findall(r'\{"([a-z0-9-]+)", \w+\}', SOURCE.read_text(encoding="utf-8")))
