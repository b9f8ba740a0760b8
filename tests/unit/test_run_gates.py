"""Gates and cancelling: what a person decides."""

import pytest

from penstock_contracts.approval.v1 import (
    Approvers,
    Policy,
    Proposal,
    RequestApproval,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.ids import approval_id
from penstock_contracts.run.v1 import (
    ApplyDecision,
    CancelRun,
    CommandRejected,
    FireTimers,
    GateOpened,
    GatePassed,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    RunCancelled,
    RunFailed,
    RunStarted,
    RunSucceeded,
    TaskScheduled,
    Verdict,
)
from penstock_contracts.values import Failure, Phase
from penstock_core.binding import bind
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import QueueTask, SendCommand, StopTask
from penstock_testkit.builders.runs import GRANT, RunStory
from penstock_testkit.builders.workflows import DIGESTS, gate, node, workflow


def gated(**approval: object) -> RunStory:
    nodes = {"scan": node(), "deploy": node("scan", with_={"v": "{{scan.output.v}}"})}
    nodes["deploy"]["approval"] = {
        "title": "Deploy {{scan.output.v}}?", "show": {"found": "{{scan.output.v}}"}, **approval,
    }  # fmt: skip
    return RunStory(workflow(nodes=nodes)).start().succeed("scan", v="1.2")


def sent(run: RunStory) -> list[object]:
    return [effect.body for effect in run.effects if isinstance(effect, SendCommand)]


def test_a_gate_asks_before_its_agent_runs():
    run = gated(expires="1h", reason_required=True).then(NodeSucceeded, GateOpened)
    (request,) = sent(run)
    assert isinstance(request, RequestApproval)
    assert request.approval_id == approval_id(run.run_id, "deploy", 1)
    assert request.title == "Deploy 1.2?"
    assert request.context == {"found": "1.2"}
    proposal = Proposal(agent="work", agent_digest=DIGESTS["work"], input={"v": "1.2"})
    assert request.proposal == proposal
    assert request.binding == bind(proposal) == run.last(GateOpened).binding
    assert request.policy == Policy(reason_required=True)
    assert request.attempt == 1
    assert request.expires_us == run.now_us + 3_600_000_000
    assert request.requested_by == "user:ann"


def test_an_approved_gate_lets_the_agent_run():
    run = gated().approve("deploy").then(GatePassed, TaskScheduled)
    assert run.last(GatePassed).by == "user:bob"
    run.succeed("deploy").then(NodeSucceeded, RunSucceeded)


def test_a_rejected_gate_fails_with_the_approvers_reason():
    run = gated()
    run.when(run.verdict_of("deploy", Verdict.REJECTED, "not today")).then(NodeFailed, RunFailed)
    cause = run.last(RunFailed).cause
    assert cause.node == "deploy"
    assert cause.error == Failure(code="denied", message="rejected by user:bob: not today")


def test_an_expired_gate_denies():
    run = gated()
    run.when(run.verdict_of("deploy", Verdict.EXPIRED)).then(NodeFailed, RunFailed)
    assert run.last(RunFailed).cause.error.code == Code.EXPIRED


def test_a_decision_counts_once_and_only_for_its_own_approval():
    run = gated()
    other = run.verdict_of("deploy", Verdict.APPROVED).model_copy(
        update={"approval_id": approval_id(run.run_id, "deploy", 2)}
    )
    run.when(other).stale(Code.STALE)
    run.when(ApplyDecision(**{**other.model_dump(), "node": "scan"})).stale(Code.STALE)
    run.approve("deploy").approve("deploy").stale(Code.STALE)
    run.when(run.verdict_of("deploy", Verdict.REJECTED, "too late")).stale(Code.STALE)


def test_an_open_gate_is_asked_for_again_until_decided():
    run = gated()
    (item,) = run.decider.outstanding(run.state)
    assert item.asked_us == run.now_us
    assert isinstance(item.effect, SendCommand)
    assert item.effect.subject.endswith(".request_approval")
    run.approve("deploy")
    assert [type(item.effect) for item in run.decider.outstanding(run.state)] == [QueueTask]


def test_a_retry_does_not_ask_again():
    nodes = {"pay": node(approval={}, retry={"attempts": 2, "delay": "1s", "jitter": 0})}
    run = RunStory(workflow(nodes=nodes)).start().approve("pay").then(GatePassed, TaskScheduled)
    run.fail("pay", again=True).timers(1).then(TaskScheduled)


def test_a_pure_gate_gives_the_decision_as_its_output():
    nodes = {"ok": gate(title="Go?"), "go": node("ok", with_={"by": "{{ok.output.by}}"})}
    run = RunStory(workflow(nodes=nodes)).start().then(RunStarted, GateOpened)
    run.approve("ok").then(GatePassed, NodeSucceeded, TaskScheduled)
    assert run.node("ok").output == {"approved": True, "by": "user:bob", "reason": "fine"}


def test_the_answers_to_a_pure_gates_form_are_part_of_its_output():
    form = {"type": "object", "properties": {"ticket": {"type": "string"}}}
    nodes = {"ok": gate(form=form), "go": node("ok", with_={"t": "{{ok.output.answers.ticket}}"})}
    run = RunStory(workflow(nodes=nodes)).start()
    decision = run.verdict_of("ok", Verdict.APPROVED, "fine")
    run.when(decision.model_copy(update={"answers": {"ticket": "OPS-1"}}))
    assert (run.node("ok").output or {})["answers"] == {"ticket": "OPS-1"}
    (item,) = run.decider.outstanding(run.state)
    assert isinstance(item.effect, QueueTask)
    assert item.effect.task.input == {"t": "OPS-1"}


def test_a_denied_gate_that_may_be_passed_over_skips_what_needs_it():
    nodes = {"ok": gate(), "go": node("ok"), "else_": node("ok", when="ok.status == 'failed'")}
    nodes["ok"]["on_failure"] = "continue"
    run = RunStory(workflow(nodes=nodes)).start()
    run.when(run.verdict_of("ok", Verdict.REJECTED, "no"))
    run.then(NodeFailed, NodeSkipped, TaskScheduled)


def test_a_pure_gate_is_bound_to_what_it_shows():
    nodes = {"ok": gate(title="Go?", show={"v": "{{inputs.v}}"})}
    run = RunStory(workflow(nodes=nodes), {"v": 3}).start()
    (request,) = [one for one in sent(run) if isinstance(one, RequestApproval)]
    assert request.proposal == Proposal(input={"v": 3})
    assert request.binding == bind(Proposal(input={"v": 3}))


def test_what_a_gate_cannot_show_fails_a_pure_one():
    nodes = {"a": node(), "ok": gate("a", show={"x": "{{a.output.absent}}"})}
    run = RunStory(workflow(nodes=nodes)).start().succeed("a")
    run.then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TEMPLATE_FAILED


def test_people_are_not_asked_about_an_input_that_cannot_be_rendered():
    nodes = {"a": node(), "b": node("a", with_={"x": "{{a.output.absent}}"}, approval={})}
    run = RunStory(workflow(nodes=nodes)).start().succeed("a")
    run.then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TEMPLATE_FAILED


def test_people_are_not_asked_about_an_input_that_has_no_digest():
    nodes = {"b": node(with_={"x": "{{inputs.x}}"}, approval={})}
    run = RunStory(workflow(nodes=nodes), {"x": 2**60}).start()
    run.then(RunStarted, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.INVALID_INPUTS


def test_the_grant_goes_with_every_task_behind_the_gate():
    run = gated()
    run.approve("deploy").then(GatePassed, TaskScheduled)
    assert run.last(GatePassed).grant == GRANT
    (queued,) = [effect for effect in run.effects if isinstance(effect, QueueTask)]
    assert (queued.task.phase, queued.task.grant, queued.task.plan) == (Phase.RUN, GRANT, None)
    (item,) = run.decider.outstanding(run.state)
    assert item.effect == queued


def test_the_policy_of_the_gate_goes_with_the_request():
    approval = {
        "approvers": {"groups": ["ops"]}, "quorum": 2, "separation": True, "grant_for": "10m",
        "form": {"type": "object", "properties": {"ticket": {"type": "string"}}},
        "remind_every": "1h",
    }  # fmt: skip
    (request,) = sent(gated(**approval))
    assert isinstance(request, RequestApproval)
    assert request.policy == Policy(
        approvers=Approvers(groups=("ops",)), quorum=2, separation=True, grant_s=600,
        form=approval["form"], remind_every_s=3600,
    )  # fmt: skip


def test_what_was_decided_can_be_read_by_what_comes_after():
    nodes = {
        "ok": gate(form={"type": "object"}),
        "go": node("ok", with_={"t": "{{ok.approval.answers.ticket}}", "by": "{{ok.approval.by}}"}),
    }
    run = RunStory(workflow(nodes=nodes)).start().approve("ok", answers={"ticket": "T-1"})
    (queued,) = [effect for effect in run.effects if isinstance(effect, QueueTask)]
    assert queued.task.input == {"t": "T-1", "by": "user:bob"}


def test_a_condition_is_asked_before_people_are():
    nodes = {"ok": gate(), "go": node("ok")}
    nodes["ok"]["when"] = "inputs.risky == true"
    run = RunStory(workflow(nodes=nodes), {"risky": False}).start()
    run.then(RunStarted, NodeSkipped, NodeSkipped, RunSucceeded)


def test_what_cannot_be_shown_says_so_and_the_gate_opens():
    run = gated(show={"x": "{{scan.output.absent}}"})
    (request,) = sent(run)
    assert isinstance(request, RequestApproval)
    assert "not_shown" in request.context


# --- cancel --------------------------------------------------------------------------------------


def in_state(state: str) -> RunStory:
    nodes = {"first": node(), "last": node("first")}
    nodes["first"] |= {"retry": {"attempts": 2, "delay": "1h"}}
    if state == "gated":
        nodes["first"]["approval"] = {}
    if state == "claimed":
        nodes["first"]["agent"] = "pay"
    run = RunStory(workflow(nodes=nodes)).start()
    match state:
        case "running":
            run.when(run.started_of("first"))
        case "claimed":
            run.claim("first")
        case "retrying":
            run.fail("first", again=True)
        case _:
            pass
    return run


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ("queued", [StopTask]),
        ("running", [StopTask]),
        ("claimed", [StopTask]),
        ("gated", [SendCommand]),
        ("retrying", []),
    ],
)
def test_a_run_is_cancelled_in_every_state_and_lets_go_of_what_it_asked(
    state: str, left: list[type]
):
    run = in_state(state)
    run.later(7).cancel().then(RunCancelled)
    assert run.last(RunCancelled).by == "user:ann"
    assert run.last(RunCancelled).reason == "enough"
    assert run.state.ended_us == run.now_us
    assert set(run.statuses().values()) == {"cancelled"}
    assert [type(effect) for effect in run.effects] == left
    if state == "gated":
        assert isinstance(sent(run)[0], WithdrawApproval)
    assert run.decider.outstanding(run.state) == ()
    assert run.decider.own_due(run.state) is None
    run.when(FireTimers()).stale()


def test_cancelling_what_has_ended_is_refused_and_told_once():
    run = in_state("queued").cancel("first")
    run.cancel("second").rejected(Code.ALREADY_ENDED, "cancelled")
    told = CommandRejected(command_id="second", command=CancelRun.TYPE, code="already_ended")
    run.given(told).cancel("second").stale()


def test_cancelling_what_does_not_exist_is_refused():
    run = RunStory(workflow(nodes={"a": node()}))
    run.cancel().rejected(Code.UNKNOWN_RUN)
    run.succeed("a").stale(Code.UNKNOWN_RUN)
    run.when(FireTimers()).stale(Code.UNKNOWN_RUN)


def test_only_so_many_refusals_are_remembered():
    run = in_state("queued").cancel()
    for number in range(40):
        run.given(CommandRejected(command_id=str(number), command="x", code="y"))
    assert len(run.state.rejected) == 16
    assert run.state.rejected[-1] == "39"


def test_a_command_of_another_kind_is_a_defect():
    run = in_state("queued")
    with pytest.raises(BrokenInvariant, match="no command to a run"):
        run.when(WithdrawApproval(approval_id=run.run_id))
