"""A circuit breaker in front of a real engine: cut off, hanging, and back again."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.wrappers.breaker import BreakingSandbox
from penstock_contracts.executor.v1 import BreakerState
from penstock_runtime.breaker import Breaker, BreakerRules
from penstock_runtime.ports.sandbox import ExitReason, Sandbox, SandboxResult, SandboxSpec
from penstock_runtime.telemetry.metrics import NoMetrics
from penstock_testkit.engine_link import EngineLink, linked
from penstock_testkit.fakes.clock import ManualClock
from penstock_testkit.sandbox_probes import LIMITS, PRELUDE, Log
from penstock_testkit.sandboxes import dagger_engine, opened_dagger

pytestmark = [pytest.mark.real, pytest.mark.dagger, pytest.mark.timeout(300)]

RULES = BreakerRules()  # as they are by default: the breaker's time is the test's
WAIT_S = 100.0
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Guarded:
    """A breaker in front of an engine, with a way to it that can be cut."""

    def __init__(self, sandbox: BreakingSandbox, link: EngineLink, bundle: Path) -> None:
        self.sandbox = sandbox
        self.link = link
        self._bundle = bundle

    async def run(self) -> SandboxResult:
        command = ("python", "-S", "-c", f"{PRELUDE}give(1)")
        async with asyncio.timeout(WAIT_S):
            return await self.sandbox.run(
                SandboxSpec("task-1", self._bundle, command, b"{}", LIMITS), Log()
            )

    async def can_run(self) -> bool:
        async with asyncio.timeout(WAIT_S):
            return (await self.sandbox.check()).available


async def warmed_up(engine: Sandbox) -> None:
    """Let an engine that is cold, on a machine that is busy, get what it needs."""
    async with asyncio.timeout(WAIT_S):
        while not (await engine.check()).available:
            pass


@asynccontextmanager
async def guarded(
    tmp_path: Path, clock: ManualClock, told: list[Breaker]
) -> AsyncIterator[Guarded]:
    bundle = tmp_path / "agent"
    bundle.mkdir()
    with tempfile.TemporaryDirectory(prefix="link-") as folder:
        async with (
            linked(dagger_engine(), Path(folder)) as link,
            opened_dagger(tmp_path / "scratch", engine=link.host) as engine,
        ):
            sandbox = BreakingSandbox(engine, "dagger", clock, RULES, NoMetrics(), told.append)
            found = Guarded(sandbox, link, bundle)
            await warmed_up(engine)
            assert await found.can_run()
            yield found


async def test_an_engine_that_goes_away_opens_it_and_closes_it_when_it_is_back(tmp_path: Path):
    clock, told = ManualClock(), list[Breaker]()
    async with guarded(tmp_path, clock, told) as engine:
        engine.link.cut()
        for _ in range(RULES.failures):
            assert (await engine.run()).reason is ExitReason.UNAVAILABLE
        assert [one.state for one in told] == [CLOSED, OPEN]
        assert (await engine.run()).detail.startswith("the circuit breaker is open: ")

        await clock.advance(RULES.open_s)
        assert not await engine.can_run()
        assert [one.state for one in told[2:]] == [HALF_OPEN, OPEN]

        await engine.link.restore()
        assert not await engine.can_run()
        await clock.advance(RULES.open_s)
        assert await engine.can_run()
        assert [one.state for one in told[4:]] == [HALF_OPEN, CLOSED]
        assert (await engine.run()).output == b"1"


async def test_an_engine_that_hangs_opens_it(tmp_path: Path):
    clock, told = ManualClock(), list[Breaker]()
    async with guarded(tmp_path, clock, told) as engine:
        engine.link.hold()
        look = asyncio.create_task(engine.sandbox.check())
        await clock.advance(RULES.window_s)
        async with asyncio.timeout(WAIT_S):
            assert not (await look).available
        assert [one.state for one in told] == [CLOSED, OPEN]
        assert told[-1].reason == "it has not answered for 100 s"

        engine.link.cut()
        await engine.link.restore()
        await clock.advance(RULES.open_s)
        assert await engine.can_run()
        assert [one.state for one in told[2:]] == [HALF_OPEN, CLOSED]
        assert (await engine.run()).output == b"1"
