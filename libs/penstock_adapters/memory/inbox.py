"""Positioned consumption in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from heapq import merge
from itertools import islice

from penstock_adapters.memory.streams import MemoryServer
from penstock_runtime.ports.inbox import Attachment, Received, Source
from penstock_runtime.ports.ledger import Witness


class MemoryInbox:
    """`Inbox` over a `MemoryServer`: nothing is buffered, every look goes to the streams.

    Like a real consumer it waits in silence when its stream was made again and is shorter than
    what was read: only a witness tells.
    """

    def __init__(self, server: MemoryServer, sources: Sequence[Source]) -> None:
        """Prepare an inbox; nothing is read before `attach`.

        Raises:
            ValueError: a stream is named twice.
        """
        self._sources = {source.stream: source for source in sources}
        if len(self._sources) != len(sources):
            raise ValueError("an inbox reads each stream by one source")
        self._server = server
        self._handed: dict[str, int] = {}
        self._arrived = asyncio.Event()
        self._end = server.on_wake(self._arrived.set)

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        """See the port."""
        self._end()
        starts: dict[str, Witness] = {}
        renewed: set[str] = set()
        lost: set[str] = set()
        ends: dict[str, int] = {}
        for name, source in self._sources.items():
            stream = self._server.stream(name)
            last = stream.last_matching(source.subject_filter)
            ends[name] = last.sequence if last is not None else 0
            position = positions.get(name)
            if position is None or not self._holds(name, position):
                starts[name] = Witness(stream.created_us)
                renewed.add(name)
                continue
            starts[name] = position
            if 0 < position.sequence < stream.first_sequence - 1:
                lost.add(name)
        self._handed = {name: start.sequence for name, start in starts.items()}
        self._end = self._server.on_wake(self._arrived.set)
        return Attachment(starts, frozenset(renewed), ends, frozenset(lost))

    def _holds(self, name: str, position: Witness) -> bool:
        if not self._server.exists(name):
            return False
        stream = self._server.stream(name)
        if stream.created_us != position.created_us:
            return False
        if position.sequence == 0:
            return True
        message = stream.messages.get(position.sequence)
        if message is not None:
            return message.time_us == position.time_us
        return position.sequence < stream.first_sequence and (
            position.sequence <= stream.last_sequence
        )

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """See the port."""
        batch = self._look(limit)
        if batch:
            return batch
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not batch and (left_s := deadline - loop.time()) > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            batch = self._look(limit)
        return batch

    def _look(self, limit: int) -> Sequence[Received]:
        if not self._server.up:
            return []
        rows = [
            self._server.stream(name).after(handed, self._sources[name].subject_filter)
            for name, handed in self._handed.items()
            if self._server.exists(name)
        ]
        batch = list(islice(merge(*rows, key=lambda message: message.time_us), limit))
        for message in batch:
            self._handed[message.stream] = message.sequence
        return batch

    async def verify(self, positions: Mapping[str, Witness]) -> frozenset[str]:
        """See the port."""
        self._server.expect_up()
        return frozenset(
            name
            for name, position in positions.items()
            if name in self._sources and not self._holds(name, position)
        )

    async def confirm_empty(self) -> bool:
        """See the port."""
        return len(self._handed) == len(self._sources) and not any(
            next(self._server.stream(name).after(handed, self._sources[name].subject_filter), None)
            for name, handed in self._handed.items()
        )

    async def purge(self, source: Source, before_sequence: int) -> None:
        """See the port."""
        if before_sequence > 1:
            self._server.purge(source.stream, source.subject_filter, before_sequence)

    async def close(self) -> None:
        """See the port."""
        self._end()
        self._handed = {}
