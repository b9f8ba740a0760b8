"""Agents that plan: a plan, a decision on just that plan, and its application."""

from typing import Any

import pytest

from penstock_contracts.approval.v1 import Policy, Proposal, RequestApproval
from penstock_contracts.codes import Code
from penstock_contracts.ids import approval_id, task_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    GateOpened,
    GatePassed,
    NodeFailed,
    NodeSucceeded,
    PlanMade,
    RunFailed,
    RunStarted,
    RunSucceeded,
    TaskScheduled,
    TaskStarted,
    Verdict,
)
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import Failure, JsonObject, Phase
from penstock_core.binding import bind
from penstock_core.effects import QueueTask, SendCommand
from penstock_core.run.snapshot import node_document
from penstock_testkit.builders.runs import GRANT, PLAN, RunStory
from penstock_testkit.builders.workflows import DIGESTS, node, workflow

RETRY = {"attempts": 2, "delay": "1s", "jitter": 0}
REFUSED = Failure(code=Code.BASE_CHANGED, message="v1 is v3 now", retryable=True)


def patching(inputs: JsonObject | None = None, **fields: Any) -> RunStory:
    nodes = {"fix": node(agent="patch", with_={"to": "v2"}, **fields)}
    return RunStory(workflow(nodes=nodes), inputs).start()


def tasks(run: RunStory) -> list[TaskMessage]:
    return [effect.task for effect in run.effects if isinstance(effect, QueueTask)]


def applying(**fields: Any) -> RunStory:
    return patching(**fields).plans("fix").approve("fix").claim("fix", phase=Phase.APPLY)


# --- plan ----------------------------------------------------------------------------------------


def test_an_agent_that_plans_is_not_asked_about_before_it_has_planned():
    run = patching().then(RunStarted, TaskScheduled)
    (task,) = tasks(run)
    assert (task.phase, task.plan, task.grant) == (Phase.PLAN, None, None)
    assert task.task_id == task_id(run.run_id, "fix", 1, Phase.PLAN)


def test_people_are_asked_about_the_plan():
    run = patching().plans("fix").then(PlanMade, GateOpened)
    proposal = Proposal(
        agent="patch", agent_digest=DIGESTS["patch"], input={"to": "v2"}, plan=PLAN
    )  # fmt: skip
    assert run.last(PlanMade).plan == PLAN
    assert run.last(PlanMade).binding == run.last(GateOpened).binding == bind(proposal)
    (request,) = [effect.body for effect in run.effects if isinstance(effect, SendCommand)]
    assert isinstance(request, RequestApproval)
    assert (request.proposal, request.binding) == (proposal, bind(proposal))
    assert request.approval_id == approval_id(run.run_id, "fix", 1)
    assert request.policy == Policy(push_back=("fix",))
    assert run.node("fix").status == "gated"
    assert [item.effect for item in run.decider.outstanding(run.state)] == run.effects


def test_an_agent_with_nothing_to_do_needs_nobody():
    run = patching()
    run.when(run.result("fix", phase=Phase.PLAN, output={"applied": False}))
    run.then(NodeSucceeded, RunSucceeded)
    assert run.node("fix").output == {"applied": False}


def test_planning_needs_no_claim_and_may_be_repeated():
    run = patching(retry=RETRY)
    run.claim("fix", phase=Phase.PLAN).stale(Code.CLAIMED)
    run.when(run.started_of("fix", phase=Phase.PLAN)).then(TaskStarted)
    error = Failure(code=Code.SANDBOX_FAILED, retryable=True)
    run.when(run.result("fix", phase=Phase.PLAN, error=error)).then(AttemptFailed)
    run.timers(1).then(TaskScheduled)
    run.plans("fix", 2).then(PlanMade, GateOpened)
    assert run.last(GateOpened).approval_id == approval_id(run.run_id, "fix", 2)


def test_a_plan_counts_once():
    run = patching().plans("fix")
    run.plans("fix").stale(Code.STALE)
    run.approve("fix").plans("fix").stale(Code.STALE)
    run.when(run.result("fix", phase=Phase.RUN)).stale(Code.STALE)


def test_a_late_failure_of_a_repeated_plan_does_not_end_what_applies_it():
    """A failure before the claim carries no nonce: the phase alone tells whose it is."""
    run = patching(retry=RETRY).plans("fix").approve("fix").then(GatePassed, TaskScheduled)
    error = Failure(code=Code.SANDBOX_FAILED, retryable=True)
    run.when(run.result("fix", phase=Phase.PLAN, error=error)).stale(Code.STALE)
    assert run.node("fix").status == "queued"
    run.claim("fix", phase=Phase.APPLY).then(TaskStarted)
    run.applies("fix").then(NodeSucceeded, RunSucceeded)


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (PlannedChange(effect={"text": "x" * 70_000}), Code.OUTPUT_TOO_LARGE),
        (PlannedChange(effect={"count": 2**60}), Code.INVALID_OUTPUT),
        (PlannedChange(effect={}, base={"at": float("inf")}), Code.INVALID_OUTPUT),
        (None, Code.INVALID_OUTPUT),
    ],
)
def test_what_is_no_plan_fails_the_attempt(plan: PlannedChange | None, code: Code):
    run = patching()
    result = run.result("fix", phase=Phase.PLAN).model_copy(update={"plan": plan, "output": None})
    run.when(result).then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == code


def test_an_input_without_a_digest_is_told_once_there_is_a_plan():
    nodes = {"fix": node(agent="patch", with_={"n": "{{inputs.n}}"})}
    run = RunStory(workflow(nodes=nodes), {"n": 2**60}).start().plans("fix")
    run.then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.INVALID_INPUTS


# --- apply ---------------------------------------------------------------------------------------


def test_an_approved_plan_is_applied_as_it_was():
    run = patching().plans("fix").approve("fix").then(GatePassed, TaskScheduled)
    assert run.last(TaskScheduled).attempt == 1
    (task,) = tasks(run)
    assert (task.phase, task.attempt) == (Phase.APPLY, 1)
    assert (task.plan, task.grant, task.input) == (PLAN, GRANT, {"to": "v2"})
    assert task.task_id == task_id(run.run_id, "fix", 1, Phase.APPLY)
    assert [item.effect for item in run.decider.outstanding(run.state)] == run.effects
    run.claim("fix", phase=Phase.APPLY).then(TaskStarted)
    run.applies("fix").then(NodeSucceeded, RunSucceeded)


def test_applying_needs_a_claim_of_that_phase():
    run = patching().plans("fix").approve("fix")
    run.when(run.started_of("fix", phase=Phase.APPLY)).stale(Code.CLAIMED)
    run.when(run.started_of("fix", phase=Phase.PLAN)).stale(Code.STALE)
    run.claim("fix", phase=Phase.PLAN).stale(Code.CLAIMED)
    run.applies("fix").stale(Code.CLAIMED)
    run.claim("fix", phase=Phase.APPLY).then(TaskStarted)
    run.applies("fix", nonce="other").stale(Code.CLAIMED)


def test_a_rejected_plan_is_never_applied():
    run = patching().plans("fix")
    run.when(run.verdict_of("fix", Verdict.REJECTED, "no")).then(NodeFailed, RunFailed)
    assert run.last(RunFailed).cause.error.code == Code.DENIED


def test_what_was_refused_before_the_claim_is_planned_and_asked_anew():
    run = patching(retry=RETRY).plans("fix").approve("fix")
    run.when(run.result("fix", phase=Phase.APPLY, error=REFUSED)).then(AttemptFailed)
    run.timers(1).then(TaskScheduled)
    (task,) = tasks(run)
    assert (task.phase, task.attempt, task.plan, task.grant) == (Phase.PLAN, 2, None, None)
    other = PlannedChange(effect={"write": "v2"}, base={"etag": "v3"})
    run.plans("fix", 2, other).then(PlanMade, GateOpened)
    (request,) = [effect.body for effect in run.effects if isinstance(effect, SendCommand)]
    assert isinstance(request, RequestApproval)
    assert request.because == "attempt 1 ended with base_changed: v1 is v3 now"
    run.approve("fix", 1).stale(Code.STALE)
    run.approve("fix", 2).then(GatePassed, TaskScheduled)
    assert tasks(run)[0].plan == other


@pytest.mark.parametrize("code", [Code.AGENT_FAILED, Code.BASE_CHANGED, Code.EFFECT_DIFFERS])
def test_what_did_not_happen_after_the_claim_may_be_tried_again(code: Code):
    run = applying(retry=RETRY)
    run.applies("fix", error=Failure(code=code, retryable=True)).then(AttemptFailed)


@pytest.mark.parametrize("code", [Code.AGENT_CRASHED, Code.SANDBOX_FAILED, Code.OUT_OF_MEMORY])
def test_after_the_claim_nothing_else_is_tried_again(code: Code):
    run = applying(retry=RETRY)
    run.applies("fix", error=Failure(code=code, retryable=True)).then(NodeFailed, RunFailed)


def test_the_last_attempt_is_the_last_whichever_phase_failed():
    run = patching(retry=RETRY)
    error = Failure(code=Code.AGENT_FAILED, retryable=True)
    run.when(run.result("fix", phase=Phase.PLAN, error=error)).timers(1)
    run.plans("fix", 2).approve("fix", 2).claim("fix", 2, phase=Phase.APPLY)
    run.applies("fix", 2, error=error).then(NodeFailed, RunFailed)


def test_a_plan_that_fails_before_anybody_was_asked_is_no_reason_to_ask_again():
    run = patching(retry=RETRY)
    error = Failure(code=Code.SANDBOX_FAILED, retryable=True)
    run.when(run.result("fix", phase=Phase.PLAN, error=error)).timers(1).plans("fix", 2)
    assert run.node("fix").reviewed.because == ""
    assert "because" not in node_document(run.node("fix"))


def test_an_apply_that_nobody_takes_is_planned_anew():
    run = patching(retry=RETRY, timeout={"queued": "5s"}).plans("fix").approve("fix")
    run.timers(5).then(AttemptFailed)
    run.timers(1).then(TaskScheduled)
    assert run.last(TaskScheduled).phase is Phase.PLAN


def test_the_plan_and_its_binding_stand_in_the_state():
    run = patching().plans("fix")
    assert run.node("fix").reviewed.plan == PLAN
    assert run.node("fix").reviewed.binding == run.last(PlanMade).binding
    assert run.node("fix").reviewed.gate_attempt == 1
    assert run.refold() == run.state
