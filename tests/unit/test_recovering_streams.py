"""EVENTS and the read model made again from the stores, ended in the middle or not."""

from collections.abc import Callable, Sequence

import pytest

from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import StoreRolledBack
from penstock_runtime.ports.bus import RelayLog
from penstock_runtime.recovering import recover, survey
from penstock_runtime.recovering_inbox import Part, StoreInbox
from penstock_runtime.recovering_place import held
from penstock_runtime.recovering_streams import proven, rebuild_streams, relay_anew
from penstock_testkit.builders.workflows import linear, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION
from penstock_webhook_gateway.rebuilding import fold, hashes
from tests.unit.recovering_world import PARTITIONS, all_is_well, place


class _KilledError(Exception):
    """The process ends here."""


FLOW = workflow(nodes=linear("a", "b"))


def logs(world: World) -> dict[str, RelayLog]:
    return {name: MemoryRelayLog(world.bus) for name in ("scheduler", "approval")}


async def worked(world: World) -> str:
    await world.ready_for(FLOW)
    run = world.trigger("flow")
    await world.until(lambda: world.ended(run))
    await world.until(world.shown)
    await world.stop_all()
    return run


@in_virtual_time
async def test_events_is_published_again_from_its_first_message_on():
    async with World() as world:
        await worked(world)
        before = {partition: world.published(partition) for partition in PARTITIONS}
        last = world.bus.stream(Stream.EVENTS).last_sequence
        async with held(place(world)) as rows:
            up_to = await proven(place(world), logs(world), rows)
            done = await rebuild_streams(
                place(world), logs(world), rows, up_to, emptied=lambda: None
            )
        assert done.left == 0
        assert done.events == sum(map(len, before.values()))
        assert {partition: world.published(partition) for partition in PARTITIONS} == before
        assert world.bus.stream(Stream.EVENTS).first_sequence == last + 1
        for partition in PARTITIONS:
            placed = await MemoryRelayLog(world.bus).last_marker(partition)
            assert placed is not None
            assert placed.marker.last == len(before[partition])
        await world.start_all()
        run = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(run))
        await all_is_well(world)


@in_virtual_time
async def test_ended_in_the_middle_it_goes_on_and_so_do_the_services():
    class Dying(MemoryRelayLog):
        """Ends with the process, at its third unit."""

        units = 0

        async def publish_unit(
            self,
            partition: str,
            messages: Sequence[tuple[str, bytes]],
            marker: Callable[[int], Marker],
            fence_sequence: int,
        ) -> int:
            self.units += 1
            if self.units == 3:
                raise _KilledError
            return await super().publish_unit(partition, messages, marker, fence_sequence)

    async with World() as world:
        await worked(world)
        stored = {partition: len(world.records(partition)) for partition in PARTITIONS}
        async with held(place(world)) as rows:
            up_to = await proven(place(world), logs(world), rows)
            dying = Dying(world.bus)
            with pytest.raises(_KilledError):
                await rebuild_streams(
                    place(world), {"scheduler": dying, "approval": dying}, rows, up_to,
                    emptied=lambda: None,
                )  # fmt: skip
        assert not world.relayed(RUN_PARTITION)
        async with held(place(world)) as rows:
            done = await relay_anew(place(world), logs(world), rows, up_to)
        assert done.events == sum(stored.values())
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_nothing_is_relayed_beyond_what_was_proved_before():
    async with World() as world:
        await worked(world)
        stream = world.bus.stream(Stream.EVENTS)
        world.bus.cut(Stream.EVENTS, stream.last_sequence // 2)
        async with held(place(world)) as rows:
            up_to = await proven(place(world), logs(world), rows)
            done = await rebuild_streams(
                place(world), logs(world), rows, up_to, emptied=lambda: None
            )
        assert done.left > 0
        assert not world.relayed(RUN_PARTITION)
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_a_store_that_was_put_back_has_to_be_recovered_first():
    async with World() as world:
        copy = world.ledger.keep_copy()
        await worked(world)
        world.ledger.put_back(copy)
        async with held(place(world)) as rows:
            with pytest.raises(StoreRolledBack, match="run `penstock recover`"):
                await proven(place(world), logs(world), rows)
        plan = await survey(place(world))
        done = await recover(place(world), plan, "ann")
        async with held(place(world)) as rows:
            relayed = await relay_anew(place(world), logs(world), rows, done.relayed)
        assert relayed.left == 2  # the records of the recovery: of the catalog and of the runs
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_events_of_another_history_are_seen_and_listed():
    async with World() as world:
        await world.ready_for(FLOW)
        copy = world.ledger.keep_copy()
        first = world.trigger("flow")
        await world.until(lambda: world.ended(first))
        await world.until(world.shown)
        await world.stop_all()
        old = world.bus.keep_copy()
        world.ledger.put_back(copy)
        for stream in Stream:
            world.bus.recreate(stream)
        await world.start_all()
        runs = [world.trigger("flow", f"u{number}") for number in range(4)]
        await world.until(lambda: all(map(world.ended, runs)))
        await world.stop_all()
        world.bus.put_back(old)
        plan = await survey(place(world))
        finding = next(one for one in plan.findings if one.partition == RUN_PARTITION)
        assert finding.contradicts
        assert finding.events_n < finding.store_n
        assert finding.lost.runs_started == [first]
        await recover(place(world), plan, "ann")
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_the_read_model_is_folded_from_the_stores_alone():
    async with World() as world:
        run = await worked(world)
        parts = [
            Part(partition, store.reader, len(world.records(partition)))
            for store in place(world).stores
            for partition in await store.partitions()
        ]
        views = type(world.views)(world.clock)
        inbox = StoreInbox(parts)
        seen = await fold("again", views, views, inbox, world.clock, world.metrics)
        assert seen == {part.partition: part.n for part in parts if part.n}
        assert inbox.done == inbox.end == sum(part.n for part in parts)
        assert await hashes(views, "default", [run, "0"]) == {run: await world.store_hash(run)}
