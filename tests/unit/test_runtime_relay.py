"""One partition's relay by itself: what memory, store and bus do to it, and who else relays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts import subjects
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    encode_state,
    genesis_hash,
    read_published,
)
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.bus import PlacedMarker, RelayLog
from penstock_runtime.ports.ledger import EventReader, PartitionRow
from penstock_runtime.relay import IDLE_MARKER_S, LOOK_S, MEMORY_MAX, OPEN_TRIES, Relay
from penstock_testkit.conformance.ledger import aggregate, extended, owned
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.virtual_time import VirtualClock, in_virtual_time, until

PARTITION = "run-0"
MARKERS = subjects.relay_marker(PARTITION)


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
        silent: looks that will not be answered.
        overtaken: units in front of which an owner of epoch 0 still gets a marker of its own.
    """

    def __init__(self, inner: RelayLog) -> None:
        self._inner = inner
        self.refused = 0
        self.unsaid = 0
        self.silent = 0
        self.overtaken = 0

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        return await self._inner.last_marker(partition)

    async def last_sequence(self, partition: str) -> int:
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


# --- relaying ------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_memory_cannot_hold_is_read_from_the_store_without_a_hole():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    async with stage.relaying(row) as relay:
        await stage.stored(row, 1, 2, 3)
        first, second, third = await stage.records()
        relay.offer([first])
        relay.offer([second] * MEMORY_MAX)  # one too many: neither is kept
        relay.offer([third])
        relay.allow(3)
        await stage.until(lambda: len(stage.numbers()) == 3)
    assert stage.numbers() == [1, 2, 3]


@in_virtual_time
async def test_nothing_is_relayed_before_its_effects_are_out():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    async with stage.relaying(row) as relay:
        await stage.stored(row, 1, 2, 3)
        relay.offer(await stage.records())
        relay.allow(2)
        await stage.until(lambda: len(stage.numbers()) == 2)
        await stage.clock.sleep(3 * LOOK_S)
        assert stage.numbers() == [1, 2]
        relay.allow(3)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])


@in_virtual_time
async def test_a_store_that_does_not_answer_is_asked_again():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    store = ForgetfulStore(stage.ledger, faults=3)
    async with stage.relaying(row, reader=store) as relay:
        await stage.stored(row, 1, 2)
        relay.allow(2)
        await stage.until(lambda: stage.numbers() == [1, 2])
    assert store.faults == 0


@in_virtual_time
async def test_a_refused_unit_is_published_again_and_the_next_follows_it():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    log = TroubledLog(stage.log)
    async with stage.relaying(row, log) as relay:
        log.refused = 4
        row = await stage.stored(row, 1, 2)
        relay.allow(2)
        await stage.until(lambda: stage.numbers() == [1, 2])
        await stage.stored(row, 3)
        relay.allow(3)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
    assert log.refused == 0
    assert await stage.marked() == 3


@in_virtual_time
async def test_a_unit_whose_reply_was_lost_is_published_again_rather_than_left_out():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    log = TroubledLog(stage.log)
    async with stage.relaying(row, log) as relay:
        log.unsaid, log.silent = 1, 1  # and the look that follows is not answered either
        row = await stage.stored(row, 1, 2)
        relay.allow(2)
        await stage.until(lambda: stage.numbers() == [1, 2, 1, 2])  # readers pass over copies
        await stage.stored(row, 3)
        relay.allow(3)
        await stage.until(lambda: stage.numbers()[4:] == [3])
    assert await stage.marked() == 3


@in_virtual_time
async def test_an_idle_relay_marks_its_place_every_hour():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    async with stage.relaying(row) as relay:
        await stage.stored(row, 1)
        relay.allow(1)
        await stage.until(lambda: stage.numbers() == [1])
        before = await stage.log.last_sequence(PARTITION)
        await stage.clock.sleep(IDLE_MARKER_S - 2 * LOOK_S)
        assert await stage.log.last_sequence(PARTITION) == before
        await stage.clock.sleep(4 * LOOK_S)
        assert await stage.log.last_sequence(PARTITION) == before + 1
        await stage.clock.sleep(IDLE_MARKER_S)
        assert await stage.log.last_sequence(PARTITION) == before + 2
    assert stage.numbers() == [1]
    assert await stage.marked() == 1


@in_virtual_time
async def test_an_event_is_published_under_its_own_tenant():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    state = encode_state(EventMeta(time_us=1, tenant="acme"), row.chain_head, {})
    record = StoredRecord(aggregate("x"), 1, "run.run_started.v1", state, PARTITION, 1, 1)
    async with stage.relaying(row) as relay:
        relay.offer([record])
        relay.allow(1)
        await stage.until(lambda: stage.numbers() == [1])
    (message,) = stage.bus.stream(Stream.EVENTS).after(0, subjects.events_of("acme"))
    assert read_published(message.payload).meta.tenant == "acme"


# --- others --------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_earlier_owners_late_marker_holds_nobody_up():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    log = TroubledLog(stage.log)
    log.overtaken = OPEN_TRIES - 1
    async with stage.relaying(row, log) as relay:
        assert log.overtaken == 0
        log.overtaken = 2
        await stage.stored(row, 1, 2)
        relay.allow(2)
        await stage.until(lambda: stage.numbers() == [1, 2])
    assert log.overtaken == 0
    assert await stage.marked() == 2


@in_virtual_time
async def test_an_earlier_owner_that_never_stops_is_left_to_the_next_try():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    log = TroubledLog(stage.log)
    log.overtaken = OPEN_TRIES
    with pytest.raises(TransientFault, match="run-0: an earlier owner keeps relaying"):
        await stage.relay(row, log).open(row)


@in_virtual_time
async def test_a_higher_epoch_ends_the_one_below_it_and_is_not_undone():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    relay = stage.relay(row)
    await relay.open(row)
    relay.release()
    running = asyncio.create_task(relay.run())
    later = replace(row, epoch=row.epoch + 1)
    await stage.relay(later).open(later)
    await stage.stored(row, 1)
    relay.allow(1)
    with pytest.raises(Fenced, match=f"epoch {later.epoch} has relayed"):
        async with asyncio.timeout(LOOK_S):
            await running
    with pytest.raises(Fenced, match=f"epoch {later.epoch} has relayed"):
        await stage.relay(row).open(row)
    assert stage.numbers() == []


@in_virtual_time
async def test_an_owner_behind_the_relay_has_been_overtaken():
    stage = Stage()
    row = await owned(stage.ledger, PARTITION)
    async with stage.relaying(row) as relay:
        now = await stage.stored(row, 1, 2)
        relay.allow(2)
        await stage.until(lambda: stage.numbers() == [1, 2])
    with pytest.raises(Fenced, match="run-0: another owner has gone on"):
        await stage.relay(row).open(row)
    assert await stage.relay(now).open(now) == 2


class LostBetween:
    """EVENTS is lost, or does not answer, between two looks of the relay.

    Attributes:
        befalls: what happens in front of the second look from here; None: nothing.
        silent: looks at the marker that will not be answered.
    """

    def __init__(self, inner: RelayLog) -> None:
        self._inner = inner
        self._looks = 0
        self.befalls: Callable[[], object] | None = None
        self.silent = 0

    def _look(self) -> None:
        self._looks += 1
        if self.befalls is not None and self._looks == 2:
            self.befalls()

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        self._look()
        if self.silent:
            self.silent -= 1
            raise TransientFault("the bus does not answer")
        return await self._inner.last_marker(partition)

    async def last_sequence(self, partition: str) -> int:
        self._look()
        return await self._inner.last_sequence(partition)

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        return await self._inner.publish_unit(partition, messages, marker, fence_sequence)


@in_virtual_time
async def test_a_stream_lost_between_two_looks_is_filled_from_the_first_event():
    stage = Stage()
    row = await stage.stored(await owned(stage.ledger, PARTITION), 1, 2, 3)
    async with stage.relaying(row) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
    log = LostBetween(stage.log)
    log.befalls = lambda: stage.bus.recreate(Stream.EVENTS)
    async with stage.relaying(row, log) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        assert await stage.marked() == 3


@in_virtual_time
async def test_a_look_that_fails_half_way_changes_nothing():
    stage = Stage()
    row = await stage.stored(await owned(stage.ledger, PARTITION), 1, 2, 3)
    log = LostBetween(stage.log)
    async with stage.relaying(row, log) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        stage.bus.recreate(Stream.EVENTS)
        log.silent = 1
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        assert await stage.marked() == 3
