"""The store was put back to an earlier state: what is told of it, and how work goes on."""

import asyncio

import pytest

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Choice
from penstock_contracts.partition.v1 import StoreRecovered
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    GATEWAY_PARTITION,
    Stream,
)
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.recovering import recover, survey
from penstock_runtime.recovering_events import lost_of
from penstock_runtime.recovering_place import LEASE_S, StillServed
from penstock_scheduler.catalog import CatalogDomain
from penstock_testkit.builders.workflows import gate, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION
from tests.unit.recovering_world import all_is_well, place, recovered

AGAIN = {"attempts": 3}
PAYING = workflow(nodes={"a": node(), "pay": node("a", agent="pay", retry=AGAIN), "b": node("pay")})
ASKING = workflow(
    nodes={"ok": gate(), "pay": node("ok", agent="pay"), "b": node("pay")},
)
HELD = Act(after_s=20.0)


async def paying(world: World) -> str:
    """Start a run, and wait until its agent that acts once has begun."""
    await world.ready_for(PAYING)
    world.script.acts["pay", 1] = HELD
    run = world.trigger("flow")
    await world.until(lambda: world.count(run, "task_started") == 1)
    return run


@in_virtual_time
async def test_what_was_lost_is_found_in_events_and_comes_again():
    async with World() as world:
        await world.ready_for(PAYING)
        copy = world.ledger.keep_copy()
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        lost_n = len(world.records(RUN_PARTITION))
        await world.stop_all()
        world.ledger.put_back(copy)
        plan, done = await recovered(world)
        assert plan.put_back == {"scheduler"}
        lost = lost_of(plan.findings)
        assert lost.runs_started == [run]
        assert lost.runs_ended == [run]
        assert [(claim.node, claim.attempt) for claim in lost.claims] == [("pay", 1)]
        assert plan.lost_events >= lost_n
        assert done.settled == 0
        await world.start_all()
        await world.until(lambda: world.ended(run), 900)
        # Its result is still in RUNS, and says more than nobody knowing.
        assert world.story(run)[-1] == "run_succeeded"
        assert world.count(run, "outcome_unknown") == 1
        assert world.script.granted == [("pay", 1)]
        await all_is_well(world)


@in_virtual_time
async def test_an_effect_whose_result_is_lost_waits_for_a_person_and_is_not_repeated():
    async with World() as world:
        await world.ready_for(PAYING)
        copy = world.ledger.keep_copy()
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.stop_all()
        world.ledger.put_back(copy)
        world.bus.purge(Stream.RUNS, ">")
        await recovered(world)
        await world.start_all()
        await world.until(lambda: world.count(run, "outcome_unknown") == 1, 900)
        await world.pass_time(600)
        assert world.script.granted == [("pay", 1)]
        assert not world.ended(run)
        world.settle(run, "pay", happened=False)
        await world.until(lambda: world.ended(run), 900)
        assert world.script.granted == [("pay", 1), ("pay", 2)]
        await all_is_well(world)


@in_virtual_time
async def test_what_somebody_said_before_the_recovery_settles_nothing_after_it():
    """It was true of the first attempt, and what it allowed was done and is forgotten."""
    async with World() as world:
        await world.ready_for(PAYING)
        copy = world.ledger.keep_copy()
        world.script.acts["pay", 1] = Act(silent=True)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "outcome_unknown") == 1, 7_200)
        world.settle(run, "pay", happened=False)
        await world.until(lambda: world.ended(run), 900)
        assert world.script.granted == [("pay", 1), ("pay", 2)]
        await world.stop_all()
        world.ledger.put_back(copy)
        await recovered(world)
        await world.start_all()
        await world.until(lambda: world.count(run, "outcome_unknown") == 1, 900)
        await world.pass_time(600)
        assert world.script.granted == [("pay", 1), ("pay", 2)]
        world.settle(run, "pay", happened=True)
        await world.until(lambda: world.ended(run), 900)
        await all_is_well(world)


@pytest.mark.parametrize("events", ["there", "gone"])
@pytest.mark.parametrize("seen", ["task_scheduled", "task_started"])
@in_virtual_time
async def test_an_attempt_in_flight_becomes_unknown_with_or_without_events(events: str, seen: str):
    async with World() as world:
        await world.ready_for(PAYING)
        world.script.acts["pay", 1] = HELD
        world.scheduler.gate.hold()
        run = world.trigger("flow")
        world.scheduler.gate.let_go()
        wanted = 2 if seen == "task_scheduled" else 1
        copy = world.ledger.keep_copy()
        while world.count(run, seen) < wanted:
            await world.pass_time(0.001)
            copy = world.ledger.keep_copy()
        await world.until(lambda: world.ended(run))
        await world.stop_all()
        world.ledger.put_back(copy)
        world.bus.purge(Stream.RUNS, ">")
        if events == "gone":
            world.bus.recreate(Stream.EVENTS)
        plan, done = await recovered(world)
        assert plan.put_back == ({"scheduler"} if events == "there" else set())
        assert [(one.run_id, one.node) for one in plan.attempts] == [(run, "pay")]
        assert done.settled == plan.attempts_count == 1
        await world.start_all()
        await world.until(lambda: world.scheduler.ready)
        await world.pass_time(600)
        assert world.script.granted == [("pay", 1)]
        world.settle(run, "pay", happened=True)
        await world.until(lambda: world.ended(run), 900)
        await all_is_well(world)


@in_virtual_time
async def test_a_run_is_doubted_whose_trigger_is_sent_again_after_the_recovery():
    async with World() as world:
        await world.ready_for(PAYING)
        copy = world.ledger.keep_copy()
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        await world.stop_all()
        world.ledger.put_back(copy)
        for stream in (Stream.TRIGGERS, Stream.RUNS):
            world.bus.recreate(stream)
        await recovered(world)
        await world.start_all()
        await world.pass_time(60)
        assert world.trigger("flow") == run
        other = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(other), 900)
        await world.until(lambda: world.count(run, "outcome_unknown") == 1, 900)
        assert world.count(other, "outcome_unknown") == 0
        started = {
            record.aggregate_id: fact.doubtful
            for record, fact in zip(
                world.records(RUN_PARTITION), world.facts(RUN_PARTITION), strict=True
            )
            if isinstance(fact, RunStarted)
        }
        assert started == {run: True, other: False}


@in_virtual_time
async def test_lost_votes_and_approvals_are_asked_for_again():
    async with World() as world:
        await world.ready_for(ASKING)
        copies = world.ledger.keep_copy(), world.approvals.keep_copy()
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        await world.stop_all()
        world.ledger.put_back(copies[0])
        world.approvals.put_back(copies[1])
        plan, _ = await recovered(world)
        assert plan.put_back == {"scheduler", "approval"}
        assert len(set(lost_of(plan.findings).approvals)) == 1
        await world.start_all()
        await world.until(lambda: world.ended(run), 900)
        assert world.script.granted == [("pay", 1)]
        await all_is_well(world)


@in_virtual_time
async def test_a_recovery_is_recorded_and_epochs_rise_above_what_was_seen():
    async with World() as world:
        await world.ready_for(PAYING)
        copy = world.ledger.keep_copy()
        for _ in range(3):
            await world.scheduler.kill()
            world.scheduler = world.start_scheduler()
            await world.until(lambda: world.scheduler.ready)
            await world.pass_time(5)
        await world.stop_all()
        before = await world.ledger.row(RUN_PARTITION)
        world.ledger.put_back(copy)
        store_n = len(copy.all_of(RUN_PARTITION))
        plan, done = await recovered(world)
        for partition in (RUN_PARTITION, CATALOG_PARTITION):
            (fact,) = world.facts(partition, StoreRecovered.TYPE)
            assert isinstance(fact, StoreRecovered)
            assert fact.by == "ann"
            assert fact.reason == "the disk was lost"
            assert fact.recovery == done.recovery
            assert fact.recovered_us == plan.until_us
        library = await CatalogDomain().open_library(world.ledger)
        assert library.was_lost(plan.until_us)
        assert not library.was_lost(plan.until_us + 1)
        assert done.rows[RUN_PARTITION].epoch > before.epoch
        assert store_n == 0
        await world.start_all()
        await all_is_well(world)


@in_virtual_time
async def test_it_may_end_at_any_moment_and_begin_again():
    async with World() as world:
        run = await paying(world)
        copy = world.ledger.keep_copy()
        await world.until(lambda: world.ended(run))
        await world.stop_all()
        world.ledger.put_back(copy)

        def ends(what: str, done: int, of: int) -> None:
            if what == "emptying EVENTS":
                raise asyncio.CancelledError

        plan = await survey(place(world))
        with pytest.raises(asyncio.CancelledError):
            await recover(place(world), plan, "ann", told=ends)
        again, done = await recovered(world)
        assert again.put_back == {"scheduler"}
        assert done.settled == 0
        await world.start_all()
        await world.until(lambda: world.ended(run), 900)
        assert world.script.granted == [("pay", 1)]
        await all_is_well(world)


@in_virtual_time
async def test_no_service_gets_a_turn_while_a_recovery_takes_longer_than_its_leases():
    async with World() as world:
        run = await paying(world)
        copy = world.ledger.keep_copy()
        for _ in range(3):  # so that the store's epoch has to rise
            await world.scheduler.kill()
            world.scheduler = world.start_scheduler()
            await world.until(lambda: world.scheduler.ready)
            await world.pass_time(5)
        await world.stop_all()
        world.ledger.put_back(copy)
        before = await world.ledger.row(RUN_PARTITION)
        asked: list[PartitionRow | None] = []

        async def supervised() -> None:
            """Start as services do that somebody starts again and again."""
            while True:
                await world.clock.sleep(1)
                asked.append(await world.ledger.acquire(RUN_PARTITION, "scheduler-9", 5))
                asked.append(await world.views.acquire(GATEWAY_PARTITION, "gateway-9", 5))

        plan = await survey(place(world))
        others: list[asyncio.Task[None]] = []
        began_us = world.clock.now_us()

        def told(what: str, done: int, of: int) -> None:
            if not others:
                others.append(asyncio.create_task(supervised()))

        done = await recover(place(world, 2.5 * LEASE_S), plan, "ann", told=told)
        others[0].cancel()
        assert world.clock.now_us() - began_us > 2 * LEASE_S * MICROSECONDS
        assert len(asked) > 2 * LEASE_S
        assert all(got is None for got in asked)
        assert done.rows[RUN_PARTITION].epoch > before.epoch + 1
        await world.start_all()
        await world.until(lambda: world.ended(run), 900)
        assert world.script.granted == [("pay", 1)]


@in_virtual_time
async def test_nothing_is_done_while_a_service_is_at_work():
    async with World() as world:
        await world.ready_for(PAYING)
        plan = await survey(place(world))
        assert not plan.put_back
        assert plan.lost_events == 0
        with pytest.raises(StillServed, match="a service is at work"):
            await recover(place(world), plan, "ann")
        assert not world.facts(CATALOG_PARTITION, StoreRecovered.TYPE)


@in_virtual_time
async def test_a_store_that_events_says_too_little_of_is_doubted_with_the_one_it_contradicts():
    async with World() as world:
        await world.ready_for(ASKING)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.until(world.shown)
        copies = world.ledger.keep_copy(), world.approvals.keep_copy()
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        await world.stop_all()
        for store, copy in zip((world.ledger, world.approvals), copies, strict=True):
            store.put_back(copy)
        for partition in (CATALOG_PARTITION, RUN_PARTITION):  # EVENTS was lost, and fills again
            world.bus.purge(Stream.EVENTS, subjects.relay_marker(partition))
        for kind in ("run", "workflow", "agent", "trigger"):
            world.bus.purge(Stream.EVENTS, subjects.events_of("*", kind))
        world.bus.purge(Stream.RUNS, ">")
        plan, _ = await recovered(world)
        assert plan.put_back == {"approval"}
        assert plan.doubted == {"approval", "scheduler"}
        await world.start_all()
        await world.until(lambda: world.count(run, "outcome_unknown") == 1, 900)
        await world.pass_time(600)
        assert world.script.granted == [("pay", 1)]
