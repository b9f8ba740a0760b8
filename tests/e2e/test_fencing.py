"""Two schedulers, one of them paused: the one that was overtaken can neither commit nor relay."""

from __future__ import annotations

import os
import signal

import pytest

from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_testkit.instances import Extra, Owners, Written
from penstock_testkit.stack import RunningStack
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


async def owned_by(stack: RunningStack, *instances: str) -> None:
    """Wait until these own something each, and nobody else owns anything."""
    with Owners(stack) as owners:

        async def so() -> bool:
            return set(owners.counts()) == set(instances)

        await stack.until(so)


def assert_each_node_succeeded_once(stack: RunningStack, run: str) -> None:
    events = stack.stored(run)
    done = [event.data["node"] for event in events if event.topic == "run.node_succeeded.v1"]
    assert sorted(done) == sorted(NAMES)
    assert [event.version for event in events] == list(range(1, len(events) + 1))


async def test_a_paused_scheduler_that_was_overtaken_changes_nothing(stack: RunningStack) -> None:
    await stack.apply("slow", SLOW)
    await owned_by(stack, FIRST)
    run = await stack.trigger("slow")

    async def half_way() -> bool:
        return len(stack.stored(run)) > 6

    await stack.until(half_way)
    async with Extra.beside(stack, "scheduler", SECOND):
        paused, written = stack.pid("scheduler"), Written(stack, FIRST)
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

        async def fenced() -> bool:
            return written.ended() >= {"catalog", "run-0"}

        await stack.until(fenced)
        assert stack.pid("scheduler") == paused
        await owned_by(stack, FIRST, SECOND)  # awake, it has its share again, in new epochs
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
