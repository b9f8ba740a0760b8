"""A whole owning service: how it ends, and what its health says meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_runtime.faults import StoreRolledBack, TransientFault
from penstock_runtime.owning import own_until, ready_probe
from penstock_runtime.ports.health import Check
from penstock_testkit.builders.workflows import linear, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION

FLOW = workflow(nodes=linear("a"))
PARTITIONS = (CATALOG_PARTITION, RUN_PARTITION)


async def free(world: World) -> list[bool]:
    """Tell of each of the scheduler's partitions whether another may take it at once."""
    return [await world.ledger.acquire(one, "another", 1.0) is not None for one in PARTITIONS]


async def never() -> None:
    """Stand for a bus connection that lasts."""
    await asyncio.Event().wait()


@in_virtual_time
async def test_a_stop_gives_up_every_lease_before_it_returns():
    async with World() as world:
        await world.scheduler.kill()
        stop = asyncio.Event()
        owning = asyncio.create_task(own_until(stop, world.scheduler.hosts, never))
        await world.until(lambda: world.scheduler.ready)
        assert await free(world) == [False, False]
        stop.set()
        await owning
        assert await free(world) == [True, True]
        assert not world.scheduler.ready


@in_virtual_time
async def test_a_connection_closed_for_good_ends_the_service_in_order():
    async with World() as world:
        await world.scheduler.kill()
        closed = asyncio.Event()

        async def until_closed() -> None:
            await closed.wait()

        hosts = world.scheduler.hosts
        owning = asyncio.create_task(own_until(asyncio.Event(), hosts, until_closed))
        await world.until(lambda: world.scheduler.ready)
        closed.set()
        with pytest.raises(ExceptionGroup) as caught:
            await owning
        (fault,) = caught.value.exceptions
        assert isinstance(fault, TransientFault)
        assert "closed the connection for good" in str(fault)
        assert await free(world) == [True, True]


@in_virtual_time
async def test_a_store_put_back_ends_the_service_at_once():
    async with World() as world:
        copy = world.ledger.keep_copy()
        await world.ready_for(FLOW)
        await world.until(world.shown)
        await world.scheduler.kill()
        world.ledger.put_back(copy)
        await world.pass_time(60)
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(60):
                await own_until(asyncio.Event(), world.scheduler.hosts, never)
        assert caught.value.subgroup(StoreRolledBack) is not None
        assert await free(world) == [True, True]


@in_virtual_time
async def test_health_says_of_each_partition_where_it_stands():
    async with World() as world:
        connected = True
        second = world.start_scheduler("scheduler-2")
        probe = ready_probe(world.scheduler.hosts, lambda: connected)
        other = ready_probe(second.hosts, lambda: connected)
        await world.until(lambda: second.owned == [RUN_PARTITION])
        await world.pass_time(1)
        bus = Check("nats", ok=True, detail="connected")
        assert list(await probe()) == [
            bus,
            Check(CATALOG_PARTITION, ok=True, detail="owned"),
            Check(RUN_PARTITION, ok=True, detail="owned by scheduler-2"),
        ]
        assert list(await other()) == [
            bus,
            Check(CATALOG_PARTITION, ok=True, detail="owned by scheduler-1"),
            Check(RUN_PARTITION, ok=True, detail="owned"),
        ]
        connected = False
        assert (await probe())[0] == Check("nats", ok=False, detail="not connected")


@in_virtual_time
async def test_health_tells_why_a_partition_is_not_owned_and_that_it_is_catching_up():
    async with World() as world:
        await world.scheduler.kill()
        late = world.start_scheduler("late")
        probe = ready_probe(late.hosts, lambda: True)
        assert [check.detail for check in (await probe())[1:]] == ["not started"] * 2
        world.trigger("unknown")
        late.gate.hold("take")
        await world.until(lambda: late.gate.waiting == ["take"] * 2)
        assert [check.detail for check in (await probe())[1:]] == ["consuming what has arrived"] * 2
        late.gate.let_go()
        await world.until(lambda: late.ready)
        world.bus.stop()
        await world.pass_time(30)
        details = [check.detail for check in (await probe())[1:]]
        assert all(detail.startswith("TransientFault: ") for detail in details), details
