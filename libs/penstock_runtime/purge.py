"""Purging inputs behind their owner: never unread, never the message at the position."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence

from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Inbox, Received, Source
from penstock_runtime.ports.ledger import Witness

log = logging.getLogger(__name__)

MARGIN_US = 15 * 60 * MICROSECONDS  # messages younger than this behind the position stay
EVERY_US = 60 * MICROSECONDS
MARKS_MAX = 120  # one a minute: two hours


class PurgeMarks:
    """Remembers, once a minute, how far consumption was, and purges up to old marks."""

    def __init__(self, inbox: Inbox, sources: Sequence[Source]) -> None:
        """Purge each of `sources` by its own filter."""
        self._inbox = inbox
        self._sources = sources
        self._marks: dict[str, deque[tuple[int, int]]] = {
            source.stream: deque(maxlen=MARKS_MAX) for source in sources
        }
        self._last_us = 0

    def note(self, messages: Sequence[Received]) -> None:
        """Take note of consumed messages."""
        message = messages[-1]
        marks = self._marks[message.stream]
        if not marks or message.time_us - marks[-1][0] >= EVERY_US:
            marks.append((message.time_us, message.sequence))

    async def run(self, positions: Mapping[str, Witness], now_us: int) -> None:
        """Purge what is old enough; the positions were verified just before."""
        if now_us - self._last_us < EVERY_US:
            return
        self._last_us = now_us
        for source in self._sources:
            position = positions.get(source.stream)
            sequence = self._old_mark(source.stream, now_us)
            if position is None or sequence is None:
                continue
            try:
                await self._inbox.purge(source, min(sequence, position.sequence))
            except TransientFault:
                log.warning("a purge has to wait", extra={"stream": source.stream})

    def _old_mark(self, stream: str, now_us: int) -> int | None:
        found = None
        marks = self._marks[stream]
        while marks and now_us - marks[0][0] >= MARGIN_US:
            found = marks.popleft()[1]
        return found
