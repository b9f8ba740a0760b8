"""Artifacts through a whole world: kept, lost, missed, pruned, whatever ends in between."""

from __future__ import annotations

import pytest

from penstock_adapters.memory.artifacts import MemoryShelf, MemoryVault
from penstock_adapters.memory.publisher import MemoryPublisher
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts.run.v1 import AttemptFailed, NodeSucceeded, TaskResultReceived
from penstock_core.effects import BringBack
from penstock_runtime.dispatch import Renderer
from penstock_runtime.keeping import DAY_S, PRUNE_EVERY_S, QUESTIONS_MAX, ArtifactKeeper
from penstock_runtime.ports.artifacts import ArtifactGone, ArtifactMissing
from penstock_runtime.telemetry.metrics import ARTIFACTS_KEPT, ARTIFACTS_PRUNED
from penstock_testkit.builders.workflows import linear, node, workflow
from penstock_testkit.conformance.artifacts import key_of, pieces, read_all
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.virtual_time import VirtualClock, in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.script import artifacts_of
from penstock_testkit.world.world import RETENTION_DAYS, RUN_PARTITION

FLOW = workflow(nodes=linear("a", "b"))
REPORT = b"a long report" * 10_000
LEFT = Act(leaves={"report.txt": REPORT, "small.txt": b"x"})
KEY = key_of(REPORT)


async def ended_well(world: World, run: str) -> None:
    await world.until(lambda: world.ended(run), 20_000)
    assert world.story(run)[-1] == "run_succeeded"
    await world.until(world.shown, 900)
    assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_what_a_task_leaves_is_durable_before_its_node_settles():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = LEFT
        run = world.trigger("flow")
        await ended_well(world, run)
        story = world.story(run)
        assert story.index("task_result_received") < story.index("node_succeeded")
        settled = world.facts(RUN_PARTITION, NodeSucceeded.TYPE)[0]
        assert isinstance(settled, NodeSucceeded)
        assert settled.artifacts == tuple(artifact for artifact, _ in artifacts_of(LEFT))
        assert await read_all(world.vault, KEY) == REPORT


@in_virtual_time
async def test_equal_content_is_kept_once():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = world.script.acts["b", 1] = LEFT
        await ended_well(world, world.trigger("flow"))
        assert world.metrics.of(ARTIFACTS_KEPT, "stored") == 2
        assert world.metrics.of(ARTIFACTS_KEPT, "known") == 2


@in_virtual_time
async def test_a_scheduler_that_dies_before_the_copy_is_followed_by_one_that_makes_it():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = LEFT
        world.vault.up = False
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_result_received") == 1)
        await world.scheduler.kill()
        world.vault.up = True
        world.start_scheduler("scheduler-2")
        await ended_well(world, run)
        assert world.count(run, "task_scheduled") == 2
        assert world.count(run, "node_succeeded") == 2


@in_virtual_time
async def test_a_vault_that_was_away_is_asked_again():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = LEFT
        world.vault.up = False
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_result_received") == 1)
        await world.pass_time(120)
        world.vault.up = True
        await ended_well(world, run)
        assert len(world.facts(RUN_PARTITION, TaskResultReceived.TYPE)) == 1


@in_virtual_time
async def test_what_is_lost_on_the_way_is_made_again():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = Act(leaves=LEFT.leaves, uploads=False)
        world.script.acts["a", 2] = LEFT
        run = world.trigger("flow")
        await ended_well(world, run)
        (failed,) = world.facts(RUN_PARTITION, AttemptFailed.TYPE)
        assert isinstance(failed, AttemptFailed)
        assert failed.error.code == "artifact_lost"
        assert "'report.txt' was lost" in failed.error.message


@in_virtual_time
async def test_a_once_task_is_not_made_again():
    async with World() as world:
        await world.ready_for(workflow(nodes={"a": node(agent="pay")}))
        world.script.acts["a", 1] = Act(leaves=LEFT.leaves, uploads=False)
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run), 900)
        assert world.story(run)[-2:] == ["node_failed", "run_failed"]
        assert world.script.seen == [("a", 1)]


@in_virtual_time
async def test_whoever_misses_one_has_it_put_back():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = LEFT
        run = world.trigger("flow")
        await ended_well(world, run)
        world.cache.content.clear()
        world.restore(run, KEY.digest)
        await world.until(lambda: KEY in world.cache.content)
        assert await read_all(world.cache, KEY) == REPORT
        before = len(world.records(RUN_PARTITION))
        world.restore(run, key_of(b"no artifact of this run").digest)
        await world.pass_time(10)
        assert list(world.cache.content) == [KEY]
        assert len(world.records(RUN_PARTITION)) == before


@in_virtual_time
async def test_what_is_old_is_pruned_and_readers_are_told():
    async with World() as world:
        await world.ready_for(FLOW)
        world.script.acts["a", 1] = LEFT
        run = world.trigger("flow")
        await ended_well(world, run)
        world.vault.age(RETENTION_DAYS * DAY_S)
        await world.pass_time(PRUNE_EVERY_S + 1)
        assert world.metrics.of(ARTIFACTS_PRUNED) == 2
        with pytest.raises(ArtifactGone):
            await read_all(world.cache, KEY)
        world.cache.content.clear()
        world.restore(run, KEY.digest)
        await world.until(lambda: KEY in world.cache.content)
        with pytest.raises(ArtifactGone):
            await read_all(world.cache, KEY)


async def test_damage_is_noticed_at_the_end_of_what_is_read():

    shelf = MemoryShelf()
    await shelf.put(KEY, pieces(REPORT))
    shelf.content[KEY] = REPORT[:-1] + b"?"
    reading = shelf.read(KEY)
    with pytest.raises(ArtifactMissing, match="its content is not"):
        await anext(reading)


async def nothing() -> None:
    pass


async def test_there_is_a_bound_on_what_waits():
    clock = VirtualClock()
    keeper = ArtifactKeeper(
        MemoryShelf(),
        MemoryVault(clock),
        MemoryPublisher(MemoryServer(clock)),
        Renderer("penstock/artifacts", "service:scheduler").render,
        clock,
        KeptMetrics(),
        RETENTION_DAYS,
        nothing,
    )
    asked = [keeper.ask(BringBack("default", str(n))) for n in range(QUESTIONS_MAX + 1)]
    assert asked == [True] * QUESTIONS_MAX + [False]
    assert keeper.ask(BringBack("default", "0"))
