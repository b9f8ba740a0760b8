"""One partition's relay by itself: what memory, store and bus do to it, and who else relays."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from penstock_contracts import subjects
from penstock_contracts.records import EventMeta, StoredRecord, encode_state, read_published
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.relay import IDLE_MARKER_S, LOOK_S, MEMORY_MAX, OPEN_TRIES
from penstock_testkit.conformance.ledger import aggregate, owned
from penstock_testkit.virtual_time import in_virtual_time
from tests.unit.relay_stage import PARTITION, ForgetfulStore, Stage, TroubledLog

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


@in_virtual_time
async def test_a_stream_lost_between_two_looks_is_filled_from_the_first_event():
    stage = Stage()
    row = await stage.stored(await owned(stage.ledger, PARTITION), 1, 2, 3)
    async with stage.relaying(row) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
    log = TroubledLog(stage.log)
    log.before_second_look = lambda: stage.bus.recreate(Stream.EVENTS)
    async with stage.relaying(row, log) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        assert await stage.marked() == 3


@in_virtual_time
async def test_a_look_that_fails_half_way_changes_nothing():
    stage = Stage()
    row = await stage.stored(await owned(stage.ledger, PARTITION), 1, 2, 3)
    log = TroubledLog(stage.log)
    async with stage.relaying(row, log) as relay:
        relay.allow(row.n)
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        stage.bus.recreate(Stream.EVENTS)
        log.unread = 1
        await stage.until(lambda: stage.numbers() == [1, 2, 3])
        assert await stage.marked() == 3
