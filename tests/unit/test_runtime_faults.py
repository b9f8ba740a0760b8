"""What befalls owners, streams and stores, and that nothing is lost and nothing counts twice."""

import asyncio

import pytest

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_runtime.faults import StoreRolledBack
from penstock_runtime.telemetry.metrics import INCARNATIONS
from penstock_testkit.builders.workflows import WORK, gate, linear, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION

PARTITIONS = (CATALOG_PARTITION, RUN_PARTITION, APPROVAL_PARTITION)
FLOW = workflow(nodes=linear("a", "b"))
GATED = workflow(nodes={"a": node(), "ok": gate("a"), "b": node("ok")})


def check_store(world: World) -> None:
    """Gap-free numbers and versions; one success per node; one end per run."""
    for partition in PARTITIONS:
        records = world.records(partition)
        assert [r.n for r in records] == list(range(1, len(records) + 1))
        versions: dict[str, int] = {}
        for record in records:
            versions[record.aggregate_id] = versions.get(record.aggregate_id, 0) + 1
            assert record.version == versions[record.aggregate_id]


async def check_end(world: World, run: str, nodes: int = 2) -> None:
    """The run ended well, once; EVENTS and view hold exactly what the store holds."""
    await world.until(lambda: world.ended(run), 900)
    assert world.story(run)[-1] == "run_succeeded"
    assert world.count(run, "node_succeeded") == nodes
    await world.until(world.shown, 900)
    check_store(world)
    for partition in PARTITIONS:
        assert world.relayed(partition)
    assert await world.view_hash(run) == await world.store_hash(run)


# --- two owners ----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_paused_owners_commit_is_refused_and_its_successor_decides():
    async with World() as world:
        await world.ready_for(FLOW)
        world.scheduler.gate.hold("commit")
        run = world.trigger("flow")
        await world.until(lambda: "commit" in world.scheduler.gate.waiting)
        world.scheduler.gate.hold()  # the whole process stands still
        other = world.start_scheduler("scheduler-2")
        await world.until(lambda: other.ready)
        await world.until(lambda: world.ended(run))
        world.scheduler.gate.let_go()
        await world.pass_time(30)
        assert not world.scheduler.ready
        assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 1
        await check_end(world, run)


@in_virtual_time
async def test_a_paused_owners_relay_is_refused_and_leaves_nothing_in_events():
    async with World() as world:
        await world.ready_for(FLOW)
        await world.until(world.shown)
        world.scheduler.gate.hold("publish_unit")
        run = world.trigger("flow")
        await world.until(lambda: world.scheduler.gate.waiting.count("publish_unit") == 2)
        world.scheduler.gate.hold()
        other = world.start_scheduler("scheduler-2")
        await world.until(lambda: other.ready)
        await world.until(lambda: world.ended(run))
        world.scheduler.gate.let_go()
        await world.pass_time(30)
        for partition in (CATALOG_PARTITION, RUN_PARTITION):
            numbers = [event.n for event in world.published(partition)]
            assert numbers == sorted(set(numbers)), "the stale owner wrote"
        assert not world.scheduler.ready
        await check_end(world, run)


@in_virtual_time
async def test_nobody_takes_over_while_the_lease_is_kept():
    async with World() as world:
        other = world.start_approval("approval-2")
        await world.pass_time(120)
        assert world.approval.ready
        assert not other.ready


# --- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["publish", "publish_unit", "commit"])
@in_virtual_time
async def test_a_scheduler_that_dies_between_two_steps_is_followed_by_one_that_completes(held: str):
    async with World() as world:
        await world.ready_for(FLOW)
        world.scheduler.gate.hold(held)
        run = world.trigger("flow")
        await world.until(lambda: held in world.scheduler.gate.waiting)
        await world.pass_time(1)
        await world.scheduler.kill()
        world.scheduler = world.start_scheduler()
        await check_end(world, run)


@pytest.mark.parametrize("held", ["publish", "publish_unit", "commit"])
@in_virtual_time
async def test_a_decision_is_not_lost_with_the_approval_service_that_made_it(held: str):
    async with World() as world:
        await world.ready_for(GATED)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.pass_time(0.2)
        world.approval.gate.hold(held)
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: held in world.approval.gate.waiting)
        await world.approval.kill()
        started = world.clock.now_us()
        world.approval = world.start_approval()
        await check_end(world, run, nodes=3)
        assert (world.clock.now_us() - started) / 1e6 < 30, "only the re-ask has mended it"


@in_virtual_time
async def test_a_takeover_relays_only_behind_the_effects_of_the_dead():
    async with World() as world:
        await world.ready_for(FLOW)
        await world.until(world.shown)
        world.scheduler.gate.hold("publish")
        run = world.trigger("flow")
        await world.until(lambda: "publish" in world.scheduler.gate.waiting)
        await world.scheduler.kill()
        stored = len(world.records(CATALOG_PARTITION))
        other = world.start_scheduler()
        other.gate.hold("publish")
        world.register(WORK)  # a commit of the new owner while nothing of the old is out
        await world.until(lambda: len(world.records(CATALOG_PARTITION)) > stored)
        await world.pass_time(20)
        assert not world.relayed(CATALOG_PARTITION), "a marker claims effects that are not out"
        other.gate.let_go()
        await check_end(world, run)


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [Stream.RUNS, Stream.TRIGGERS, Stream.TASKS, Stream.APPROVALS])
@in_virtual_time
async def test_a_deleted_stream_is_made_again_and_loses_nothing(stream: Stream):
    async with World() as world:
        await world.ready_for(GATED)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        world.bus.delete_stream(stream)
        await world.pass_time(15)
        if stream is not Stream.TASKS:  # only whoever publishes notices that one
            assert world.bus.exists(stream)
        world.vote(run, "ok", Choice.APPROVE)
        await check_end(world, run, nodes=3)


@in_virtual_time
async def test_a_stream_put_back_to_an_older_copy_is_read_anew():
    async with World() as world:
        await world.ready_for(FLOW)
        for number in range(5):
            world.trigger("flow", f"early-{number}")
        copy = world.bus.keep_copy()
        for number in range(5, 10):
            world.trigger("flow", f"early-{number}")
        await world.until(lambda: len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 10)
        await world.pass_time(2)
        before = world.metrics.of(INCARNATIONS, Stream.TRIGGERS)
        world.bus.put_back({Stream.TRIGGERS: copy[Stream.TRIGGERS]})
        runs = [world.trigger("flow", f"later-{number}") for number in range(8)]
        await world.until(lambda: all(world.ended(run) for run in runs), 300)
        assert world.metrics.of(INCARNATIONS, Stream.TRIGGERS) == before + 1
        assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 18
        check_store(world)


@in_virtual_time
async def test_a_witness_that_fails_before_the_commit_holds_the_batch_back():
    async with World() as world:
        await world.ready_for(FLOW)
        world.trigger("flow", "t0")
        await world.until(lambda: len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 1)
        await world.pass_time(1)
        copy = world.bus.keep_copy()
        world.trigger("flow", "t1")
        await world.until(lambda: len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 2)
        await world.pass_time(1)
        # The copy lacks t1; two new triggers take its place, the first under its sequence.
        world.bus.put_back({Stream.TRIGGERS: copy[Stream.TRIGGERS]})
        runs = [world.trigger("flow", name) for name in ("t2", "t3")]
        await world.until(lambda: all(world.ended(run) for run in runs), 300)
        check_store(world)


@in_virtual_time
async def test_events_cut_short_are_published_again():
    async with World() as world:
        await world.ready_for(FLOW)
        await world.until(world.shown)
        kept = world.bus.stream(Stream.EVENTS).last_sequence
        first = world.trigger("flow", "t1")
        await check_end(world, first)
        world.bus.cut(Stream.EVENTS, kept - 2)
        await world.pass_time(30)
        await check_end(world, first)
        second = world.trigger("flow", "t2")
        await check_end(world, second)


@in_virtual_time
async def test_a_deleted_events_stream_is_built_again_in_store_order():
    async with World() as world:
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await check_end(world, run)
        world.bus.recreate(Stream.EVENTS)
        await world.pass_time(30)
        await check_end(world, run)
        for partition in PARTITIONS:
            numbers = [event.n for event in world.published(partition)]
            assert numbers == list(range(1, len(world.records(partition)) + 1))


@in_virtual_time
async def test_the_whole_bus_is_lost_while_a_run_waits_at_its_gate():
    async with World() as world:
        await world.ready_for(GATED)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.until(world.shown)
        before = await world.store_hash(run)
        world.bus.stop()
        for stream in Stream:
            world.bus.delete_stream(stream)
        await world.pass_time(20)
        world.bus.start()
        await world.pass_time(60)
        assert await world.store_hash(run) == before
        assert await world.view_hash(run) == before
        world.vote(run, "ok", Choice.APPROVE)
        await check_end(world, run, nodes=3)
        assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 1


@in_virtual_time
async def test_an_outage_of_the_bus_is_only_a_pause():
    async with World() as world:
        world.script.acts[("a", 1)] = Act(after_s=5)
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_scheduled") == 1)
        await world.pass_time(1)
        world.bus.stop()
        await world.pass_time(2)
        world.bus.start()
        await check_end(world, run)


# --- re-asking -----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_lost_start_is_asked_for_again_after_a_minute():
    async with World() as world:
        await world.ready_for(FLOW)
        world.bus.limit(Stream.RUNS, 0)  # refused for lack of space: counts as relayed
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(CATALOG_PARTITION, TriggerMatched.TYPE)))
        await world.pass_time(30)
        assert world.relayed(CATALOG_PARTITION)
        world.bus.limit(Stream.RUNS, None)
        started = world.clock.now_us()
        await world.until(lambda: world.ended(run))
        assert 28 <= (world.clock.now_us() - started) / 1e6 <= 40
        await check_end(world, run)


@in_virtual_time
async def test_a_lost_task_is_asked_for_again():
    async with World() as world:
        world.bus.limit(Stream.TASKS, 0)
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_scheduled") == 1)
        world.bus.limit(Stream.TASKS, None)
        await check_end(world, run)


@in_virtual_time
async def test_a_lost_decision_is_given_again_when_asked():
    async with World() as world:
        await world.ready_for(GATED)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        world.bus.limit(Stream.RUNS, 0)
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: len(world.facts(APPROVAL_PARTITION)) == 3)
        await world.pass_time(1)
        world.bus.limit(Stream.RUNS, None)
        await check_end(world, run, nodes=3)


# --- the store -----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_store_put_back_is_noticed_before_anything_is_committed():
    async with World() as world:
        await world.ready_for(FLOW)
        copy = world.ledger.keep_copy()
        run = world.trigger("flow")
        await check_end(world, run)
        await world.scheduler.kill()
        world.ledger.put_back(copy)
        before = {partition: world.records(partition) for partition in PARTITIONS}
        other = world.start_scheduler()
        done, _ = await asyncio.wait(other.tasks, timeout=60, return_when="FIRST_EXCEPTION")
        faults = [task.exception() for task in done]
        assert faults
        assert all(_is_rollback(fault) for fault in faults)
        assert {partition: world.records(partition) for partition in PARTITIONS} == before


def _is_rollback(fault: BaseException | None) -> bool:
    if isinstance(fault, BaseExceptionGroup):
        return all(_is_rollback(inner) for inner in fault.exceptions)
    return isinstance(fault, StoreRolledBack)
