"""One trigger through all processes, in memory and in virtual time."""

import pytest

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_testkit.builders.workflows import DIAMOND, gate, linear, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION

PARTITIONS = (CATALOG_PARTITION, RUN_PARTITION, APPROVAL_PARTITION)


@in_virtual_time
async def test_a_trigger_becomes_a_run_that_ends():
    async with World() as world:
        await world.ready_for(workflow(nodes=linear("a", "b", "c")))
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        assert world.story(run) == [
            "run_started", "task_scheduled",
            "node_succeeded", "task_scheduled",
            "node_succeeded", "task_scheduled",
            "node_succeeded", "run_succeeded",
        ]  # fmt: skip
        await world.until(world.shown)
        assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_a_run_stops_at_its_gate_until_a_person_decides():
    nodes = {**DIAMOND, "ok": gate("join"), "tell": node("ok")}
    async with World() as world:
        world.script.acts[("top", 1)] = Act({"value": 1})
        await world.ready_for(workflow(nodes=nodes))
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "gate_opened") == 1)
        await world.pass_time(600)
        assert not world.ended(run)
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        assert world.count(run, "node_succeeded") == 6
        await world.until(world.shown)
        assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_an_approval_that_expires_denies():
    async with World() as world:
        await world.ready_for(workflow(nodes={"ok": gate(expires="10m")}))
        run = world.trigger("flow")
        started = world.clock.now_us()
        await world.until(lambda: world.ended(run), 900)
        assert 600 <= (world.clock.now_us() - started) / 1e6 < 603
        cause = (await world.state(run)).cause
        assert cause is not None
        assert cause.error.code == "expired"


@in_virtual_time
async def test_a_once_agent_runs_after_its_claim_was_granted():
    async with World() as world:
        await world.ready_for(workflow(nodes={"pay": node(agent="pay")}))
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        assert world.script.granted == [("pay", 1)]
        assert world.story(run) == [
            "run_started", "task_scheduled", "task_started", "node_succeeded", "run_succeeded",
        ]  # fmt: skip


@in_virtual_time
async def test_a_retry_waits_its_time():
    retry = {"attempts": 2, "delay": "90s", "jitter": 0}
    async with World() as world:
        world.script.acts[("a", 1)] = Act.failing(again=True)
        await world.ready_for(workflow(nodes={"a": node(retry=retry)}))
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "attempt_failed") == 1)
        failed_us = world.clock.now_us()
        await world.until(lambda: world.ended(run))
        assert 89 <= (world.clock.now_us() - failed_us) / 1e6 < 92
        assert world.story(run)[-1] == "run_succeeded"


@in_virtual_time
async def test_three_copies_of_a_trigger_start_one_run():
    async with World() as world:
        await world.ready_for(workflow(nodes=linear("a")))
        run = world.trigger("flow", "same")
        world.trigger("flow", "same")
        await world.until(lambda: world.ended(run))
        world.trigger("flow", "same")
        await world.pass_time(5)
        assert len(world.facts(RUN_PARTITION, "run.run_started.v1")) == 1
        assert len(world.facts(CATALOG_PARTITION, "trigger.trigger_matched.v1")) == 1
        assert len(world.facts(CATALOG_PARTITION, "trigger.start_confirmed.v1")) == 1


@in_virtual_time
async def test_every_event_is_published_once_and_in_store_order():
    async with World() as world:
        await world.ready_for(workflow(nodes=DIAMOND))
        world.script.acts[("top", 1)] = Act({"value": 1})
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        for partition in PARTITIONS:
            numbers = [event.n for event in world.published(partition)]
            assert numbers == list(range(1, len(world.records(partition)) + 1))


@pytest.mark.parametrize("copies", [1, 2])
@in_virtual_time
async def test_a_cancelled_run_stops_its_task_and_its_approval(copies: int):
    nodes = {"a": node(), "ok": gate()}
    async with World() as world:
        world.script.acts[("a", 1)] = Act(silent=True)
        await world.ready_for(workflow(nodes=nodes))
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        for _ in range(copies):
            world.cancel(run, "cancel-1")
        await world.until(lambda: world.ended(run))
        names = [type(event).__name__ for event in world.facts(APPROVAL_PARTITION)]
        await world.until(
            lambda: (
                "ApprovalWithdrawn"
                in names + [type(event).__name__ for event in world.facts(APPROVAL_PARTITION)]
            )
        )
        assert world.count(run, "run_cancelled") == 1
        assert world.bus.stream("TASKS").messages == {}
