"""kill -9 of every process in the middle of a run, and loss of the whole bus."""

from __future__ import annotations

from collections import Counter

import pytest

from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_testkit.stack import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

SLOW_CHAIN = {
    "first": {"agent": "noop", "with": {"sleep_ms": 150}},
    "second": {"agent": "noop", "needs": ["first"], "with": {"sleep_ms": 150}},
    "third": {"agent": "noop", "needs": ["second"], "with": {"sleep_ms": 150}},
}


def assert_each_node_succeeded_once(stack: RunningStack, run: str, names: set[str]) -> None:
    events = stack.stored(run)
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    succeeded = Counter(
        event.data["node"] for event in events if event.topic == "run.node_succeeded.v1"
    )
    assert succeeded == Counter(dict.fromkeys(names, 1))
    endings = [event.topic for event in events if event.topic.startswith("run.run_succeeded")]
    assert len(endings) == 1
    assert stack.chain_fault("run-0") is None


@pytest.mark.parametrize(
    "victim", ["scheduler", "executor", "approval", "webhook-gateway", "nats", "postgres"]
)
async def test_run_survives_kill_9(stack: RunningStack, victim: str) -> None:
    await stack.apply("slow-chain", SLOW_CHAIN)
    run = await stack.trigger("slow-chain", of=victim)

    async def begun() -> bool:
        return len(stack.stored(run)) > 3

    await stack.until(begun)
    await stack.kill(victim)
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    assert_each_node_succeeded_once(stack, run, {"first", "second", "third"})


async def test_gate_survives_loss_of_the_whole_bus(stack: RunningStack) -> None:
    nodes = {
        "before": {"agent": "noop", "with": {"payload": {"found": 3}}},
        "review": {"needs": ["before"], "approval": {"title": "Go on?"}},
        "after": {"agent": "noop", "needs": ["review"]},
    }
    await stack.apply("gated", nodes)
    run = await stack.trigger("gated")
    approval = await stack.pending_approval(run)
    before = await stack.get(f"/api/runs/{run}")
    await stack.lose_jetstream()

    async def same() -> bool:
        try:
            return (await stack.get(f"/api/runs/{run}"))["state_hash"] == before["state_hash"]
        except (AssertionError, OSError):
            return False

    await stack.until(same)

    async def decided() -> bool:
        path, body = f"/api/approvals/{approval}/respond", {"decision": "approve"}
        try:
            status, _ = await stack.call("POST", path, body)
        except OSError:
            return False
        return status in (200, 409)

    await stack.until(decided)
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    assert_each_node_succeeded_once(stack, run, {"before", "review", "after"})


async def test_trigger_published_three_times_starts_one_run(stack: RunningStack) -> None:
    await stack.apply("once-only", {"only": {"agent": "noop"}})
    subject = subjects.trigger("default", "workflow.once-only")
    for _ in range(3):
        await stack.publish("TRIGGERS", subject, b'{"inputs": {}}', "the-same-id")
    run = run_id("default", "once-only", "msg:the-same-id")
    await stack.ended(run)
    await stack.publish("TRIGGERS", subject, b'{"inputs": {}}', "another-id")
    await stack.ended(run_id("default", "once-only", "msg:another-id"))
    listed = await stack.get("/api/runs?workflow=once-only")
    assert len(listed["items"]) == 2
