"""Outcomes that nobody knows, and what a person makes of them; commands of other tenants."""

from dataclasses import replace
from typing import Any

import pytest

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import (
    AttemptFailed,
    CommandRejected,
    FireTimers,
    NodeFailed,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    RunCancelled,
    RunFailed,
    RunSucceeded,
    SettleOutcome,
    TaskScheduled,
)
from penstock_contracts.values import Failure, JsonObject, Phase, Wire
from penstock_core.decision import Context, Rejection, Stale
from penstock_core.effects import QueueTask, StopTask
from penstock_core.run.attempts import LAST_WORD_S
from penstock_testkit.builders.runs import RunStory
from penstock_testkit.builders.workflows import node, workflow

SILENT: dict[str, Any] = {"timeout": {"running": "10s"}}
LOST = Failure(code=Code.UNKNOWN_OUTCOME, message="the executor was stopped")


def paying(**fields: Any) -> RunStory:
    nodes = {"pay": node(agent="pay", **SILENT, **fields), "tell": node("pay")}
    return RunStory(workflow(nodes=nodes)).start().claim("pay")


def lost(**fields: Any) -> RunStory:
    return paying(**fields).timers(10 + LAST_WORD_S).then(OutcomeUnknown)


def test_silence_after_the_claim_is_an_unknown_outcome_and_the_run_waits():
    run = lost(retry={"attempts": 5})
    error = run.last(OutcomeUnknown).error
    assert error.code == Code.UNKNOWN_OUTCOME
    assert "may have happened" in error.message
    assert isinstance(run.effects[0], StopTask)
    assert run.statuses() == {"pay": "unknown", "tell": "waiting"}
    assert run.state.status == "running"
    assert run.decider.outstanding(run.state) == ()
    assert run.decider.own_due(run.state) == run.state.ends_by_us
    run.timers(3600)
    assert run.node("pay").status == "unknown"


def test_an_executor_that_does_not_know_says_so():
    run = paying(retry={"attempts": 5})
    run.when(run.result("pay", error=LOST, nonce="nonce-1")).then(OutcomeUnknown)
    run.when(run.result("pay", error=LOST, nonce="nonce-1")).stale(Code.STALE)


def test_not_knowing_before_the_claim_is_an_ordinary_failure():
    run = RunStory(workflow(nodes={"a": node()})).start()
    run.when(run.result("a", error=LOST)).then(NodeFailed, RunFailed)


def test_what_happened_counts_and_the_run_goes_on():
    run = lost().later(60)
    run.when(run.settlement_of("pay", happened=True, output={"receipt": 7}))
    run.then(OutcomeSettled, NodeSucceeded, TaskScheduled)
    settled = run.last(OutcomeSettled)
    assert (settled.by, settled.reason, settled.happened) == ("user:ann", "looked it up", True)
    assert run.node("pay").output == {"receipt": 7}
    assert run.node("pay").error is None
    run.succeed("tell").then(NodeSucceeded, RunSucceeded)


def test_what_did_not_happen_is_tried_again_where_retries_are_left():
    run = lost(retry={"attempts": 2, "delay": "1s", "jitter": 0})
    run.settle("pay", happened=False).then(OutcomeSettled, AttemptFailed)
    assert run.last(AttemptFailed).error.code == Code.DID_NOT_HAPPEN
    run.timers(1).then(TaskScheduled)
    (task,) = [effect.task for effect in run.effects if isinstance(effect, QueueTask)]
    assert task.attempt == 2


def test_what_did_not_happen_fails_the_node_where_none_are_left():
    run = lost().settle("pay", happened=False).then(OutcomeSettled, NodeFailed, RunFailed)
    assert run.last(RunFailed).cause.error.code == Code.DID_NOT_HAPPEN


def test_an_apply_that_did_not_happen_is_planned_anew():
    nodes = {"fix": node(agent="patch", retry={"attempts": 2, "delay": "1s"}, **SILENT)}
    run = RunStory(workflow(nodes=nodes)).start().plans("fix").approve("fix")
    run.claim("fix", phase=Phase.APPLY).timers(10 + LAST_WORD_S).then(OutcomeUnknown)
    run.settle("fix", happened=False).then(OutcomeSettled, AttemptFailed)
    run.timers(2).then(TaskScheduled)
    assert run.last(TaskScheduled).phase is Phase.PLAN


def test_the_claimant_itself_may_say_late_what_happened():
    run = lost()
    run.when(run.result("pay", nonce="other")).stale(Code.CLAIMED)
    run.when(run.result("pay")).stale(Code.CLAIMED)
    run.when(run.result("pay", nonce="nonce-1", output={"receipt": 7}))
    run.then(NodeSucceeded, TaskScheduled)
    run.settle("pay", happened=False).rejected(Code.NOT_UNKNOWN, "succeeded")


def test_the_claimant_itself_may_say_late_that_nothing_happened():
    run = lost(retry={"attempts": 2})
    error = Failure(code=Code.AGENT_FAILED, retryable=True)
    run.when(run.result("pay", nonce="nonce-1", error=error)).then(AttemptFailed)


def test_nobody_else_gets_the_claim():
    run = lost()
    run.claim("pay", nonce="nonce-2").stale(Code.CLAIMED)


@pytest.mark.parametrize(
    ("name", "attempt", "detail"),
    [("tell", 0, "waiting"), ("pay", 2, "attempt 1"), ("nowhere", 1, "no node")],
)
def test_only_what_is_unknown_can_be_settled(name: str, attempt: int, detail: str):
    run = lost()
    run.settle(name, attempt, happened=True).rejected(Code.NOT_UNKNOWN, detail)


def test_a_refusal_is_told_once():
    run = paying()
    command = run.settlement_of("pay", happened=True)
    run.when(command, "first").rejected(Code.NOT_UNKNOWN, "running")
    told = CommandRejected(command_id="first", command=SettleOutcome.TYPE, code="not_unknown")
    run.given(told).when(command, "first").stale()


def test_an_output_over_the_limit_is_refused():
    output: JsonObject = {"text": "x" * 70_000}
    run = lost()
    run.when(run.settlement_of("pay", happened=True, output=output)).rejected(Code.TOO_LARGE)


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_after_the_end_an_outcome_is_settled_for_the_record(end: str, happened: bool):
    run = lost(retry={"attempts": 5})
    if end == "cancel":
        run.cancel().then(RunCancelled)
    else:
        run.timers(86_400).then(RunFailed)
    assert run.statuses() == {"pay": "unknown", "tell": "cancelled"}
    assert run.state.unsettled == 1
    assert run.decider.outstanding(run.state) == ()
    ended = run.state.status
    run.settle("pay", happened=happened).then(
        OutcomeSettled, NodeSucceeded if happened else NodeFailed
    )
    assert (run.state.status, run.state.unsettled) == (ended, 0)
    run.settle("pay", happened=True).rejected(Code.NOT_UNKNOWN)
    run.when(run.result("pay", nonce="nonce-1")).stale(Code.STALE)


def test_after_the_end_the_claimant_may_still_say_what_happened():
    run = lost().cancel()
    run.when(run.result("pay", nonce="nonce-1")).then(NodeSucceeded)


def test_there_is_nothing_to_settle_of_a_run_that_does_not_exist():
    run = RunStory(workflow(nodes={"a": node()}))
    run.settle("a", happened=True).rejected(Code.UNKNOWN_RUN)


# --- tenants -------------------------------------------------------------------------------------


def test_another_tenants_command_finds_no_run():
    run = lost()
    told: list[Wire] = [run.settlement_of("pay", happened=True)]
    counted: list[Wire] = [run.result("pay", nonce="nonce-1"), run.claim_of("pay"),
                           run.started_of("pay"), run.start_command]  # fmt: skip
    context = Context(now_us=run.now_us, tenant="other")
    for command in told:
        outcome = run.decider.decide(run.state, command, context)
        assert isinstance(outcome, Rejection)
        assert outcome.code == Code.UNKNOWN_RUN
    for command in counted:
        outcome = run.decider.decide(run.state, command, context)
        assert isinstance(outcome, Stale)
        assert (outcome.code, outcome.replies) == (Code.UNKNOWN_RUN, ())
    assert not isinstance(
        run.decider.decide(run.state, told[0], replace(context, tenant="default")), Rejection
    )


def test_time_has_no_tenant():
    run = paying().later(10)
    context = Context(now_us=run.now_us, tenant="other")
    assert not isinstance(run.decider.decide(run.state, FireTimers(), context), Stale)
