"""Claims, cancels and stops."""

from penstock_contracts import subjects
from penstock_contracts.agent.v1 import Workspace
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ClaimTask
from penstock_runtime.ports.sandbox import ExitReason
from penstock_runtime.telemetry import metrics as m
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld, once

SCANNER = PROBE.model_copy(update={"workspaces": (Workspace(input="repository_path"),)})


# --- claims -------------------------------------------------------------------------------------


def nonce_of(world: ExecutorWorld) -> str:
    return ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce


async def test_a_once_task_begins_when_its_claim_is_granted() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        assert world.sandbox.ran == []
        await world.answer_claim(task, "another-nonce", granted=False)
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"

    (result,) = world.results()
    assert result.nonce == nonce_of(world)
    claim = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0])
    assert (claim.token, claim.executor) == ("code-of-the-task", "executor.one")
    assert world.metrics.of(m.CLAIMS, "granted") == 1


async def test_a_claimed_task_whose_agent_was_ended_in_its_middle_is_unknown() -> None:
    async with ExecutorWorld(once()) as world:
        world.sandbox.ends(ExitReason.TIMEOUT, detail="ran longer than 60 s")
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    assert result.error.message == (
        "the agent ran longer than 60 s and was ended; the effect may have happened"
    )


async def test_a_refused_claim_is_acknowledged_and_nothing_has_happened() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=False)
        assert await world.settled(item) == "ack"

    assert world.results() == []
    assert world.sandbox.ran == []


async def test_a_claim_is_sent_each_second_and_given_up_after_thirty() -> None:
    async with ExecutorWorld(once()) as world:
        item = world.deliver()
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.clock.advance(31.0)
        assert await world.settled(item) == "back 5"

    claims = world.data_of(ClaimTask.TYPE)
    assert len(claims) == 30
    assert len({str(claim["nonce"]) for claim in claims}) == 1
    assert all(message.message_id is None for message in world.publisher.sent)
    assert world.sandbox.ran == []


async def test_each_delivery_draws_another_nonce() -> None:
    async with ExecutorWorld(once()) as world:
        for _ in range(2):
            item = world.deliver()
            count = len(world.data_of(ClaimTask.TYPE))
            await world.until(lambda seen=count: len(world.data_of(ClaimTask.TYPE)) > seen)
            await world.clock.advance(31.0)
            assert await world.settled(item) == "back 5"

    assert len({str(claim["nonce"]) for claim in world.data_of(ClaimTask.TYPE)}) == 2


async def test_a_once_task_that_is_refused_beforehand_claims_nothing() -> None:
    async with ExecutorWorld(once(SCANNER)) as world:
        result = await world.result(world.task(input={"repository_path": "/etc"}))

    assert result.nonce is None
    assert world.data_of(ClaimTask.TYPE) == []


async def test_a_claim_answer_that_cannot_be_read_is_passed_over() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.control.send(subjects.control("default", task.task_id, "claim"), b"nonsense")
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"


# --- cancel and stop ----------------------------------------------------------------------------


async def test_a_cancelled_task_is_killed_and_acknowledged_without_a_result() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.sandbox.ran)
        await world.control.send(subjects.control("default", task.task_id, "cancel"), b"")
        assert await world.settled(item) == "ack"
        world.sandbox.hold.set()
        assert await world.settled(world.deliver(world.task("next"))) == "ack"

    assert world.sandbox.killed == [task.task_id]
    assert [result.node for result in world.results()] == ["next"]


async def test_a_claim_may_be_cancelled_while_it_waits() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.control.send(subjects.control("default", task.task_id, "cancel"), b"")
        assert await world.settled(item) == "ack"

    assert world.results() == []


async def test_a_cancel_for_somebody_elses_task_changes_nothing() -> None:
    async with ExecutorWorld() as world:
        other = world.task("other").task_id
        await world.control.send(subjects.control("default", other, "cancel"), b"")
        assert (await world.result()).error is None


async def test_a_stop_lets_running_tasks_end() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        world.sandbox.hold.set()
        await world.ended()

    assert item.fates == ["ack"]
    assert len(world.results()) == 1
    assert world.heartbeats.entries == {}


async def test_after_the_grace_a_repeatable_task_goes_back() -> None:
    async with ExecutorWorld(grace_s=5.0) as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(5.0)
        await world.ended()

    assert item.fates == ["back 0"]
    assert world.results() == []
    assert len(world.sandbox.killed) == 1


async def test_after_the_grace_a_begun_once_task_has_an_unknown_outcome() -> None:
    async with ExecutorWorld(once(), grace_s=5.0) as world:
        world.sandbox.hold.clear()
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=True)
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(5.0)
        await world.ended()

    assert item.fates == ["ack"]
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    assert result.nonce == nonce_of(world)


async def test_a_second_delivery_of_a_running_task_goes_back() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        first = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        assert await world.settled(world.deliver()) == "back 30"
        world.sandbox.hold.set()
        assert await world.settled(first) == "ack"

    assert len(world.sandbox.ran) == 1
