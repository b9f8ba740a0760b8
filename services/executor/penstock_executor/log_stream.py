"""An agent's lines on their way to whoever watches: redacted, in batches, bounded."""

from collections.abc import Callable
from typing import Literal

from penstock_contracts.values import TimeUs
from penstock_executor.redaction import Redactor
from penstock_runtime.ports.bus import Outgoing
from penstock_runtime.ports.sandbox import LogLine

MAX_LINES = 64  # in one message; the pulse sends what is fewer after at most 100 ms

Compose = Callable[[int, TimeUs, tuple[tuple[str, str], ...]], Outgoing]
"""Makes the message from the first line's number, its time, and pairs of stream and text."""
Post = Callable[[Outgoing], bool]


class LogStream:
    """The lines of one task, in order.

    Attributes:
        printed: lines the agent printed so far.
        dropped: of them, those for which there was no room.
        last_line: the last one, redacted.
    """

    def __init__(self, compose: Compose, post: Post, redact: Redactor) -> None:
        self._compose = compose
        self._post = post
        self._redact = redact
        self._lines: list[tuple[Literal["stdout", "stderr"], str]] = []
        self._at_us = 0
        self.printed = 0
        self.dropped = 0
        self.last_line = ""

    def write(self, line: LogLine) -> None:
        """Take a line; never waits."""
        text = self._redact.text(line.text)
        if not self._lines:
            self._at_us = line.at_us
        self._lines.append((line.stream, text))
        self.printed += 1
        if text.strip():
            self.last_line = text
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if not self._lines:
            return
        lines, self._lines = tuple(self._lines), []
        if not self._post(self._compose(self.printed - len(lines), self._at_us, lines)):
            self.dropped += len(lines)
