"""A world whose store was put back, recovered as an operator would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_runtime.recovering import Recovered, RecoveryPlan, recover, survey
from penstock_runtime.recovering_place import EVENTS_SOURCE, Place, Store
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION

PARTITIONS = (CATALOG_PARTITION, RUN_PARTITION, APPROVAL_PARTITION)


P = TypeVar("P")


class _Slow:
    """Every call of one operation takes so long."""

    def __init__(self, inner: object, operation: str, world: World, takes_s: float) -> None:
        self._inner = inner
        self._operation = operation
        self._world = world
        self._takes_s = takes_s

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation = getattr(self._inner, name)

        async def call(*args: object, **kwargs: object) -> Any:
            if name == self._operation:
                await self._world.clock.sleep(self._takes_s)
            return await operation(*args, **kwargs)

        return call


def slow(port: P, operation: str, world: World, takes_s: float) -> P:
    """Give `port` with one operation that takes as long as with very much to do."""
    return cast("P", _Slow(port, operation, world, takes_s))


def place(world: World, loading_takes_s: float = 0) -> Place:
    reader = slow(world.ledger, "load", world, loading_takes_s) if loading_takes_s else world.ledger
    return Place(
        stores=(
            Store("scheduler", world.ledger, reader, world.ledger),
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
