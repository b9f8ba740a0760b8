"""Everything that may become of a run: gates, timeouts, retries, cancellation, claims."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from penstock_testkit.stack import Json, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_S = 30.0
ACK_WAIT_S = "5"  # silence after which the queue delivers a task again
GATED: Json = {
    "before": {"agent": "noop", "with": {"payload": {"found": 3}}},
    "review": {
        "needs": ["before"],
        "approval": {"title": "Go on?", "show": {"found": "{{before.output.payload.found}}"}},
    },
    "after": {"agent": "noop", "needs": ["review"], "with": {"payload": "{{review.output}}"}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[RunningStack]:
    """Four services; what an executor took with it into its grave is delivered again soon."""
    home = tmp_path_factory.mktemp("stack") / "state"
    settings = {"PENSTOCK_SANDBOX": "inline", "PENSTOCK_ACK_WAIT_S": ACK_WAIT_S}
    async with RunningStack.started(home, **settings) as running:
        await running.register_builtin()
        yield running


def topics(stack: RunningStack, run: str) -> list[str]:
    """Names of a run's stored events, in order."""
    return [event.topic.split(".")[1] for event in stack.stored(run)]


async def until_event(stack: RunningStack, run: str, name: str) -> None:
    """Wait until an event of that name is stored."""

    async def stored() -> bool:
        return name in topics(stack, run)

    await stack.until(stored, WAIT_S)


async def approval_status(stack: RunningStack, approval: str, wanted: str) -> Json:
    """Wait until an approval is shown in a status; gives it."""

    async def there() -> bool:
        return (await stack.get(f"/api/approvals/{approval}"))["status"] == wanted

    await stack.until(there, WAIT_S)
    return await stack.get(f"/api/approvals/{approval}")


def cause(shown: Json) -> tuple[str, str, str]:
    """Node, code and message of what a run failed with."""
    assert shown["run"]["status"] == "failed", shown
    found = shown["run"]["cause"]
    return found.get("node", ""), found["error"]["code"], found["error"]["message"]


# --- gates --------------------------------------------------------------------------------------


async def test_an_approved_gate_lets_the_run_go_on_and_is_its_output(stack: RunningStack) -> None:
    await stack.apply("gated", GATED)
    run = await stack.trigger("gated")
    approval = await stack.pending_approval(run)
    asked = await stack.get(f"/api/approvals/{approval}")
    assert (asked["title"], asked["context"]) == ("Go on?", {"found": 3})
    answer = await stack.respond(approval, "approve", "three are fine")
    assert (answer["status"], answer["decided_by"]) == ("approved", ["admin"])
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    decision = {"approved": True, "by": "admin", "reason": "three are fine"}
    assert shown["nodes"]["review"]["output"] == decision
    assert shown["nodes"]["after"]["output"] == {"payload": decision}
    path, body = f"/api/approvals/{approval}/respond", {"decision": "reject", "reason": "late"}
    status, problem = await stack.call("POST", path, body)
    assert (status, problem["code"]) == (409, "already_decided")


async def test_a_rejected_gate_fails_the_run_and_says_who_and_why(stack: RunningStack) -> None:
    await stack.apply("gated", GATED)
    run = await stack.trigger("gated")
    approval = await stack.pending_approval(run)
    path = f"/api/approvals/{approval}/respond"
    status, problem = await stack.call("POST", path, {"decision": "reject"})
    assert (status, problem["code"]) == (422, "reason_required")
    assert problem["detail"] == "give a reason with this decision"
    await stack.respond(approval, "reject", "three are too many")
    shown = await stack.ended(run)
    assert cause(shown) == ("review", "denied", "rejected by admin: three are too many")
    assert shown["nodes"]["after"]["status"] != "succeeded"
    assert "task_scheduled" not in topics(stack, run)[topics(stack, run).index("gate_opened") :]


async def test_a_gate_that_nobody_answers_denies(stack: RunningStack) -> None:
    review = {**GATED["review"], "approval": {"expires": "1s"}}
    await stack.apply("expiring", {**GATED, "review": review})
    run = await stack.trigger("expiring")
    shown = await stack.ended(run)
    assert cause(shown) == ("review", "expired", "nobody decided before the approval expired")
    approval = shown["approvals"][0]["approval_id"]
    await approval_status(stack, approval, "expired")
    path, body = f"/api/approvals/{approval}/respond", {"decision": "approve"}
    status, problem = await stack.call("POST", path, body)
    assert (status, problem["code"]) == (409, "already_decided")


# --- time ---------------------------------------------------------------------------------------


async def test_a_run_that_takes_too_long_fails(stack: RunningStack) -> None:
    nodes = {"slow": {"agent": "noop", "with": {"sleep_ms": 60_000}}}
    await stack.apply("too-slow", nodes, timeout="1s")
    shown = await stack.ended(await stack.trigger("too-slow"))
    assert cause(shown) == ("", "timeout_run", "the run's time is over")
    took_us = shown["run"]["ended_us"] - shown["run"]["started_us"]
    assert 1_000_000 <= took_us < 3_000_000


async def test_a_task_that_no_executor_takes_fails(stack: RunningStack) -> None:
    waiting = {"agent": "noop", "pool": "nobody", "timeout": {"queued": "500ms"}}
    await stack.apply("unserved", {"waiting": waiting})
    shown = await stack.ended(await stack.trigger("unserved"))
    assert cause(shown) == ("waiting", "timeout_queued", "no executor took the task in time")


async def test_a_failing_node_is_tried_again_with_growing_waits(stack: RunningStack) -> None:
    retry = {"attempts": 4, "delay": "100ms", "factor": 2, "jitter": 0}
    flaky = {"agent": "noop", "with": {"fail_times": 3, "payload": 1}, "retry": retry}
    await stack.apply("flaky", {"flaky": flaky})
    run = await stack.trigger("flaky")
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    assert (shown["nodes"]["flaky"]["attempt"], shown["nodes"]["flaky"]["error"]) == (4, None)
    events = stack.stored(run)
    failed = [event for event in events if event.topic == "run.attempt_failed.v1"]
    waits_us = [event.data["retry_at_us"] - event.meta.time_us for event in failed]
    assert waits_us == [100_000, 200_000, 400_000]
    scheduled = [event for event in events if event.topic == "run.task_scheduled.v1"]
    for failure, following in zip(failed, scheduled[1:], strict=True):
        assert following.meta.time_us >= failure.data["retry_at_us"]


async def test_a_node_that_always_fails_fails_the_run_with_its_last_error(
    stack: RunningStack,
) -> None:
    retry = {"attempts": 2, "delay": "50ms"}
    await stack.apply(
        "hopeless", {"only": {"agent": "noop", "with": {"fail_times": 9}, "retry": retry}}
    )
    run = await stack.trigger("hopeless")
    said = "told_to_fail: fail_times asks for it"
    assert cause(await stack.ended(run)) == ("only", "agent_failed", said)
    assert topics(stack, run).count("task_scheduled") == 2


# --- cancellation -------------------------------------------------------------------------------


async def test_cancelling_at_a_gate_withdraws_its_approval(stack: RunningStack) -> None:
    await stack.apply("gated", GATED)
    run = await stack.trigger("gated")
    approval = await stack.pending_approval(run)
    status, shown = await stack.call("POST", f"/api/runs/{run}/cancel", {"reason": "not today"})
    assert (status, shown["status"]) == (200, "cancelled")
    await approval_status(stack, approval, "withdrawn")
    path, body = f"/api/approvals/{approval}/respond", {"decision": "approve"}
    status, problem = await stack.call("POST", path, body)
    assert (status, problem["code"], problem["detail"]) == (
        409, "already_decided", "already withdrawn",
    )  # fmt: skip
    status, problem = await stack.call("POST", f"/api/runs/{run}/cancel")
    assert (status, problem["code"]) == (409, "already_ended")
    assert topics(stack, run).count("run_cancelled") == 1


async def test_cancelling_while_a_task_runs_leaves_nothing_queued(stack: RunningStack) -> None:
    nodes = {
        "slow": {"agent": "noop", "with": {"sleep_ms": 60_000}},
        "after": {"agent": "noop", "needs": ["slow"]},
    }
    await stack.apply("slow", nodes)
    run = await stack.trigger("slow")
    await until_event(stack, run, "task_started")
    status, shown = await stack.call("POST", f"/api/runs/{run}/cancel")
    assert (status, shown["status"]) == (200, "cancelled")
    shown = await stack.get(f"/api/runs/{run}")
    assert {node["status"] for node in shown["nodes"].values()} == {"cancelled"}
    assert topics(stack, run)[-1] == "run_cancelled"


# --- data ---------------------------------------------------------------------------------------


async def test_a_diamond_passes_typed_values(stack: RunningStack) -> None:
    root = {"count": 3, "share": 0.5, "on": True, "none": None, "list": [1, "two"], "it": {"a": 1}}
    nodes = {
        "root": {"agent": "noop", "with": {"payload": "{{inputs.given}}"}},
        "left": {
            "agent": "noop",
            "needs": ["root"],
            "with": {"payload": {"all": "{{root.output.payload}}"}},
        },
        "right": {
            "agent": "noop",
            "needs": ["root"],
            "with": {"payload": "{{root.output.payload.count}} of {{root.output.payload.list}}"},
        },
        "join": {
            "agent": "noop",
            "needs": ["left", "right"],
            "with": {
                "payload": {
                    "left": "{{left.output.payload.all.it}}",
                    "right": "{{right.output.payload}}",
                }
            },
        },
    }
    await stack.apply("diamond", nodes, outputs={"result": "{{join.output.payload}}"})
    shown = await stack.ended(await stack.trigger("diamond", given=root))
    assert shown["run"]["status"] == "succeeded", shown
    assert shown["nodes"]["left"]["output"]["payload"] == {"all": root}
    text = shown["nodes"]["right"]["output"]["payload"]
    assert text == '3 of [1,"two"]'
    assert shown["run"]["outputs"] == {"result": {"left": {"a": 1}, "right": text}}
    order = [name for name in topics(stack, shown["run"]["run_id"]) if name == "node_succeeded"]
    assert len(order) == 4


# --- `once` agents ------------------------------------------------------------------------------

ONCE_RETRY = {"attempts": 5, "delay": "50ms"}


async def test_a_once_task_whose_executor_dies_before_its_claim_is_done_once(
    stack: RunningStack,
) -> None:
    await stack.apply("once", {"only": {"agent": "noop-once", "with": {"payload": 1}}})
    frozen = stack.pid("executor")
    os.kill(frozen, signal.SIGSTOP)  # what is delivered to it now, it never claims
    run = await stack.trigger("once")
    await until_event(stack, run, "task_scheduled")
    await stack.kill("executor")
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    assert topics(stack, run) == [
        "run_started", "task_scheduled", "task_started", "node_succeeded", "run_succeeded",
    ]  # fmt: skip


async def test_a_once_task_whose_executor_dies_after_its_claim_is_never_repeated(
    stack: RunningStack,
) -> None:
    only = {
        "agent": "noop-once",
        "with": {"sleep_ms": 60_000},
        "retry": ONCE_RETRY,
        "timeout": {"running": "5s"},
    }
    await stack.apply("once-lost", {"only": only})
    run = await stack.trigger("once-lost")
    await until_event(stack, run, "task_started")
    await stack.kill("executor")
    await until_event(stack, run, "outcome_unknown")
    # The queue delivers it to the new executor, whose claim is refused: nothing happens twice.
    await stack.apply("goes-on", {"only": {"agent": "noop-once"}})
    assert (await stack.ended(await stack.trigger("goes-on")))["run"]["status"] == "succeeded"
    assert topics(stack, run) == [
        "run_started", "task_scheduled", "task_started", "outcome_unknown",
    ]  # fmt: skip
    path = f"/api/runs/{run}/nodes/only/settle"
    found = {"happened": True, "reason": "it is in the ledger", "output": {"payload": 1}}
    status, answer = await stack.call("POST", path, found)
    assert status == 200, answer
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded"
    assert shown["nodes"]["only"]["output"] == {"payload": 1}
    assert topics(stack, run)[4:] == ["outcome_settled", "node_succeeded", "run_succeeded"]
    status, answer = await stack.call("POST", path, found)
    assert (status, answer["code"]) == (409, "not_unknown")
