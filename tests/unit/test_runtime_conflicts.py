"""Defects and damage that the store shows: each costs one message or one run, never the fleet."""

from collections.abc import Sequence

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.records import EventMeta, NewRecord, chain_hash, encode_state
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_runtime.faults import TransientFault, VersionConflict
from penstock_runtime.ports.ledger import Commit
from penstock_testkit.builders.workflows import linear, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.store import WorldLedger
from penstock_testkit.world.world import RUN_PARTITION

FLOW = workflow(nodes=linear("a", "b"))


class Refusing(WorldLedger):
    """A store that refuses events of one type as if they existed, or loses its replies."""

    topic = ""
    lose_replies = 0
    land = True

    async def commit(self, commit: Commit) -> Sequence[int]:
        if any(event.topic == self.topic for event in commit.events):
            raise VersionConflict("it exists already")
        if commit.events and self.lose_replies:
            self.lose_replies -= 1
            if self.land:
                await super().commit(commit)
            raise TransientFault("no reply")
        return await super().commit(commit)


def refusing() -> tuple[World, Refusing]:
    world = World()
    world.ledger = ledger = Refusing(world.clock)
    return world, ledger


@in_virtual_time
async def test_a_version_conflict_parks_the_culprit_and_the_others_go_on():
    world, ledger = refusing()
    async with world:
        await world.ready_for(FLOW)
        world.script.acts[("a", 1)] = Act(after_s=5)
        ledger.topic = "run.node_succeeded.v1"
        run = world.trigger("flow")
        await world.until(lambda: bool(world.parked(RUN_PARTITION)))
        (parked,) = world.parked(RUN_PARTITION)
        assert parked.code == Code.INVARIANT_BROKEN
        assert parked.aggregate is None
        assert not world.ended(run)
        ledger.topic = ""
        other = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(other))
        assert world.scheduler.ready


@in_virtual_time
async def test_a_version_conflict_of_a_timer_puts_that_timer_off():
    world, ledger = refusing()
    async with world:
        retry = {"attempts": 2, "delay": "5s", "jitter": 0}
        await world.ready_for(workflow(nodes={"a": node(retry=retry)}))
        world.script.acts[("a", 1)] = Act.failing(again=True)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "attempt_failed") == 1)
        ledger.topic = "run.task_scheduled.v1"
        await world.pass_time(10)
        ledger.topic = ""
        assert world.scheduler.ready
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"


@in_virtual_time
async def test_a_lost_reply_of_the_store_neither_loses_nor_doubles_anything():
    for land in (True, False):
        world, ledger = refusing()
        async with world:
            await world.ready_for(FLOW)
            ledger.land, ledger.lose_replies = land, 3
            run = world.trigger("flow")
            await world.until(lambda world=world, run=run: world.ended(run), 300)
            assert world.story(run).count("node_succeeded") == 2
            assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 1
            assert ledger.lose_replies == 0


async def append_unknown(ledger: WorldLedger, run: str) -> None:
    """Store an event of a type that this version does not know, in its place in the chain."""
    row = await ledger.acquire(RUN_PARTITION, "scheduler-1", 0.0)
    assert row is not None
    version = len((await ledger.load([run]))[run]) + 1
    topic, state = "run.never_heard_of.v1", encode_state(EventMeta(1), row.chain_head, {})
    head = chain_hash(row.chain_head, run, version, topic, state)
    event = NewRecord(run, version, topic, state)
    await ledger.commit(
        Commit(
            RUN_PARTITION, row.epoch, row.commit_number, row.n + 1, head, (event,), row.positions
        )
    )  # fmt: skip


@in_virtual_time
async def test_a_history_that_cannot_be_read_costs_its_own_run_only():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts[("a", 1)] = Act(silent=True)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_scheduled") == 1)
        await world.pass_time(1)
        await world.scheduler.kill()
        await append_unknown(world.ledger, run)
        world.cancel(run)
        world.scheduler = world.start_scheduler()
        await world.until(lambda: bool(world.parked(RUN_PARTITION)), 300)
        assert world.parked(RUN_PARTITION)[0].code == Code.INVARIANT_BROKEN
        world.script.acts.clear()
        other = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(other))
        assert world.scheduler.ready


@in_virtual_time
async def test_numbers_that_json_does_not_have_are_no_trigger():
    async with World() as world:
        await world.ready_for(FLOW)
        for text in (b'{"inputs":{"n":NaN}}', b'{"inputs":{"n":-Infinity}}'):
            world.bus.store(subjects.trigger("default", "workflow.flow"), text)
        await world.until(lambda: len(world.parked(CATALOG_PARTITION)) == 2)
        assert {parked.code for parked in world.parked(CATALOG_PARTITION)} == {Code.MALFORMED}
