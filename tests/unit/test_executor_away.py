"""What runs tasks is away, or goes away under one: nothing fails that could wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.executor.v1 import BreakerState, ReportBreaker
from penstock_contracts.run.v1 import ClaimTask
from penstock_contracts.task.v1 import Outcome
from penstock_contracts.values import Phase
from penstock_executor.breakers import MAX_UNSENT
from penstock_runtime.breaker import Breaker, BreakerRules
from penstock_runtime.ports.bus import Published
from penstock_runtime.ports.sandbox import ExitReason, SandboxHealth
from penstock_runtime.telemetry import metrics as m
from penstock_testkit.fakes.bus import KeptItem
from penstock_testkit.fakes.executor import ExecutorWorld, once
from penstock_testkit.fakes.sandbox import AVAILABLE, DONE
from tests.unit.patching_world import Patching

RULES = BreakerRules(failures=5)
AWAY = SandboxHealth("scripted", "none", False, (), "the engine does not answer", "start it")
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def reports(world: ExecutorWorld) -> list[ReportBreaker]:
    return [ReportBreaker.model_validate(data) for data in world.data_of(ReportBreaker.TYPE)]


async def claimed(world: ExecutorWorld, reason: ExitReason) -> KeptItem:
    """Let a `once` task begin in a sandbox that is not there."""
    world.sandbox.ends(reason, detail="no engine")
    task = world.task()
    item = world.deliver(task)
    await world.until(lambda: world.data_of(ClaimTask.TYPE))
    nonce = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce
    await world.answer_claim(task, nonce, granted=True)
    assert await world.settled(item) == "ack"
    return item


# --- fates --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [ExitReason.UNAVAILABLE, ExitReason.LOST])
async def test_a_repeatable_task_goes_back_and_costs_no_attempt(reason: ExitReason):
    async with ExecutorWorld() as world:
        world.sandbox.ends(reason, detail="no engine")
        assert await world.settled(world.deliver()) == "back 5"
    assert world.results() == []
    assert world.metrics.of(m.TASKS_GIVEN_BACK, "default", f"sandbox_{reason.value}") == 1


async def test_a_claimed_task_that_was_never_started_has_not_happened():
    async with ExecutorWorld(once()) as world:
        await claimed(world, ExitReason.UNAVAILABLE)
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.SANDBOX_FAILED, True)
    assert result.error.message == "nothing was started: no engine"


async def test_a_claimed_task_whose_engine_went_away_is_unknown():
    async with ExecutorWorld(once()) as world:
        await claimed(world, ExitReason.LOST)
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    assert result.error.message == "what ran the agent went away; the effect may have happened"


@pytest.mark.parametrize("reason", [ExitReason.UNAVAILABLE, ExitReason.LOST])
async def test_a_plan_is_made_again(tmp_path: Path, reason: ExitReason):
    patching = Patching(tmp_path)
    async with patching.world as world:
        world.sandbox.ends(reason, detail="no engine")
        assert await world.settled(world.deliver(patching.task(Phase.PLAN))) == "back 5"
    assert world.results() == []
    patching.nothing_is_left()


async def test_an_approved_plan_whose_engine_went_away_was_not_landed(tmp_path: Path):
    patching = Patching(tmp_path)
    async with patching.world as world:
        world.sandbox.ends(ExitReason.LOST, detail="no engine")
        item = await patching.claimed(patching.task(Phase.APPLY))
        assert await world.settled(item) == "ack"
    (result,) = world.results()
    assert result.error is not None
    assert result.error.code == Code.UNKNOWN_OUTCOME
    assert result.error.message.startswith(
        "what ran the agent went away; nothing was landed in the repository"
    )
    patching.nothing_is_left()


async def test_secrets_are_taken_out_of_what_an_engine_says():
    manifest = once().model_copy(update={"secrets": ("api-key",)})
    async with ExecutorWorld(manifest, secrets={"api-key": "hunter22"}) as world:
        world.sandbox.ends(ExitReason.UNAVAILABLE, detail="refused hunter22")
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        nonce = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce
        await world.answer_claim(task, nonce, granted=True)
        assert await world.settled(item) == "ack"
    (result,) = world.results()
    assert result.error is not None
    assert "hunter22" not in result.error.message


# --- looking again ------------------------------------------------------------------------------


async def test_after_a_task_that_found_it_away_the_sandbox_is_looked_at_before_the_next():
    async with ExecutorWorld() as world:
        assert await world.settled(world.deliver()) == "ack"
        world.sandbox.ends(ExitReason.UNAVAILABLE, detail="no engine")
        world.sandbox.health = AWAY
        assert await world.settled(world.deliver(world.task("second"))) == "back 5"
        await world.until(lambda: not world.metrics.of(m.SANDBOX_AVAILABLE, "scripted"))
        # One pull may have been waiting already; what comes after it stays in the queue.
        last = world.deliver(world.task("third"))
        await world.clock.advance(1.0)
        (check,) = await world.executor.checks()
        assert not check.ok
        world.sandbox.health, world.sandbox.result = AVAILABLE, DONE
        await world.clock.advance(10.0)
        assert await world.settled(last) in ("ack", "back 5")


async def test_nothing_is_claimed_while_the_sandbox_is_away():
    async with ExecutorWorld(once(), breaker=RULES) as world:
        await world.until(lambda: world.metrics.of(m.SANDBOX_AVAILABLE, "scripted"))
        world.sandbox.health = AWAY
        await world.clock.advance(61.0)  # the good look is old: the next task looks again
        item = world.deliver()
        await world.clock.advance(10.0)
        assert item.fates in ([], ["back 5"])
        assert world.data_of(ClaimTask.TYPE) == []
    assert world.sandbox.ran == []


# --- the breaker --------------------------------------------------------------------------------


async def test_five_failures_open_it_tasks_wait_and_a_probe_lets_them_run():
    async with ExecutorWorld(breaker=RULES, capacity=8) as world:
        world.sandbox.ends(ExitReason.UNAVAILABLE, detail="no engine")
        first = [world.deliver(world.task(f"n{number}")) for number in range(5)]
        for item in first:
            assert await world.settled(item) == "back 5"
        await world.until(lambda: [one.state for one in reports(world)] == [CLOSED, OPEN])
        await world.until(lambda: not world.metrics.of(m.SANDBOX_AVAILABLE, "scripted"))

        world.sandbox.result = DONE
        await world.clock.advance(30.0)
        assert world.results() == []
        (check,) = await world.executor.checks()
        assert (check.ok, check.detail) == (
            False, "the circuit breaker is open: no engine: next try in 30 s",
        )  # fmt: skip
        assert check.data["breaker"] == {
            "state": "OPEN",
            "failures": 5,
            "reason": "no engine",
            "since_us": reports(world)[-1].since_us,
            "until_us": reports(world)[-1].until_us,
        }
        assert world.heartbeats.entries["executor-one"]["breaker"] == check.data["breaker"]

        await world.clock.advance(35.0)
        again = world.deliver(world.task("n0"))
        assert await world.settled(again) == "ack"
        await world.until(lambda: len(reports(world)) == 4)
        beat = world.heartbeats.entries["executor-one"]["breaker"]
    assert isinstance(beat, dict)
    assert (beat["state"], beat["reason"]) == ("CLOSED", "")
    assert [one.state for one in reports(world)] == [CLOSED, OPEN, HALF_OPEN, CLOSED]
    assert [result.outcome for result in world.results()] == [Outcome.SUCCEEDED]
    assert len(world.sandbox.ran) == 6


async def test_a_report_is_a_command_to_the_catalog_about_this_executor():
    async with ExecutorWorld(breaker=RULES) as world:
        await world.until(lambda: reports(world))
    (message,) = [sent for sent in world.publisher.sent if sent.stream == "CATALOG"]
    assert message.subject == "penstock.default.catalog.executor.executor-one.report_breaker"
    envelope = Envelope.decode(message.payload)
    assert (envelope.type, envelope.actor) == (ReportBreaker.TYPE, "service:executor")
    (report,) = reports(world)
    assert (report.executor, report.pool, report.adapter) == ("executor.one", "default", "scripted")
    assert envelope.id == f"penstock/executor/executor.one/breaker/{report.since_us}"


async def test_a_bus_that_is_away_delays_reports_and_no_task():
    world = ExecutorWorld(breaker=RULES)
    world.publisher.outcomes.append(Published.FAILED)
    async with world:
        await world.until(lambda: not world.publisher.outcomes)
        assert await world.settled(world.deliver()) == "ack"
        assert reports(world) == []
        await world.clock.advance(10.0)
        await world.until(lambda: reports(world))
    assert [one.state for one in reports(world)] == [CLOSED]


async def test_an_executor_without_a_breaker_reports_none():
    async with ExecutorWorld() as world:
        assert await world.settled(world.deliver()) == "ack"
        (check,) = await world.executor.checks()
    assert check.data["breaker"] is None
    assert reports(world) == []


async def test_a_stop_does_not_wait_for_an_engine_that_hangs():
    world = ExecutorWorld(breaker=RULES)
    world.sandbox.answers.clear()
    async with world:
        item = world.deliver()
        await world.until(lambda: world.sandbox.looks)
        world.stop.set()
        await world.ended()
    assert item.fates == []


async def test_of_many_changes_while_the_bus_is_away_the_newest_are_kept():
    world = ExecutorWorld()
    for number in range(MAX_UNSENT + 3):
        world.breaker.note(Breaker(state=OPEN, since_us=number))
    async with world:
        await world.until(lambda: len(reports(world)) == MAX_UNSENT)
    assert [one.since_us for one in reports(world)] == list(range(3, MAX_UNSENT + 3))
