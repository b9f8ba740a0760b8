"""Founding commands are taken to be new; the store's uniqueness tells where they are not."""

from collections.abc import Mapping, Sequence

from penstock_contracts.records import StoredRecord
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_runtime.ports.clock import Clock
from penstock_testkit.builders.workflows import linear, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.store import WorldLedger
from penstock_testkit.world.world import RUN_PARTITION

FLOW = workflow(nodes=linear("a", "b"))


class Watched(WorldLedger):
    """A store that remembers what was read."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.read: list[str] = []

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        self.read.extend(aggregate_ids)
        return await super().load(aggregate_ids)


def watched() -> tuple[World, Watched]:
    world = World()
    world.ledger = ledger = Watched(world.clock)
    return world, ledger


@in_virtual_time
async def test_what_is_new_costs_no_read():
    world, ledger = watched()
    async with world:
        await world.ready_for(FLOW)
        ledger.read.clear()
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        assert run not in ledger.read
        assert world.trigger_aggregate() not in ledger.read


@in_virtual_time
async def test_an_old_trigger_beside_a_new_one_is_found_out_by_the_store():
    world, ledger = watched()
    async with world:
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.scheduler.kill()  # its successor has nothing in memory
        world.trigger("flow")
        other = world.trigger("flow", "t2")
        ledger.read.clear()
        world.start_scheduler("scheduler-2")
        await world.until(lambda: world.ended(other))
        assert world.trigger_aggregate() in ledger.read
        assert len(world.facts(CATALOG_PARTITION, TriggerMatched.TYPE)) == 2
        assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 2
        assert world.parked(CATALOG_PARTITION) == []
        assert world.parked(RUN_PARTITION) == []


@in_virtual_time
async def test_after_something_old_it_reads_until_all_is_new_again():
    world, ledger = watched()
    async with world:
        await world.ready_for(FLOW)
        first = world.trigger("flow")
        await world.until(lambda: world.ended(first))
        await world.scheduler.kill()
        world.start_scheduler("scheduler-2")
        world.trigger("flow")
        await world.pass_time(5)
        ledger.read.clear()
        for number in (2, 3):
            run = world.trigger("flow", f"t{number}")
            await world.until(lambda run=run: world.ended(run))
        assert world.trigger_aggregate("t2") in ledger.read
        assert world.trigger_aggregate("t3") not in ledger.read
