"""Agents that plan: what a person has seen is what is applied, on a real stack."""

from __future__ import annotations

import pytest

from penstock_testkit.stack import Json, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

PLANNER = {"agent": "noop-planner", "with": {"payload": {"deep": [1, 2.5, "ü"]}}}


def topics(stack: RunningStack, run: str) -> list[str]:
    return [event.topic.split(".")[1] for event in stack.stored(run)]


async def test_an_approved_plan_is_applied(stack: RunningStack) -> None:
    await stack.apply("planned", {"only": PLANNER})
    run = await stack.trigger("planned")
    approval = await stack.pending_approval(run)
    shown: Json = await stack.get(f"/api/approvals/{approval}")
    _ = await stack.respond(approval, "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded", ended
    assert "nothing would be done" in str(shown)
    assert topics(stack, run) == [
        "run_started", "task_scheduled", "plan_made", "gate_opened", "gate_passed",
        "task_scheduled", "task_started", "node_succeeded", "run_succeeded",
    ]  # fmt: skip


async def test_a_rejected_plan_is_never_applied(stack: RunningStack) -> None:
    await stack.apply("planned", {"only": PLANNER})
    run = await stack.trigger("planned")
    _ = await stack.respond(await stack.pending_approval(run), "reject", "no")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "failed"
    assert "task_started" not in topics(stack, run)


async def test_nothing_to_apply_asks_nobody(stack: RunningStack) -> None:
    only = {"agent": "noop-planner", "with": {"nothing": True, "payload": 1}}
    await stack.apply("idle", {"only": only}, outputs={"said": "{{only.output.payload}}"})
    ended = await stack.ended(await stack.trigger("idle"))

    assert ended["run"]["status"] == "succeeded"
    assert ended["run"]["outputs"] == {"said": 1}
    assert "gate_opened" not in topics(stack, ended["run"]["run_id"])


async def test_feedback_leads_to_another_plan(stack: RunningStack) -> None:
    await stack.apply("planned", {"only": PLANNER})
    run = await stack.trigger("planned")
    first = await stack.pending_approval(run)
    _ = await stack.respond(first, "push_back", "with less noise")

    async def asked_again() -> bool:
        return await stack.pending_approval(run) != first

    await stack.until(asked_again)
    second = await stack.pending_approval(run)
    shown = await stack.get(f"/api/approvals/{second}")
    assert "with less noise" in str(shown)  # the planner's summary repeats what it was told
    _ = await stack.respond(second, "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded"
    assert topics(stack, run).count("plan_made") == 2
    assert topics(stack, run).count("task_started") == 1


async def test_a_failed_apply_is_planned_and_asked_again(stack: RunningStack) -> None:
    only = {
        "agent": "noop-planner",
        "with": {"payload": 1, "fail_times": 1},
        "retry": {"attempts": 2, "delay": "50ms"},
    }
    await stack.apply("again", {"only": only})
    run = await stack.trigger("again")
    first = await stack.pending_approval(run)
    _ = await stack.respond(first, "approve")

    async def asked_again() -> bool:
        return await stack.pending_approval(run) != first

    await stack.until(asked_again)
    _ = await stack.respond(await stack.pending_approval(run), "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded"
    assert topics(stack, run).count("gate_passed") == 2
    assert topics(stack, run).count("attempt_failed") == 1
