"""Several instances of a service at one store: shares, deaths, pauses, and more partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Choice
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    Stream,
    run_partition,
)
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import TransientFault
from penstock_runtime.host import LEASE_S, OPEN_S, RENEW_S
from penstock_runtime.ports.inbox import Attachment, Source
from penstock_runtime.ports.ledger import Witness
from penstock_runtime.sharing import FAILING_CAP_S, LOOK_S, share
from penstock_testkit.builders.workflows import gate, linear, node, workflow
from penstock_testkit.virtual_time import VirtualClock, in_virtual_time
from penstock_testkit.world import Act, Instance, World

FLOW = workflow(nodes=linear("a", "b"))
GATED = workflow(nodes={"a": node(), "ok": gate("a"), "b": node("ok")})
MOVED_WITHIN_S = 5.0
SETTLES_S = 30.0
GIVES_UP_S = 120.0
TRIES_MAX = 100  # in ten minutes; 300 if it came back after the same time each time


class Poisoned(MemoryInbox):
    """Cannot be attached."""

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        raise TransientFault("a stream has no leader")


class Slow(MemoryInbox):
    """Takes longer to attach than an epoch may take to open at first."""

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        await VirtualClock().sleep(3 * OPEN_S)
        return await super().attach(positions)


def of(world: World, *instances: Instance) -> list[str]:
    """Name all partitions that these own, each as often as it is owned."""
    return sorted(name for one in instances for name in one.owned)


def epochs(world: World, names: Sequence[str]) -> dict[str, int]:
    return {name: world.ledger.epoch_of(name) for name in names}


def every(count: int) -> list[str]:
    return sorted([CATALOG_PARTITION, *map(run_partition, range(count))])


def seconds(world: World, since_us: int) -> float:
    return (world.clock.now_us() - since_us) / MICROSECONDS


async def balanced(
    world: World, partitions: int, *instances: Instance, within_s: float = SETTLES_S
) -> None:
    """Wait until these own everything, each as many as the others or one more."""

    def so() -> bool:
        counts = [len(one.owned) for one in instances]
        return sum(counts) == partitions + 1 and max(counts) - min(counts) <= 1

    await world.until(so, within_s)


# --- shares --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "partitions", "expected"),
    [
        ([], 5, 5),
        ([0], 2, 1),
        ([0], 3, 2),  # one more, as nobody has it
        ([2], 3, 1),  # the other has it
        ([0, 0], 2, 1),
        ([1, 1], 2, 0),
        ([2, 2], 4, 1),  # two have one more where one may
        ([0, 0, 0], 1, 1),
        ([5], 4, 2),  # a look out of date
    ],
)
def test_a_share_is_as_many_as_others_have_or_one_more(
    others: list[int], partitions: int, expected: int
):
    assert share(others, partitions) == expected


@pytest.mark.parametrize(("instances", "partitions"), [(2, 1), (2, 4), (3, 4), (3, 9), (4, 2)])
@in_virtual_time
async def test_partitions_spread_evenly_and_then_stay(instances: int, partitions: int):
    async with World() as world:
        names = [f"scheduler-{i}" for i in range(2, instances + 1)]
        more = [world.start_scheduler(name, partitions) for name in names]
        everyone = (world.scheduler, *more)
        await balanced(world, partitions, *everyone)
        assert of(world, *everyone) == every(partitions)
        before = epochs(world, every(partitions))
        await world.pass_time(60)
        assert of(world, *everyone) == every(partitions)
        assert epochs(world, every(partitions)) == before


@in_virtual_time
async def test_a_scheduler_that_is_added_takes_load_while_runs_go_on():
    async with World() as world:
        await world.scheduler.kill()
        world.scheduler = world.start_scheduler("scheduler-1", 4)
        await balanced(world, 4, world.scheduler)
        await world.ready_for(FLOW)
        runs = [world.trigger("flow", f"early-{number}") for number in range(8)]
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 4, world.scheduler, second)
        runs += [world.trigger("flow", f"late-{number}") for number in range(8)]
        await world.until(lambda: all(world.ended(run) for run in runs))
        assert {world.story(run)[-1] for run in runs} == {"run_succeeded"}
        assert len(world.run_partitions()) == 4
        await world.until(world.shown)


# --- deaths and pauses ---------------------------------------------------------------------------


@in_virtual_time
async def test_what_a_dead_scheduler_held_is_served_within_five_seconds():
    async with World() as world:
        second = world.start_scheduler("scheduler-2", 4)
        await balanced(world, 4, world.scheduler, second)
        await world.pass_time(RENEW_S / 2)
        died_us = world.clock.now_us()
        world.ledger.freeze_leases("scheduler-1")
        await world.scheduler.kill()
        await world.until(lambda: second.owned == every(4))
        assert LEASE_S - RENEW_S <= seconds(world, died_us) < MOVED_WITHIN_S


@in_virtual_time
async def test_a_paused_scheduler_is_succeeded_and_takes_its_share_again_when_it_wakes():
    async with World() as world:
        await world.ready_for(FLOW)
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 1, world.scheduler, second)
        paused_us = world.clock.now_us()
        second.gate.hold()
        await world.until(lambda: world.scheduler.owned == every(1))
        assert seconds(world, paused_us) < MOVED_WITHIN_S
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        second.gate.let_go()
        await balanced(world, 1, world.scheduler, second)
        other = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(other))
        assert world.count(run, "node_succeeded") == world.count(other, "node_succeeded") == 2


@in_virtual_time
async def test_an_orderly_stop_hands_over_at_once():
    async with World() as world:
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 1, world.scheduler, second)
        left_us = world.clock.now_us()
        await world.scheduler.kill()
        await world.until(lambda: second.owned == every(1))
        assert seconds(world, left_us) < 2 * LOOK_S


@in_virtual_time
async def test_nobody_loses_a_lease_because_the_store_stood_still_for_all():
    async with World() as world:
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 1, world.scheduler, second)
        before = epochs(world, every(1))
        both = (world.scheduler, second)
        for one in both:
            one.gate.hold("renew", "attend")
        await world.pass_time(2 * LEASE_S)
        for one in reversed(both):
            one.gate.let_go()
        await world.pass_time(10)
        assert epochs(world, every(1)) == before
        assert of(world, *both) == every(1)


@in_virtual_time
async def test_one_that_comes_no_further_leaves_its_share_to_those_that_can():
    async with World() as world:
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 1, world.scheduler, second)
        second.gate.hold("attach")  # it is granted epochs and comes no further
        for stream in (Stream.RUNS, Stream.CATALOG):
            world.bus.recreate(stream)
        await world.until(lambda: world.scheduler.owned == every(1), GIVES_UP_S)
        second.gate.let_go()
        await balanced(world, 1, world.scheduler, second)


@in_virtual_time
async def test_one_that_fails_over_and_over_is_left_out_for_longer_each_time():
    async with World() as world:
        second = world.start_scheduler("scheduler-2")
        await balanced(world, 1, world.scheduler, second)
        second.gate.refuse("attach")
        for stream in (Stream.RUNS, Stream.CATALOG):
            world.bus.recreate(stream)
        await world.until(lambda: world.scheduler.owned == every(1), GIVES_UP_S)
        before = epochs(world, every(1))
        await world.pass_time(600)
        after = epochs(world, every(1))
        assert sum(after.values()) - sum(before.values()) < TRIES_MAX
        second.gate.let_go()
        await balanced(world, 1, world.scheduler, second, within_s=2 * FAILING_CAP_S)


@in_virtual_time
async def test_what_one_cannot_serve_does_not_keep_it_from_the_rest():
    async with World() as world:
        await world.scheduler.kill()
        await world.ledger.declare(every(3))
        assert await world.ledger.acquire(run_partition(2), "gone", 10.0)
        poisoned = subjects.runs_of_partition(run_partition(0))

        def inbox(bus: MemoryServer, sources: Sequence[Source]) -> MemoryInbox:
            kind = Poisoned if poisoned in {one.subject_filter for one in sources} else MemoryInbox
            return kind(bus, sources)

        world.make_inbox = inbox
        alone = world.start_scheduler("scheduler-1", 3)
        rest = [name for name in every(3) if name != run_partition(0)]
        await world.until(lambda: alone.owned == rest, SETTLES_S)


@in_virtual_time
async def test_an_epoch_that_opens_slowly_is_given_more_time_at_each_try():
    async with World() as world:
        await world.scheduler.kill()
        world.make_inbox = Slow
        slow = world.start_scheduler("scheduler-1")
        await world.until(lambda: slow.ready, GIVES_UP_S)


@in_virtual_time
async def test_of_two_approval_services_one_stands_by_and_follows_within_five_seconds():
    async with World() as world:
        await world.ready_for(GATED)
        standby = world.start_approval("approval-2")
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.pass_time(RENEW_S / 2)
        died_us = world.clock.now_us()
        world.approvals.freeze_leases("approval-1")
        await world.approval.kill()
        await world.until(lambda: standby.ready)
        assert seconds(world, died_us) < MOVED_WITHIN_S
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"


@in_virtual_time
async def test_a_paused_approval_service_that_wakes_is_refused_at_the_store_and_by_the_relay():
    async with World() as world:
        await world.ready_for(GATED)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.until(world.shown)
        world.approval.gate.hold("publish_unit")  # what it has committed is not in EVENTS yet
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: "publish_unit" in world.approval.gate.waiting)
        world.approval.gate.hold()
        standby = world.start_approval("approval-2")
        await world.until(lambda: standby.ready)
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        relayed = len(world.published(APPROVAL_PARTITION))
        world.approval.gate.let_go()
        await world.pass_time(30)
        assert len(world.published(APPROVAL_PARTITION)) == relayed, "the late unit was taken"
        numbers = [event.n for event in world.published(APPROVAL_PARTITION)]
        assert numbers == sorted(set(numbers))
        assert standby.ready
        assert not world.approval.ready


@pytest.mark.parametrize("turns", range(8))
@in_virtual_time
async def test_a_stop_at_the_moment_of_a_fault_is_a_stop(turns: int):
    async with World() as world:
        world.scheduler.gate.hold("renew")
        await world.until(lambda: world.scheduler.gate.waiting == ["renew"] * 2)
        for name in every(1):
            assert await world.ledger.acquire(name, "scheduler-1", LEASE_S)
        world.scheduler.gate.let_go()  # to learn that the lease is another's
        for _ in range(turns):
            await asyncio.sleep(0)
        (task,) = [one for one in world.scheduler.tasks if one.get_name() == "scheduler-1"]
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=60)
        assert done


# --- partitions that are added -------------------------------------------------------------------


@in_virtual_time
async def test_partitions_are_added_while_runs_are_in_flight():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts[("a", 1)] = Act(after_s=20)
        old = [world.trigger("flow", f"old-{number}") for number in range(6)]
        await world.until(lambda: all("task_scheduled" in world.story(run) for run in old))
        second = world.start_scheduler("scheduler-2", 4)
        await balanced(world, 4, world.scheduler, second)
        await world.pass_time(2 * LOOK_S)  # the owner of the catalog has looked as well
        new = [world.trigger("flow", f"new-{number}") for number in range(24)]
        await world.until(lambda: all(world.ended(run) for run in (*old, *new)))
        assert {world.story(run)[-1] for run in (*old, *new)} == {"run_succeeded"}
        places = {run: {r.partition for r in world.history(run)} for run in (*old, *new)}
        assert all(places[run] == {run_partition(0)} for run in old)
        assert set.union(*(places[run] for run in new)) == set(map(run_partition, range(4)))
        await world.until(world.shown)
        for run in (old[0], new[0]):
            assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_partitions_never_become_fewer():
    async with World() as world:
        second = world.start_scheduler("scheduler-2", 3)
        await balanced(world, 3, world.scheduler, second)
        await second.kill()
        await world.scheduler.kill()
        world.scheduler = world.start_scheduler("scheduler-1", 1)
        await balanced(world, 3, world.scheduler)
        assert world.scheduler.owned == every(3)


@in_virtual_time
async def test_a_run_that_was_matched_into_a_new_partition_waits_for_its_owner():
    async with World() as world:
        await world.ready_for(FLOW)
        await world.ledger.declare(every(8))
        for number in range(1, 8):  # nobody can own them yet
            assert await world.ledger.acquire(run_partition(number), "another", 10.0)
        await world.pass_time(2 * LOOK_S)
        runs = [world.trigger("flow", f"t-{number}") for number in range(16)]
        await world.pass_time(5)
        assert 0 < sum(world.ended(run) for run in runs) < len(runs)
        await world.until(lambda: all(world.ended(run) for run in runs))
        assert len(world.facts(run_partition(0), RunStarted.TYPE)) < len(runs)
