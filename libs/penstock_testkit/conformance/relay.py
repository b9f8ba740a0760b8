"""What every `RelayLog` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import pytest

from penstock_adapters.markers import encode_marker
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import EventMeta, StoredRecord, encode_state, published_form
from penstock_contracts.subjects import (
    STREAM_SUBJECTS,
    Stream,
    event,
    events_of,
    relay_marker,
)
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.bus import Outgoing, PlacedMarker, Published, RelayLog
from penstock_runtime.ports.inbox import Source
from penstock_testkit.conformance.bus import Bus

PARTITION = "run-0"
AGGREGATE = "00000000-0000-4000-8000-000000000001"


def record(n: int, partition: str = PARTITION) -> StoredRecord:
    """Event `n` of a partition."""
    state = encode_state(EventMeta(time_us=n), bytes(32), {"n": n})
    return StoredRecord(AGGREGATE, n, "run.node_failed.v1", state, partition, n, n)


def published(n: int, partition: str = PARTITION) -> tuple[str, bytes]:
    """Event `n` as the relay publishes it."""
    subject = event("default", "run", AGGREGATE, "node_failed")
    return subject, published_form(record(n, partition))


class Writer:
    """A relay's hand: publishes units one after the other and keeps the fence."""

    def __init__(self, log: RelayLog, partition: str = PARTITION, epoch: int = 1) -> None:
        self.log = log
        self.partition = partition
        self.epoch = epoch
        self.done = 0
        self.fence = 0

    async def unit(self, count: int) -> Marker:
        """Publish the next `count` events and their marker."""
        made: list[Marker] = []

        def marker(last_event_sequence: int) -> Marker:
            made.append(self.marker(count, last_event_sequence))
            return made[0]

        events = [published(n, self.partition) for n in range(self.done + 1, self.done + count + 1)]
        self.fence = await self.log.publish_unit(self.partition, events, marker, self.fence)
        self.done += count
        return made[0]

    def marker(self, count: int, last_event_sequence: int) -> Marker:
        """The marker of the next unit."""
        return Marker(
            partition=self.partition,
            epoch=self.epoch,
            first=self.done + 1,
            last=self.done + count,
            chain_head="00" * 32,
            last_event_sequence=last_event_sequence,
            previous_marker_sequence=self.fence,
        )


async def forge(bus: Bus, marker: Marker) -> None:
    """Put a marker on the stream past every condition."""
    message = Outgoing(Stream.EVENTS, relay_marker(marker.partition), encode_marker(marker))
    assert await bus.publisher().publish([message]) == [Published.DONE]


class RelaySuite:
    """Run with a fixture `bus`."""

    async def test_an_empty_stream_has_no_marker(self, bus: Bus) -> None:
        log = bus.relay_log()
        assert await log.last_marker(PARTITION) is None
        assert await log.last_sequence(PARTITION) == 0

    async def test_a_unit_ends_in_its_marker(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(3)
        assert marker.last_event_sequence == 3
        assert writer.fence == 4
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, 4)
        assert await writer.log.last_sequence(PARTITION) == 4
        async with bus.tail().follow(Stream.EVENTS, events_of("*")) as events:
            for n in (1, 2, 3):
                message = await anext(aiter(events))
                assert (message.subject, message.payload) == published(n)

    async def test_units_follow_each_other(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        for count in (1, 0, 2, 250, 0):
            marker = await writer.unit(count)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)
        assert marker.last == 253
        assert marker.last_event_sequence == 0, "the last unit was empty"

    async def test_the_largest_unit_passes(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(999)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, 1000)

    async def test_partitions_do_not_disturb_each_other(self, bus: Bus) -> None:
        one, two = Writer(bus.relay_log()), Writer(bus.relay_log(), "approval")
        await one.unit(2)
        await two.unit(3)
        first = await one.unit(1)
        second = await two.unit(0)
        assert await one.log.last_marker(PARTITION) == PlacedMarker(first, one.fence)
        assert await two.log.last_marker("approval") == PlacedMarker(second, two.fence)

    async def test_a_stale_owner_is_fenced_off(self, bus: Bus) -> None:
        old, new = Writer(bus.relay_log()), Writer(bus.relay_log(), epoch=2)
        await old.unit(2)
        new.done, new.fence = old.done, old.fence
        marker = await new.unit(2)
        for count in (0, 1, 3):
            with pytest.raises(Fenced):
                await old.unit(count)
        assert await new.log.last_marker(PARTITION) == PlacedMarker(marker, new.fence)
        assert await new.log.last_sequence(PARTITION) == new.fence
        await new.unit(1)
        assert new.fence == marker.last_event_sequence + 3, "nothing of the stale owner is there"

    async def test_a_marker_whose_event_is_not_there_is_void(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        await writer.unit(2)
        marker = await writer.unit(2)
        for wrong in (1, 3, 4, 10_000):  # another event, a marker, its own unit's first, nothing
            await forge(bus, writer.marker(5, wrong))
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)
        assert await writer.log.last_sequence(PARTITION) == writer.fence + 4, "void ones count"

    async def test_a_marker_whose_predecessor_is_not_there_is_void(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(2)
        stray = writer.marker(0, 0)
        await forge(bus, stray.model_copy(update={"previous_marker_sequence": 1}))
        await forge(bus, stray.model_copy(update={"previous_marker_sequence": 777}))
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)

    async def test_a_marker_that_leaves_a_hole_is_void(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(2)
        fence, writer.done = writer.fence, 7
        await writer.unit(1)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, fence)

    async def test_void_markers_do_not_stop_the_relay(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        await writer.unit(2)
        for _ in range(20):
            await forge(bus, writer.marker(9, 1))
        writer.fence = await writer.log.last_sequence(PARTITION)
        marker = await writer.unit(3)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)

    async def test_what_is_no_marker_is_void(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(1)
        junk = Outgoing(Stream.EVENTS, relay_marker(PARTITION), b"junk")
        await bus.publisher().publish([junk] * 3)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)

    async def test_only_void_markers_count_as_none(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        for _ in range(5):
            await forge(bus, writer.marker(1, 999))
        assert await writer.log.last_marker(PARTITION) is None

    async def test_a_rolled_back_stream_shows_the_older_marker(self, bus: Bus) -> None:
        writer, other = Writer(bus.relay_log()), Writer(bus.relay_log(), "approval")
        older = await writer.unit(2)
        fence = writer.fence
        await bus.keep_copy()
        await writer.unit(3)
        await bus.put_copy_back()
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(older, fence)
        await other.unit(3)  # the sequences of the lost unit are used again
        with pytest.raises(Fenced):
            await writer.unit(1)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(older, fence)
        writer.done, writer.fence = older.last, await writer.log.last_sequence(PARTITION)
        marker = await writer.unit(4)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)

    async def test_what_has_aged_out_below_the_first_message_voids_nothing(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        await writer.unit(2)
        marker = await writer.unit(1)
        broom = bus.inbox()
        for pattern in STREAM_SUBJECTS[Stream.EVENTS]:
            await broom.purge(Source(Stream.EVENTS, pattern), writer.fence)
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)

    async def test_without_a_server_it_says_so(self, bus: Bus) -> None:
        writer = Writer(bus.relay_log())
        marker = await writer.unit(1)
        await bus.stop()
        with pytest.raises(TransientFault):
            await writer.unit(1)
        with pytest.raises(TransientFault):
            await writer.log.last_marker(PARTITION)
        with pytest.raises(TransientFault):
            await writer.log.last_sequence(PARTITION)
        await bus.start()
        assert await writer.log.last_marker(PARTITION) == PlacedMarker(marker, writer.fence)
        await writer.unit(2)
