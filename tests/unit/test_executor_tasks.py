"""Refusals before the start, and what cannot be read."""

import pytest

from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.subjects import Stream
from penstock_core.workflow.plan import manifest_digest
from penstock_runtime.ports.bus import Published
from penstock_runtime.ports.sandbox import SandboxHealth
from penstock_runtime.telemetry import metrics as m
from penstock_testkit.fakes.bus import KeptItem
from penstock_testkit.fakes.clock import START_US
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld, once

OTHER_DIGEST = "sha256:" + "0" * 64


# --- refusals -----------------------------------------------------------------------------------


async def test_another_digest_is_refused_with_both_and_the_mend() -> None:
    async with ExecutorWorld() as world:
        task = world.task(agent_digest=OTHER_DIGEST)

        result = await world.result(task)

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.AGENT_UNAVAILABLE, False)
    assert OTHER_DIGEST in result.error.message
    assert world.bundles.bundles["probe"].digest in result.error.message
    assert "penstock agents register" in result.error.message
    assert world.sandbox.ran == []


async def test_an_absent_agent_is_refused() -> None:
    async with ExecutorWorld() as world:
        world.bundles.bundles.clear()

        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert "PENSTOCK_AGENT_ROOTS" in result.error.message


async def test_a_task_whose_time_is_over_is_not_started() -> None:
    async with ExecutorWorld() as world:
        result = await world.result(world.task(ends_by_us=START_US))

    assert result.error is not None
    assert result.error.code == Code.TIMEOUT_TOTAL
    assert world.sandbox.ran == []


async def test_the_tasks_own_time_bounds_the_sandbox() -> None:
    async with ExecutorWorld() as world:
        await world.result(world.task(running_s=3.0))

    assert world.sandbox.ran[0].limits.wall_s == 3.0
    assert world.sandbox.ran[0].limits.memory_bytes == 512 * 1024 * 1024


async def test_input_is_checked_against_the_manifest_without_showing_it() -> None:
    schema = {"type": "object", "properties": {"depth": {"type": "integer"}}}
    async with ExecutorWorld(PROBE.model_copy(update={"input": schema})) as world:
        result = await world.result(world.task(input={"depth": "hunter2"}))

    assert result.error is not None
    assert result.error.code == Code.INVALID_INPUTS
    assert (
        result.error.message == "the input of probe does not fit: $.depth: is not of type integer"
    )


async def test_a_missing_secret_is_named() -> None:
    async with ExecutorWorld(PROBE.model_copy(update={"secrets": ("slack-token",)})) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert "slack-token" in result.error.message


async def test_an_agent_does_without_an_optional_secret() -> None:
    asked = PROBE.to_data() | {"secrets": [{"name": "slack-token", "optional": True}]}
    async with ExecutorWorld(AgentManifest.model_validate(asked)) as world:
        result = await world.result()

    assert result.error is None
    assert dict(world.sandbox.ran[0].secrets) == {}


# --- what cannot be read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", [b"nonsense", b"{}", b'{"id":"x","type":"task.execute.v1","data":{}}', b"\xff"]
)
async def test_garbage_is_kept_and_acknowledged(payload: bytes) -> None:
    async with ExecutorWorld() as world:
        task = world.task()
        item = KeptItem(subjects.task("default", "default", "probe", task.task_id), payload)
        world.queue.put(item)
        assert await world.settled(item) == "ack"

    (message,) = world.publisher.sent
    assert message.stream == Stream.DEAD
    assert message.subject == subjects.dead(
        "default", Stream.TASKS, f"default.probe.{task.task_id}"
    )
    parked = MessageParked.model_validate(world.data_of(MessageParked.TYPE)[0])
    assert (parked.stream, parked.code, parked.size_bytes) == (
        "TASKS",
        Code.MALFORMED,
        len(payload),
    )
    assert world.metrics.of(m.TASKS_DEAD, "default") == 1


async def test_a_task_under_another_tasks_subject_is_garbage() -> None:
    async with ExecutorWorld() as world:
        item = world.item(world.task())
        item.subject = subjects.task("other", "default", "probe", world.task().task_id)
        world.queue.put(item)
        assert await world.settled(item) == "ack"

    assert world.publisher.sent[0].stream == Stream.DEAD
    assert world.sandbox.ran == []


async def test_garbage_that_cannot_be_kept_stays_on_the_queue() -> None:
    async with ExecutorWorld() as world:
        world.publisher.outcomes.append(Published.FAILED)
        item = KeptItem(subjects.task("default", "default", "probe", "x"), b"nonsense")
        world.queue.put(item)
        assert await world.settled(item) == "back 30"


# --- the sandbox's health -----------------------------------------------------------------------


async def test_without_a_sandbox_tasks_wait_and_readiness_says_why() -> None:
    world = ExecutorWorld()
    world.sandbox.health = SandboxHealth(
        "bubblewrap", "none", False, (), "user namespaces are refused", "allow them"
    )
    async with world:
        item = world.deliver()
        await world.clock.advance(1.0)
        (check,) = await world.executor.checks()
        assert (check.ok, check.detail) == (False, "user namespaces are refused: allow them")
        assert item.fates == []

        world.sandbox.health = SandboxHealth("bubblewrap", "namespaces", True, (), None, None)
        await world.clock.advance(5.0)
        assert await world.settled(item) == "ack"
        (check,) = await world.executor.checks()
        assert (check.ok, check.detail) == (True, "namespaces")


async def test_a_heartbeat_that_nobody_took_is_sent_again_soon() -> None:
    world = ExecutorWorld()
    world.heartbeats.refused = 2
    async with world:
        await world.until(lambda: world.heartbeats.refused == 1)
        await world.clock.advance(1.0)
        await world.until(lambda: world.heartbeats.refused == 0)
        assert world.heartbeats.entries == {}
        await world.clock.advance(1.0)
        await world.until(lambda: world.heartbeats.entries)
    assert world.heartbeats.entries == {}  # it left


async def test_heartbeats_say_who_runs_what() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        world.deliver()
        await world.until(lambda: world.sandbox.ran)
        await world.clock.advance(10.0)
        entry = world.heartbeats.entries["executor-one"]
        agents, digest = entry["agents"], manifest_digest(world.manifest)
        world.bundles.bundles.clear()  # what is gone is told with the next look
        await world.clock.advance(60.0)
        later = world.heartbeats.entries["executor-one"]["agents"]

    assert agents == [{"name": "probe", "version": "0.0.0", "digest": digest}]
    assert later == []
    assert entry["free"] == 3
    assert (entry["name"], entry["pool"], entry["capacity"], entry["running"]) == (
        "executor.one",
        "default",
        4,
        1,
    )
    assert entry["available"] is True


def test_the_manifest_of_a_test_is_repeatable() -> None:
    assert isinstance(PROBE, AgentManifest)
    assert PROBE.repeats
    assert not once().repeats
