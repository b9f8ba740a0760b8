"""A world whose store was put back, recovered as an operator would."""

from __future__ import annotations

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_runtime.recovering import (
    EVENTS_SOURCE,
    Place,
    Recovered,
    RecoveryPlan,
    Store,
    recover,
    survey,
)
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION

PARTITIONS = (CATALOG_PARTITION, RUN_PARTITION, APPROVAL_PARTITION)


def place(world: World) -> Place:
    return Place(
        stores=(
            Store("scheduler", world.ledger, world.ledger, world.ledger),
            Store("approval", world.approvals, world.approvals, world.approvals),
        ),
        events=lambda: MemoryInbox(world.bus, (EVENTS_SOURCE,)),
        read_models=(world.views,),
        clock=world.clock,
        metrics=world.metrics,
    )


async def recovered(world: World) -> tuple[RecoveryPlan, Recovered]:
    plan = await survey(place(world))
    return plan, await recover(place(world), plan, "ann", "the disk was lost")


async def all_is_well(world: World) -> None:
    """EVENTS and the read model are just what the store is."""
    await world.until(lambda: all(map(world.relayed, PARTITIONS)), 900)
    await world.until(world.shown, 900)
    for partition in PARTITIONS:
        stored = world.records(partition)
        assert [record.n for record in stored] == list(range(1, len(stored) + 1))
        found = [event.n for event in world.published(partition)]
        assert found == [record.n for record in stored]
    for run in {r.aggregate_id for r in world.records(RUN_PARTITION) if "run." in r.topic}:
        assert await world.view_hash(run) == await world.store_hash(run)
