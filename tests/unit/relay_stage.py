"""A partition's relay on a stage: the store and the bus it stands between, and their troubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts import subjects
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import StoredRecord, genesis_hash, read_published
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import PlacedMarker, RelayLog
from penstock_runtime.ports.ledger import EventReader, PartitionRow
from penstock_runtime.relay import Relay
from penstock_testkit.conformance.ledger import aggregate, extended
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.virtual_time import VirtualClock, until

PARTITION = "run-0"


class Stage:
    """A store, a bus and relays between them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryServer(self.clock)
        self.bus.ensure_streams([Stream.EVENTS])
        self.ledger = MemoryLedger(self.clock)
        self.log = MemoryRelayLog(self.bus)

    async def stored(self, row: PartitionRow, *versions: int) -> PartitionRow:
        """Commit events of one aggregate."""
        return await extended(self.ledger, row, *((aggregate("x"), one) for one in versions))

    async def records(self) -> Sequence[StoredRecord]:
        return await self.ledger.after(PARTITION, 0, 1_000)

    def relay(
        self, row: PartitionRow, log: RelayLog | None = None, reader: EventReader | None = None
    ) -> Relay:
        return Relay(row, log or self.log, reader or self.ledger, self.clock, KeptMetrics())

    @asynccontextmanager
    async def relaying(
        self, row: PartitionRow, log: RelayLog | None = None, reader: EventReader | None = None
    ) -> AsyncIterator[Relay]:
        """Open a relay and let it run."""
        relay = self.relay(row, log, reader)
        await relay.open(row)
        relay.release()
        running = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def numbers(self) -> list[int]:
        """Give n of every event in EVENTS, in stream order."""
        events = self.bus.stream(Stream.EVENTS).after(0, subjects.events_of("*"))
        return [read_published(message.payload).n for message in events]

    async def until(self, holds: Callable[[], bool]) -> None:
        await until(self.clock, holds)

    async def marked(self) -> int:
        """Give n that the last valid marker proves."""
        placed = await self.log.last_marker(PARTITION)
        return placed.marker.last if placed else -1


class ForgetfulStore:
    """A store that does not answer the next `faults` pages."""

    def __init__(self, inner: EventReader, faults: int) -> None:
        self._inner = inner
        self.faults = faults

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        return await self._inner.load(aggregate_ids)

    async def after(self, partition: str, n: int, limit: int) -> Sequence[StoredRecord]:
        if self.faults:
            self.faults -= 1
            raise TransientFault("the store does not answer")
        return await self._inner.after(partition, n, limit)

    async def of_topics(
        self, partition: str, topics: Sequence[str], after_n: int, limit: int
    ) -> Sequence[StoredRecord]:
        return await self._inner.of_topics(partition, topics, after_n, limit)


class TroubledLog:
    """The relay's way to EVENTS with trouble to come.

    Attributes:
        refused: units that will not be taken.
        unsaid: units that will be taken without a word.
        silent: looks at the fence that will not be answered.
        unread: looks at the marker that will not be answered.
        before_second_look: what happens in front of the second look, of either kind.
        overtaken: units in front of which an owner of epoch 0 still gets a marker of its own.
    """

    def __init__(self, inner: RelayLog) -> None:
        self._inner = inner
        self.refused = 0
        self.unsaid = 0
        self.silent = 0
        self.unread = 0
        self.overtaken = 0
        self.before_second_look: Callable[[], object] = lambda: None
        self._looks = 0

    def _look(self) -> None:
        self._looks += 1
        if self._looks == 2:
            self.before_second_look()

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        self._look()
        if self.unread:
            self.unread -= 1
            raise TransientFault("the bus does not answer")
        return await self._inner.last_marker(partition)

    async def last_sequence(self, partition: str) -> int:
        self._look()
        if self.silent:
            self.silent -= 1
            raise TransientFault("the bus does not answer")
        return await self._inner.last_sequence(partition)

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        if self.overtaken:
            self.overtaken -= 1
            await self._late_marker(partition)
        if self.refused:
            self.refused -= 1
            raise TransientFault("the bus does not take it")
        fence = await self._inner.publish_unit(partition, messages, marker, fence_sequence)
        if self.unsaid:
            self.unsaid -= 1
            raise TransientFault("no reply in time")
        return fence

    async def _late_marker(self, partition: str) -> None:
        fence = await self._inner.last_sequence(partition)
        late = Marker(
            partition=partition, epoch=0, first=1, last=0,
            chain_head=genesis_hash(partition).hex(), last_event_sequence=0,
            previous_marker_sequence=fence,
        )  # fmt: skip
        await self._inner.publish_unit(partition, (), lambda _sequence: late, fence)
