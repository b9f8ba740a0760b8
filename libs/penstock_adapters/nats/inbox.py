"""Positioned consumption over JetStream."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import STREAM_NOT_FOUND, JetStreamApi, RefusedError
from penstock_adapters.nats.reader import SourceReader
from penstock_runtime.ports.inbox import Attachment, Received, Source
from penstock_runtime.ports.ledger import Witness

BUFFER_MESSAGES: Final = 4096  # over all sources


class NatsInbox:
    """Messages of all sources in arrival order; implements the port `Inbox`.

    Each stream is read by at most one source. A source without a position counts as renewed, so
    that its start is committed before anything else is.
    """

    def __init__(self, connection: NatsConnection, sources: Sequence[Source]) -> None:
        """Prepare an inbox; nothing is read before `attach`.

        Args:
            connection: the owner's connection.
            sources: what to read, each stream once.

        Raises:
            ValueError: a stream is named twice.
        """
        self._sources = {source.stream: source for source in sources}
        if len(self._sources) != len(sources):
            raise ValueError("an inbox reads each stream by one source")
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._readers: dict[str, SourceReader] = {}
        self._buffer: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._end_watch: Callable[[], None] | None = None

    @property
    def rebuilt(self) -> int:
        """How often a consumer was made again since the last `attach`."""
        return sum(reader.rebuilt for reader in self._readers.values())

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        """See the port. What was buffered is dropped."""
        await self.close()
        found = await asyncio.gather(
            *(self._look(source, positions.get(source.stream)) for source in self._sources.values())
        )
        streams = list(self._sources)
        starts = {stream: start for stream, (start, _, _, _) in zip(streams, found, strict=True)}
        capacity = BUFFER_MESSAGES // max(len(streams), 1)
        self._end_watch = self._connection.on_change(self._on_change)
        for stream, source in self._sources.items():
            reader = SourceReader(self._connection, source, self._deliver, capacity)
            self._readers[stream] = reader
            await reader.start(starts[stream].sequence)
        return Attachment(
            positions=starts,
            renewed=frozenset(s for s, f in zip(streams, found, strict=True) if f[1]),
            ends={stream: f[2] for stream, f in zip(streams, found, strict=True)},
            lost=frozenset(s for s, f in zip(streams, found, strict=True) if f[3]),
        )

    async def _look(
        self, source: Source, position: Witness | None
    ) -> tuple[Witness, bool, int, bool]:
        """Give (start, renewed, last sequence within the filter, unread messages are gone)."""
        info = await self._api.stream_info(source.stream)
        last = await self._api.last_message_on(source.stream, source.subject_filter)
        end = last.sequence if last is not None else 0
        start = Witness(info.created_us)
        if position is None or position.created_us != info.created_us:
            return start, True, end, False
        if position.sequence == 0:
            return position, False, end, False
        if position.sequence > info.last_sequence:
            return start, True, end, False
        message = await self._api.message_at(source.stream, position.sequence)
        if message is not None:
            renewed = message.time_us != position.time_us
            return (start if renewed else position), renewed, end, False
        if position.sequence >= info.first_sequence:  # a hole where our message was: not our stream
            return start, True, end, False
        return position, False, end, info.first_sequence > position.sequence + 1

    def _on_change(self, connected: bool) -> None:
        """Let a waiting `take` return after a reconnect: its caller looks at its positions."""
        if connected:
            self._arrived.set()

    def _deliver(self, message: Received) -> None:
        self._buffer.append(message)
        self._arrived.set()

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """See the port."""
        if not self._buffer:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
        buffer = self._buffer
        batch = [buffer.popleft() for _ in range(min(limit, len(buffer)))]
        self._settle(batch)
        return batch

    def _settle(self, batch: Sequence[Received]) -> None:
        """Give room back to the readers."""
        if len(self._readers) == 1:
            for reader in self._readers.values():
                reader.taken(len(batch))
            return
        counts: dict[str, int] = {}
        for message in batch:
            counts[message.stream] = counts.get(message.stream, 0) + 1
        for stream, count in counts.items():
            self._readers[stream].taken(count)

    async def verify(self, positions: Mapping[str, Witness]) -> frozenset[str]:
        """See the port. A stream that no longer exists does not hold its witness."""
        streams = [stream for stream in positions if stream in self._sources]
        holds = await asyncio.gather(*(self._holds(s, positions[s]) for s in streams))
        return frozenset(s for s, held in zip(streams, holds, strict=True) if not held)

    async def _holds(self, stream: str, position: Witness) -> bool:
        try:
            if position.sequence > 0:
                message = await self._api.message_at(stream, position.sequence)
                if message is not None:
                    return message.time_us == position.time_us
            info = await self._api.stream_info(stream)
        except RefusedError as refused:
            if refused.err_code == STREAM_NOT_FOUND:
                return False
            raise
        if info.created_us != position.created_us:
            return False
        return position.sequence == 0 or position.sequence < info.first_sequence

    async def confirm_empty(self) -> bool:
        """See the port.

        The stream itself is asked for a matching message behind the last one, because a
        consumer's count of pending messages trails the acknowledgement of a publish.
        """
        for stream, source in self._sources.items():
            reader = self._readers.get(stream)
            if reader is None or self._buffer:
                return False
            behind = await self._api.next_message_on(
                stream, source.subject_filter, reader.accepted + 1
            )
            if behind is not None:
                return False
        return not self._buffer

    async def purge(self, source: Source, before_sequence: int) -> None:
        """See the port."""
        if before_sequence > 1:
            await self._api.purge(source.stream, source.subject_filter, before_sequence)

    async def close(self) -> None:
        """See the port."""
        if self._end_watch is not None:
            self._end_watch()
        readers, self._readers = self._readers, {}
        for reader in readers.values():  # all of them, even if the closing is broken off
            reader.stop()
        await asyncio.gather(*(reader.close() for reader in readers.values()))
        self._buffer.clear()
        self._arrived.clear()
