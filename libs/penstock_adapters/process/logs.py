"""Delivery of what an agent prints: live, line by line, bounded in every direction."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Literal

from penstock_runtime.ports.sandbox import LOG_KILL_FACTOR, LOG_LINE_BYTES, LogLine

READ_BYTES = 64 * 1024
"""Bytes read from a pipe at once."""

_CONTINUATION_MASK, _CONTINUATION = 0xC0, 0x80  # UTF-8 bytes that must not begin a piece


class LogBudget:
    """What stdout and stderr of one task may print together.

    The first `limit` bytes are delivered, the rest is dropped; beyond `LOG_KILL_FACTOR` times
    as much `on_flood` is called once.
    """

    def __init__(self, limit: int, on_flood: Callable[[], None]) -> None:
        self._left = limit
        self._until_flood = limit * LOG_KILL_FACTOR
        self._on_flood = on_flood
        self.truncated = False
        self.flooded = False

    def take(self, data: bytes) -> bytes:
        """Return the part of `data` that may still be delivered."""
        self._until_flood -= len(data)
        if self._until_flood < 0 and not self.flooded:
            self.flooded = True
            self._on_flood()
        kept = data[: self._left]
        self._left -= len(kept)
        self.truncated = self.truncated or len(kept) < len(data)
        return kept


class LogLines:
    """Cuts what one stream prints into lines and delivers them."""

    def __init__(
        self,
        stream: Literal["stdout", "stderr"],
        budget: LogBudget,
        on_log: Callable[[LogLine], None],
    ) -> None:
        self._stream: Literal["stdout", "stderr"] = stream
        self._budget = budget
        self._on_log = on_log
        self._pending = b""
        self.last_line = ""

    def feed(self, data: bytes) -> None:
        """Take in what was printed."""
        kept = self._budget.take(data)
        if kept:
            *lines, rest = (self._pending + kept).split(b"\n")
            for line in lines:
                self._deliver(self._pieces(line))
            self._pending = self._pieces(rest)

    def end(self) -> None:
        """Deliver the unfinished last line."""
        if self._pending:
            rest, self._pending = self._pending, b""
            self._deliver(rest)

    def _pieces(self, line: bytes) -> bytes:
        """Deliver full pieces of an over-long line and return what is left of it."""
        while len(line) > LOG_LINE_BYTES:
            cut = LOG_LINE_BYTES
            while cut > LOG_LINE_BYTES - 4 and line[cut] & _CONTINUATION_MASK == _CONTINUATION:
                cut -= 1
            self._deliver(line[:cut])
            line = line[cut:]
        return line

    def _deliver(self, line: bytes) -> None:
        text = line.removesuffix(b"\r").decode("utf-8", errors="replace")
        self.last_line = text
        self._on_log(LogLine(self._stream, text, time.time_ns() // 1000))


class LogPump:
    """Reads one pipe on the event loop and hands out its lines."""

    def __init__(self, fd: int, lines: LogLines, budget: LogBudget) -> None:
        self._fd = fd
        self._lines = lines
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self._loop.add_reader(fd, self._read)

    @property
    def last_line(self) -> str:
        """The last line delivered."""
        return self._lines.last_line

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.stop()
            return
        self._lines.feed(data)
        if self._budget.flooded:
            self.stop()

    def stop(self) -> None:
        """Stop reading and deliver the unfinished last line."""
        if self.ended.is_set():
            return
        self._loop.remove_reader(self._fd)
        self.ended.set()
        self._lines.end()
