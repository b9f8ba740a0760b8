"""An agent's lines on their way to whoever watches: redacted, in batches, bounded."""

from collections.abc import Callable
from typing import Literal

from penstock_contracts.values import JsonObject, TimeUs
from penstock_executor.redaction import Redactor
from penstock_executor.said import PARTIAL, PIECE_BYTES, Kind, Said, Sayings
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
        partial: what the agent said last that it has so far, redacted.
    """

    def __init__(self, compose: Compose, post: Post, redact: Redactor) -> None:
        self._compose = compose
        self._post = post
        self._redact = redact
        self._sayings = Sayings(redact)
        self._lines: list[tuple[Kind, str]] = []
        self._cut: dict[Literal["stdout", "stderr"], str] = {}
        self._at_us = 0
        self.printed = 0
        self.dropped = 0
        self.last_line = ""
        self.partial: JsonObject | None = None

    def write(self, line: LogLine) -> None:
        """Take a line; never waits.

        The end of what may be a piece of a longer line waits for the next piece, so that a secret
        that was cut in two there is found.
        """
        said = self._sayings.take(line)
        if said:
            if isinstance(said, Said):
                self._take(said, line.at_us)
            return
        text = self._cut.pop(line.stream, "") + line.text
        if self._redact.longest_chars and len(line.text.encode()) >= PIECE_BYTES:
            text, self._cut[line.stream] = self._redact.split(text, self._redact.longest_chars - 1)
        else:
            text = self._redact.text(text)
        self._add(line.stream, text, line.at_us)

    def finish(self) -> None:
        """Take what waits for a next piece as lines, and send everything."""
        for stream, text in self._cut.items():
            self._add(stream, self._redact.text(text), self._at_us)
        self._cut.clear()
        self.flush()

    def _take(self, said: Said, at_us: TimeUs) -> None:
        if said.kind == PARTIAL:
            self.partial = said.value
        self._add(said.kind, said.text, at_us)

    def _add(self, stream: Kind, text: str, at_us: TimeUs) -> None:
        if not self._lines:
            self._at_us = at_us
        self._lines.append((stream, text))
        self.printed += 1
        if stream in ("stdout", "stderr") and text.strip():
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
