"""A sandbox behind its circuit breaker: what counts, what is let through, what hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.wrappers.breaker import END_S, BreakingSandbox
from penstock_contracts.executor.v1 import BreakerState
from penstock_runtime.breaker import Breaker, BreakerRules
from penstock_runtime.ports.sandbox import (
    ExitReason,
    Limits,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)
from penstock_runtime.telemetry import metrics as m
from penstock_testkit.fakes.clock import ManualClock, turns
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.fakes.sandbox import AVAILABLE, DONE, ScriptedSandbox

RULES = BreakerRules(failures=5, window_s=120.0, open_s=60.0, hang_s=30.0)
WALL_S = 10.0
LIMITS = Limits(1, 1, 1.0, WALL_S, 1, 1, 1)
SPEC = SandboxSpec("task", Path("/nowhere"), ("agent",), b"{}", LIMITS)
AWAY = SandboxHealth("scripted", "none", False, (), "the engine does not answer", "start it")
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def ignore(_line: LogLine) -> None:
    """Whatever is printed."""


class Engine(ScriptedSandbox):
    """Fails at looks as told, and does not end what is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.look_error: Exception | None = None
        self.stubborn = False  # does not even end what is cancelled
        self.print: Callable[[LogLine], None] = ignore

    async def check(self) -> SandboxHealth:
        health = await super().check()
        if self.look_error is not None:
            raise self.look_error
        return health

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        self.print = on_log
        try:
            return await super().run(spec, on_log)
        except asyncio.CancelledError:
            if self.stubborn:
                await self.hold.wait()
            raise


class World:
    def __init__(self, rules: BreakerRules = RULES) -> None:
        self.clock = ManualClock()
        self.engine = Engine()
        self.metrics = KeptMetrics()
        self.told: list[Breaker] = []
        self.sandbox = BreakingSandbox(
            self.engine, "dagger", self.clock, rules, self.metrics, self.told.append
        )

    @property
    def states(self) -> list[BreakerState]:
        return [breaker.state for breaker in self.told]

    async def run(self, spec: SandboxSpec = SPEC) -> SandboxResult:
        return await self.sandbox.run(spec, ignore)

    async def open(self) -> None:
        self.engine.ends(ExitReason.UNAVAILABLE, detail="no engine")
        for _ in range(RULES.failures):
            await self.run()
        assert self.states[-1] is OPEN

    def failures(self, kind: str) -> float:
        return self.metrics.of(m.SANDBOX_FAILURES, "dagger", kind)


@pytest.fixture
def world() -> World:
    return World()


async def test_what_a_task_does_is_no_failure_of_the_engine(world: World):
    own = [
        reason for reason in ExitReason if reason not in (ExitReason.UNAVAILABLE, ExitReason.LOST)
    ]
    for reason in own * 3:
        world.engine.ends(reason, detail="of the task")
        assert (await world.run()).reason is reason
    assert world.states == [CLOSED]


async def test_unavailable_and_lost_open_it_and_tasks_reach_the_engine_no_more(world: World):
    for number in range(RULES.failures):
        reason = ExitReason.UNAVAILABLE if number % 2 else ExitReason.LOST
        world.engine.ends(reason, detail="no engine")
        assert (await world.run()).reason is reason
    world.engine.result = DONE
    refused = await world.run()
    assert refused.reason is ExitReason.UNAVAILABLE
    assert refused.detail == "the circuit breaker is open: no engine"
    assert len(world.engine.ran) == RULES.failures
    assert world.states == [CLOSED, OPEN]
    assert (world.failures("unavailable"), world.failures("lost")) == (2, 3)
    assert world.metrics.of(m.BREAKER_OPENED, "dagger") == 1
    stands = [world.metrics.of(m.BREAKER_STATE, "dagger", state) for state in BreakerState]
    assert stands == [0, 1, 0]


async def test_while_it_is_open_a_look_says_so_without_trying(world: World):
    await world.sandbox.check()
    await world.open()
    await world.clock.advance(20)
    health = await world.sandbox.check()
    assert not health.available
    assert (health.adapter, health.isolation) == (AVAILABLE.adapter, AVAILABLE.isolation)
    assert health.obstacle == "the circuit breaker is open: no engine"
    assert health.mend == "next try in 40 s"
    assert world.engine.looks == 1


async def test_the_next_look_after_its_time_is_the_probe_and_closes_it(world: World):
    await world.open()
    await world.clock.advance(60)
    assert (await world.sandbox.check()).available
    assert world.states == [CLOSED, OPEN, HALF_OPEN, CLOSED]
    world.engine.result = DONE
    assert (await world.run()) == DONE


async def test_a_failing_probe_opens_it_for_as_long_again(world: World):
    await world.open()
    world.engine.health = AWAY
    await world.clock.advance(60)
    health = await world.sandbox.check()
    assert health.obstacle == "the circuit breaker is open: the engine does not answer"
    assert health.mend == "start it; next try in 60 s"
    await world.clock.advance(59)
    await world.sandbox.check()
    assert world.engine.looks == 1
    await world.clock.advance(1)
    world.engine.health = AVAILABLE
    assert (await world.sandbox.check()).available
    assert world.states == [CLOSED, OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]
    assert world.metrics.of(m.BREAKER_OPENED, "dagger") == 2


async def test_there_is_one_probe_however_many_look_and_no_task_beside_it(world: World):
    await world.open()
    await world.clock.advance(60)
    world.engine.answers.clear()
    looks = [asyncio.create_task(world.sandbox.check()) for _ in range(8)]
    await turns()
    assert world.states[-1] is HALF_OPEN
    assert (await world.run()).reason is ExitReason.UNAVAILABLE
    _ = looks[0].cancel()  # who gives up does not end the look of the others
    world.engine.answers.set()
    await turns()
    assert all(look.result().available for look in looks[1:])
    assert world.engine.looks == 1


async def test_looks_that_find_nothing_can_run_count(world: World):
    world.engine.health = AWAY
    for _ in range(RULES.failures - 1):
        assert await world.sandbox.check() == AWAY
        await world.clock.advance(5)
    health = await world.sandbox.check()
    assert health.obstacle == "the circuit breaker is open: the engine does not answer"
    assert (world.states, world.failures("check")) == ([CLOSED, OPEN], 5)


async def test_a_look_that_raises_is_an_answer(world: World):
    world.engine.look_error = ConnectionError("with a secret in its text")
    health = await world.sandbox.check()
    assert (health.available, health.adapter) == (False, "dagger")
    assert health.obstacle == "the sandbox failed: ConnectionError"
    assert world.failures("error") == 1


async def test_a_look_that_hangs_is_ended_and_counts(world: World):
    world.engine.answers.clear()
    look = asyncio.create_task(world.sandbox.check())
    await world.clock.advance(RULES.hang_s - 1)
    assert not look.done()
    await world.clock.advance(1)
    assert look.done()
    assert look.result().obstacle == "it has not answered for 30 s"
    assert world.failures("hung") == 2  # after 20 s, and at its end


async def test_a_task_that_hangs_is_ended_lost_and_counts(world: World):
    printed: list[str] = []
    world.engine.hold.clear()
    running = asyncio.create_task(world.sandbox.run(SPEC, lambda line: printed.append(line.text)))
    await turns()
    world.engine.print(LogLine("stdout", "before", 0))
    await world.clock.advance(WALL_S + RULES.hang_s - 1)
    assert not running.done()
    await world.clock.advance(1)
    result = running.result()
    assert (result.reason, result.wall_s) == (ExitReason.LOST, WALL_S + RULES.hang_s)
    assert result.detail == "a task did not end 30 s after its time was over"
    assert (world.engine.killed, world.failures("hung")) == (["task"], 1)
    world.engine.print(LogLine("stdout", "after", 0))
    assert printed == ["before"]


async def test_what_cannot_even_be_cancelled_is_left_to_itself(world: World):
    world.engine.hold.clear()
    world.engine.stubborn = True
    running = asyncio.create_task(world.run())
    await world.clock.advance(WALL_S + RULES.hang_s)
    assert not running.done()
    await world.clock.advance(END_S)
    assert running.result().reason is ExitReason.LOST
    world.engine.hold.set()
    await turns()


async def test_a_cancelled_task_is_ended_before_its_caller_goes_on(world: World):
    world.engine.hold.clear()
    running = asyncio.create_task(world.run())
    await turns()
    _ = running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.engine.killed == ["task"]
    assert world.states == [CLOSED]


async def test_an_error_of_the_adapter_counts_and_is_passed_on(world: World):
    world.engine.error = RuntimeError("with a payload in its text")
    for _ in range(RULES.failures):
        with pytest.raises(RuntimeError):
            await world.run()
    assert (world.states, world.failures("error")) == ([CLOSED, OPEN], 5)
    assert world.told[-1].reason == "the sandbox failed: RuntimeError"


async def test_a_secret_that_an_engine_repeats_is_not_told(world: World):
    world.engine.ends(ExitReason.UNAVAILABLE, detail="refused the password hunter2")
    for _ in range(RULES.failures):
        await world.run(replace(SPEC, secrets={"PASSWORD": "hunter2", "EMPTY": ""}))
    assert world.told[-1].reason == "what it said cannot be shown"


async def test_a_task_that_ends_badly_after_it_opened_does_not_prolong_it(world: World):
    world.engine.hold.clear()
    late = asyncio.create_task(world.run())
    world.engine.health = AWAY
    for _ in range(RULES.failures):
        await world.sandbox.check()
    assert world.states == [CLOSED, OPEN]
    await world.clock.advance(30)
    world.engine.ends(ExitReason.LOST, detail="it went away")
    world.engine.hold.set()
    assert (await late).reason is ExitReason.LOST
    world.engine.health = AVAILABLE
    await world.clock.advance(30)
    assert (await world.sandbox.check()).available
    assert world.failures("lost") == 1


async def test_closing_ends_a_look_and_the_inner_one(world: World):
    world.engine.answers.clear()
    look = asyncio.create_task(world.sandbox.check())
    await turns()
    await world.sandbox.close()
    assert world.engine.closed
    with pytest.raises(asyncio.CancelledError):
        await look


async def test_an_engine_that_only_hangs_opens_it_within_the_window():
    rules = BreakerRules()  # as they are by default
    world = World(rules)
    world.engine.answers.clear()
    look = asyncio.create_task(world.sandbox.check())
    await world.clock.advance(rules.window_s - rules.silence_s - 1)
    assert not look.done()
    await world.clock.advance(1)
    assert look.result().obstacle == ("the circuit breaker is open: it has not answered for 100 s")
    assert (world.states, world.failures("hung")) == ([CLOSED, OPEN], 5)

    await world.clock.advance(rules.open_s)
    probe = asyncio.create_task(world.sandbox.check())
    await world.clock.advance(rules.hang_s - 1)  # an engine that is cold has all of it
    assert not probe.done()
    world.engine.answers.set()
    assert (await probe).available
    assert world.states == [CLOSED, OPEN, HALF_OPEN, CLOSED]


async def test_a_probe_that_hangs_is_ended_and_opens_it_again(world: World):
    await world.open()
    await world.clock.advance(RULES.open_s)
    world.engine.answers.clear()
    probe = asyncio.create_task(world.sandbox.check())
    await world.clock.advance(RULES.hang_s)
    assert not probe.result().available
    assert world.states == [CLOSED, OPEN, HALF_OPEN, OPEN]
    assert world.told[-1].reason == "it has not answered for 30 s"
    assert world.failures("hung") == 1
