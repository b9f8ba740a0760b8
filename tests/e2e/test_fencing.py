"""Two schedulers, one of them paused: the one that was overtaken can neither commit nor relay."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_testkit.stack import MODULES, RunningStack
from tests.e2e.published import assert_events_are_the_store

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.asyncio(loop_scope="module"),
]

FIRST, SECOND = "scheduler-1", "scheduler-2"
NAMES = {f"n{i}" for i in range(8)}
SLOW = {
    f"n{i}": {"agent": "noop", "with": {"sleep_ms": 100}, "needs": [f"n{i - 1}"] if i else []}
    for i in range(8)
}
STOP_WITHIN_S = 20.0


def environ_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@asynccontextmanager
async def second_scheduler(stack: RunningStack) -> AsyncGenerator[None]:
    """Run another instance beside the stack's own, with the same access and another name."""
    environ = environ_of(stack.pid("scheduler")) | {
        "PENSTOCK_NAME": SECOND,
        "PENSTOCK_INSTANCE": SECOND,
        "PENSTOCK_OPS_PORT": "0",
    }
    with (stack.home / "logs" / f"{SECOND}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULES["scheduler"], env=environ, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            assert await asyncio.wait_for(process.wait(), STOP_WITHIN_S) == 0


def owners(stack: RunningStack) -> dict[str, str]:
    with PostgresAuditor(stack.endpoints.auditor_urls["penstock_scheduler"]) as auditor:
        return {row.partition: row.owner for row in auditor.partitions()}


async def owned_by(stack: RunningStack, instance: str) -> None:
    async def all_are() -> bool:
        return set(owners(stack).values()) == {instance}

    await stack.until(all_are)


def assert_each_node_succeeded_once(stack: RunningStack, run: str) -> None:
    events = stack.stored(run)
    done = [event.data["node"] for event in events if event.topic == "run.node_succeeded.v1"]
    assert sorted(done) == sorted(NAMES)
    assert [event.version for event in events] == list(range(1, len(events) + 1))


async def test_a_paused_scheduler_that_was_overtaken_changes_nothing(stack: RunningStack) -> None:
    await stack.apply("slow", SLOW)
    assert set(owners(stack).values()) == {FIRST}
    run = await stack.trigger("slow")

    async def half_way() -> bool:
        return len(stack.stored(run)) > 6

    await stack.until(half_way)
    async with second_scheduler(stack):
        paused = stack.pid("scheduler")
        os.kill(paused, signal.SIGSTOP)
        try:
            subject = subjects.trigger("default", "workflow.slow")
            await stack.publish("TRIGGERS", subject, b"{}", "while-paused")
            assert (await stack.ended(run))["run"]["status"] == "succeeded"
            await owned_by(stack, SECOND)
            other = run_id("default", "slow", "msg:while-paused")
            assert (await stack.ended(other))["run"]["status"] == "succeeded"
        finally:
            os.kill(paused, signal.SIGCONT)  # it finds messages to decide on, and its old epoch
        log = stack.home / "logs" / "scheduler.log"

        async def fenced() -> bool:
            lines = log.read_text().splitlines()
            said = [line for line in lines if "an epoch has ended" in line and "Fenced" in line]
            return len({name for name in ("catalog", "run-0") for s in said if name in s}) == 2

        await stack.until(fenced)
        assert stack.pid("scheduler") == paused
        assert set(owners(stack).values()) == {SECOND}
        again = await stack.trigger("slow")
        assert (await stack.ended(again))["run"]["status"] == "succeeded"
    await owned_by(stack, FIRST)
    last = await stack.trigger("slow")
    await stack.ended(last)
    for each in (run, other, again, last):
        assert_each_node_succeeded_once(stack, each)
    for name in ("catalog", "run-0"):
        assert stack.chain_fault(name) is None
    await assert_events_are_the_store(stack)
    listed = await stack.get("/api/runs?workflow=slow")
    assert len(listed["items"]) == 4
