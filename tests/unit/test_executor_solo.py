"""An executor without a bus: what is handed to it, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.system.clock import SystemClock
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.task.v1 import LogLines, Outcome, TaskMessage
from penstock_contracts.values import MICROSECONDS
from penstock_executor.solo import Abandoned, Solo, SoloPorts, SoloTerms, opened
from penstock_runtime.ports.sandbox import ExitReason, LogLine
from penstock_testkit.fakes.executor import (
    PROBE,
    VERIFIER,
    ExecutorWorld,
    FixedBundles,
    FixedSecrets,
    once,
)
from penstock_testkit.fakes.repositories import FolderTemporaries, KeptRepositories
from penstock_testkit.fakes.sandbox import ScriptedSandbox

WITHIN_S = 10


class Bench:
    """A solo executor among fakes; its time is real, as a command's is."""

    def __init__(self, manifest: AgentManifest, secrets: dict[str, str] | None = None) -> None:
        self.sandbox = ScriptedSandbox()
        self.lines: list[LogLines] = []
        self.ports = SoloPorts(
            sandbox=self.sandbox,
            bundles=FixedBundles([manifest], Path("/nowhere")),
            secrets=FixedSecrets(secrets or {}),
            verifier=VERIFIER,
            repositories=KeptRepositories(),
            temporaries=FolderTemporaries(Path("/nowhere")),
            clock=SystemClock(),
        )
        self._world = ExecutorWorld(manifest)  # only makes tasks here

    def task(self, **changes: Any) -> TaskMessage:
        ends_by_us = self.ports.clock.now_us() + 60 * MICROSECONDS
        return self._world.task(ends_by_us=ends_by_us, **changes)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Solo]:
        async with (
            asyncio.timeout(WITHIN_S),
            opened(self.ports, SoloTerms(), self.lines.append) as solo,
        ):
            yield solo


async def test_a_task_comes_back_as_a_result_with_what_was_printed():
    bench = Bench(PROBE)
    bench.sandbox.lines = [LogLine("stdout", "hello", 1)]
    async with bench.opened() as solo:
        first = await solo.execute(bench.task())
        second = await solo.execute(bench.task(node="again"))
    assert (first.outcome, first.output) == (Outcome.SUCCEEDED, {})
    assert second.node == "again"
    assert [lines.lines for lines in bench.lines] == [(("stdout", "hello"),)] * 2


async def test_a_failure_is_a_result_too():
    bench = Bench(PROBE)
    bench.sandbox.ends(exit_code=1)
    async with bench.opened() as solo:
        result = await solo.execute(bench.task())
        refused = await solo.execute(bench.task(node="other", agent_digest="sha256:" + "0" * 64))
    assert result.error is not None
    assert result.error.code == Code.AGENT_CRASHED
    assert refused.error is not None
    assert refused.error.code == Code.AGENT_UNAVAILABLE


async def test_a_claim_is_granted_to_who_asks():
    bench = Bench(once())
    async with bench.opened() as solo:
        result = await solo.execute(bench.task())
    assert result.outcome is Outcome.SUCCEEDED
    assert result.nonce is not None


async def test_every_secret_that_the_manifest_names_is_granted():
    manifest = PROBE.model_copy(update={"secrets": ("token",)})
    bench = Bench(manifest, {"token": "long-enough-to-be-one"})
    async with bench.opened() as solo:
        await solo.execute(bench.task())
    assert bench.sandbox.ran[0].secrets == {"TOKEN": "long-enough-to-be-one"}


@pytest.mark.parametrize("reason", [ExitReason.UNAVAILABLE, ExitReason.LOST])
async def test_what_is_given_back_is_abandoned(reason: ExitReason):
    bench = Bench(PROBE)
    bench.sandbox.ends(reason)
    async with bench.opened() as solo:
        with pytest.raises(Abandoned, match="could not run the task"):
            await solo.execute(bench.task())


async def test_what_runs_at_the_end_is_ended():
    bench = Bench(PROBE)
    bench.sandbox.hold.clear()
    async with bench.opened() as solo:
        task = bench.task()
        running = asyncio.ensure_future(solo.execute(task))
        while not bench.sandbox.ran:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    assert bench.sandbox.killed == [task.task_id]
    with pytest.raises(Abandoned):
        await running


async def test_who_waits_for_an_executor_that_failed_is_told():
    bench = Bench(PROBE)

    class Broken(ScriptedSandbox):
        async def check(self) -> Any:
            raise RuntimeError("no sandbox")

    bench.sandbox = Broken()
    ports = SoloPorts(**{
        name: getattr(bench.ports, name) for name in SoloPorts.__slots__ if name != "sandbox"
    }, sandbox=bench.sandbox)  # fmt: skip
    bench.ports = ports
    with pytest.raises(Abandoned, match="the executor ended: "):
        async with bench.opened() as solo:
            await solo.execute(bench.task())
