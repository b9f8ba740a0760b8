"""`penstock rebuild streams` beside what an earlier call has left: gone on with, or history."""

from pathlib import Path

import pytest

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_cli.rebuild import Begun, Journal, rebuilt
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import StoreRolledBack
from penstock_runtime.ports.bus import RelayLog
from penstock_runtime.recovering_place import empty_events, held
from penstock_runtime.recovering_streams import Relayed, proven
from penstock_testkit.builders.workflows import linear, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION
from tests.unit.recovering_world import PARTITIONS, all_is_well, place

FLOW = workflow(nodes=linear("a", "b"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    folder = StateFolder.at(tmp_path / "state")
    folder.create()
    return Journal.of(folder)


def logs(world: World) -> dict[str, RelayLog]:
    return {name: MemoryRelayLog(world.bus) for name in ("scheduler", "approval")}


async def worked(world: World, trigger: str = "t1") -> None:
    run = world.trigger("flow", trigger)
    await world.until(lambda: world.ended(run))
    await world.until(world.shown)
    await world.until(lambda: all(map(world.relayed, PARTITIONS)))
    await world.stop_all()


async def begun(world: World) -> dict[str, int]:
    async with held(place(world)) as rows:
        return await proven(place(world), logs(world), rows)


async def called(world: World, journal: Journal) -> tuple[Relayed, bool]:
    async with held(place(world)) as rows:
        return await rebuilt(place(world), logs(world), rows, journal)


@in_virtual_time
@pytest.mark.parametrize("emptied", [False, True])
async def test_a_store_put_back_since_then_is_seen_and_nothing_is_deleted(
    journal: Journal, emptied: bool
) -> None:
    async with World() as world:
        await world.ready_for(FLOW)
        copy = world.ledger.keep_copy()
        await worked(world)
        journal.write(Begun(await begun(world), emptied=emptied))
        world.ledger.put_back(copy)
        before = {partition: world.published(partition) for partition in PARTITIONS}
        with pytest.raises(StoreRolledBack):
            await called(world, journal)
        assert {partition: world.published(partition) for partition in PARTITIONS} == before


@in_virtual_time
@pytest.mark.parametrize("emptied", [False, True])
async def test_services_have_run_since_then_and_all_is_published_anew(
    journal: Journal, emptied: bool
) -> None:
    async with World() as world:
        await world.ready_for(FLOW)
        await worked(world)
        journal.write(Begun(await begun(world), emptied=emptied))
        await world.start_all()
        await worked(world, "t2")
        last = world.bus.stream(Stream.EVENTS).last_sequence
        done, resumed = await called(world, journal)
        assert not resumed
        assert done.left == 0
        assert done.events == sum(len(world.records(partition)) for partition in PARTITIONS)
        assert world.bus.stream(Stream.EVENTS).first_sequence == last + 1
        assert journal.read() is None
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
@pytest.mark.parametrize("emptied", [False, True])
async def test_ended_behind_the_deletion_it_goes_on_to_where_it_was_proven(
    journal: Journal, emptied: bool
) -> None:
    async with World() as world:
        await world.ready_for(FLOW)
        await worked(world)
        up_to = await begun(world)
        up_to[RUN_PARTITION] -= 1  # the effects of the last event are not out
        await empty_events(place(world).events())
        journal.write(Begun(up_to, emptied=emptied))
        done, resumed = await called(world, journal)
        assert resumed
        assert done.events == sum(up_to.values())
        assert done.left == 1
        assert journal.read() is None
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_all_was_published_and_only_the_note_stayed(journal: Journal) -> None:
    async with World() as world:
        await world.ready_for(FLOW)
        await worked(world)
        journal.write(Begun(await begun(world), emptied=True))
        last = world.bus.stream(Stream.EVENTS).last_sequence
        _, resumed = await called(world, journal)
        assert not resumed
        assert world.bus.stream(Stream.EVENTS).first_sequence == last + 1
