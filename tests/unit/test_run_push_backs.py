"""Push backs: a node and all between it and the gate work again, with feedback."""

from typing import Any

import pytest

from penstock_contracts.approval.v1 import BECAUSE_MAX, RequestApproval
from penstock_contracts.codes import Code
from penstock_contracts.ids import approval_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    GateOpened,
    GatePassed,
    GatePushedBack,
    NodeSkipped,
    NodeSucceeded,
    PlanMade,
    RunSucceeded,
    TaskScheduled,
)
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import Failure, Phase
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import QueueTask, SendCommand
from penstock_core.run.snapshot import node_document, read_node
from penstock_core.run.state import PUSH_BACKS_MAX
from penstock_testkit.builders.runs import RunStory
from penstock_testkit.builders.workflows import gate, node, workflow


def tasks(run: RunStory) -> list[TaskMessage]:
    return [effect.task for effect in run.effects if isinstance(effect, QueueTask)]


def request(run: RunStory) -> RequestApproval:
    sent = [effect.body for effect in run.effects if isinstance(effect, SendCommand)]
    (found,) = [body for body in sent if isinstance(body, RequestApproval)]
    return found


def patching(**fields: Any) -> RunStory:
    return RunStory(workflow(nodes={"fix": node(agent="patch", **fields)})).start().plans("fix")


def test_a_plan_sent_back_is_made_anew_with_the_feedback():
    run = patching().push_back("fix").then(GatePushedBack, TaskScheduled)
    event = run.last(GatePushedBack)
    assert (event.to, event.by, event.feedback) == ("fix", "user:bob", "smaller")
    assert event.reset == ("fix",)
    (task,) = tasks(run)
    assert (task.phase, task.attempt, task.feedback) == (Phase.PLAN, 2, "smaller")
    smaller = PlannedChange(effect={"write": "v1.1"})
    run.plans("fix", 2, smaller).then(PlanMade, GateOpened)
    assert request(run).approval_id == approval_id(run.run_id, "fix", 2)
    assert request(run).proposal.plan == smaller
    run.approve("fix", 1).stale(Code.STALE)
    run.approve("fix", 2).then(GatePassed, TaskScheduled)
    assert (tasks(run)[0].plan, tasks(run)[0].feedback) == (smaller, "smaller")


def test_who_is_asked_again_is_told_who_sent_it_back_and_why():
    run = patching()
    assert request(run).because == ""
    run.push_back("fix").plans("fix", 2)
    assert request(run).because == "pushed back by user:bob: smaller"
    assert [item.effect for item in run.decider.outstanding(run.state)] == run.effects
    assert read_node(node_document(run.node("fix"))) == run.node("fix")
    run.push_back("fix", 2, feedback="x" * 4096).plans("fix", 3)
    told = request(run).because
    assert (len(told), told[-5:]) == (BECAUSE_MAX, "xx...")


REVIEWED: dict[str, Any] = {
    "draft": node(),
    "check": node("draft", with_={"text": "{{draft.output.text}}"}),
    "ok": gate("check", push_back=["draft", "check"]),
    "send": node("ok", "check", with_={"text": "{{draft.output.text}}"}),
}


def reviewed(**more: Any) -> RunStory:
    run = RunStory(workflow(nodes=REVIEWED | more)).start()
    return run.succeed("draft", text="long").succeed("check")


def test_an_ancestor_sent_back_works_again_with_all_up_to_the_gate():
    run = reviewed()
    run.push_back("ok", feedback="shorter", to="draft").then(GatePushedBack, TaskScheduled)
    assert run.last(GatePushedBack).reset == ("draft", "check", "ok")
    assert run.statuses() == {
        "draft": "queued", "check": "waiting", "ok": "waiting", "send": "waiting",
    }  # fmt: skip
    (task,) = tasks(run)
    assert (task.node, task.attempt, task.feedback) == ("draft", 2, "shorter")
    run.succeed("draft", 1).stale(Code.STALE)
    run.succeed("draft", 2, text="short").then(NodeSucceeded, TaskScheduled)
    assert (tasks(run)[0].input, tasks(run)[0].feedback) == ({"text": "short"}, "")
    run.succeed("check", 2).then(NodeSucceeded, GateOpened)
    run.approve("ok", 2).then(GatePassed, NodeSucceeded, TaskScheduled)
    assert tasks(run)[0].input == {"text": "short"}
    run.succeed("send").then(NodeSucceeded, RunSucceeded)


def test_a_node_that_nobody_was_asked_about_keeps_no_reason():
    run = reviewed().push_back("ok", to="draft")
    assert "because" not in node_document(run.node("check"))
    assert run.node("ok").reviewed.because == "pushed back by user:bob: smaller"


def test_what_is_before_the_target_stays():
    run = reviewed()
    run.push_back("ok", to="check").then(GatePushedBack, TaskScheduled)
    assert run.statuses()["draft"] == "succeeded"
    assert run.node("check").attempt == 2


def test_two_paths_between_target_and_gate_run_both_again():
    nodes = {
        "top": node(), "left": node("top"), "right": node("top", when="inputs.both == true"),
        "ok": gate("left", "right", push_back=["top"], show={}),
    }  # fmt: skip
    nodes["ok"]["when"] = "right.status != 'failed'"
    nodes["last"] = node("ok", "left")
    run = RunStory(workflow(nodes=nodes), {"both": False}).start().succeed("top")
    run.then(NodeSucceeded, TaskScheduled, NodeSkipped)
    run.succeed("left").then(NodeSucceeded, GateOpened)
    run.push_back("ok", to="top").then(GatePushedBack, TaskScheduled)
    assert run.node("last").pending == 2
    assert run.state.unsettled == 5
    run.succeed("top", 2).then(NodeSucceeded, TaskScheduled, NodeSkipped)
    run.succeed("left", 2).then(NodeSucceeded, GateOpened)
    run.approve("ok", 2).succeed("last").then(NodeSucceeded, RunSucceeded)


def test_retries_count_anew_after_a_push_back():
    retry = {"attempts": 2, "delay": "2s", "factor": 10, "jitter": 0}
    run = RunStory(workflow(nodes=REVIEWED | {"draft": node(retry=retry)})).start()
    run.fail("draft", 1, again=True).timers(2)
    run.succeed("draft", 2, text="x").succeed("check").push_back("ok", to="draft")
    run.fail("draft", 3, again=True).then(AttemptFailed)
    assert run.last(AttemptFailed).retry_at_us == run.now_us + 2_000_000
    run.timers(2).then(TaskScheduled)
    run.fail("draft", 4, again=True)
    assert run.node("draft").status == "failed"


def test_a_gate_in_between_is_asked_again():
    nodes = {
        "draft": node(), "legal": gate("draft"),
        "ok": node("legal", approval={"push_back": ["draft"]}),
    }  # fmt: skip
    run = RunStory(workflow(nodes=nodes)).start().succeed("draft").approve("legal")
    run.push_back("ok", to="draft").succeed("draft", 2).then(NodeSucceeded, GateOpened)
    assert request(run).approval_id == approval_id(run.run_id, "legal", 2)
    assert request(run).because == "pushed back by user:bob: smaller"
    run.approve("legal").stale(Code.STALE)
    run.approve("legal", 2).then(GatePassed, NodeSucceeded, GateOpened)
    run.approve("ok", 2).then(GatePassed, TaskScheduled)
    assert tasks(run)[0].attempt == 2  # the number of its gate


def test_the_feedback_can_be_read_by_every_node_that_begins_after_it():
    nodes = REVIEWED | {"check": node("draft", with_={"why": "said: {{run.feedback}}"})}
    run = RunStory(workflow(nodes=nodes)).start().succeed("draft", text="x")
    assert tasks(run)[0].input == {"why": "said: "}
    run.succeed("check").push_back("ok", feedback="no", to="draft").succeed("draft", 2, text="y")
    assert tasks(run)[0].input == {"why": "said: no"}


def test_what_is_asked_again_is_what_was_asked_whatever_is_pushed_back_meanwhile():
    nodes = {
        "fix": node(agent="patch", with_={"why": "{{run.feedback}}"}),
        "other": node(approval={}, with_={"why": "{{run.feedback}}"}),
        "draft": node(),
        "ok": gate("draft", push_back=["draft"]),
    }
    run = RunStory(workflow(nodes=nodes)).start().succeed("draft").plans("fix")
    bound = run.node("fix").reviewed.binding
    run.push_back("ok", feedback="again", to="draft")
    asked = [item.effect for item in run.decider.outstanding(run.state)]
    bodies = [effect.body for effect in asked if isinstance(effect, SendCommand)]
    waiting = {body.node: body for body in bodies if isinstance(body, RequestApproval)}
    assert waiting["fix"].proposal.input == {"why": ""}
    assert waiting["fix"].binding == bound
    assert waiting["other"].proposal.input == {"why": ""}
    run.approve("other")
    assert tasks(run)[0].input == {"why": ""}
    run.approve("fix")
    assert tasks(run)[0].input == {"why": ""}


def test_a_retry_begins_with_what_was_said_last():
    retry = {"attempts": 2, "delay": "1s", "jitter": 0}
    nodes = {
        "fix": node(agent="patch", with_={"why": "{{run.feedback}}"}, retry=retry),
        "draft": node(),
        "ok": gate("draft", push_back=["draft"]),
    }
    run = RunStory(workflow(nodes=nodes)).start().succeed("draft")
    run.push_back("ok", feedback="again", to="draft")
    error = Failure(code=Code.SANDBOX_FAILED, retryable=True)
    run.when(run.result("fix", phase=Phase.PLAN, error=error)).timers(1)
    assert tasks(run)[0].input == {"why": "again"}


def test_a_gate_sends_back_only_so_often():
    run = patching()
    for number in range(1, PUSH_BACKS_MAX):
        run.push_back("fix", number).plans("fix", number + 1)
        assert request(run).policy.push_back == ("fix",)
    run.push_back("fix", PUSH_BACKS_MAX).plans("fix", PUSH_BACKS_MAX + 1)
    assert request(run).policy.push_back == ()
    with pytest.raises(BrokenInvariant, match="cannot send"):
        run.push_back("fix", PUSH_BACKS_MAX + 1)


def test_a_push_back_to_anything_else_is_a_defect():
    run = reviewed()
    with pytest.raises(BrokenInvariant, match="cannot send send back"):
        run.push_back("ok", to="send")


def test_a_history_that_resets_what_was_not_done_is_damaged():
    run = reviewed()
    event = GatePushedBack(
        node="ok", attempt=1, approval_id=approval_id(run.run_id, "ok", 1), to="draft",
        by="user:bob", feedback="no", reset=("draft", "check", "ok"),
    )  # fmt: skip
    with pytest.raises(BrokenInvariant, match="send cannot be sent back"):
        run.given(event.model_copy(update={"reset": ("draft", "check", "ok", "send")}))
    with pytest.raises(BrokenInvariant, match="check has no open gate"):
        run.given(event.model_copy(update={"node": "check"}))


def test_the_count_of_one_gate_outlasts_the_push_backs_of_another():
    nodes = {
        "draft": node(),
        "first": gate("draft", push_back=["draft"]),
        "second": gate("first", push_back=["draft"]),
    }
    run = RunStory(workflow(nodes=nodes)).start().succeed("draft")
    run.push_back("first", to="draft").succeed("draft", 2).approve("first", 2)
    run.push_back("second", to="draft")
    assert run.node("first").reviewed.push_backs == 1
    assert run.node("second").reviewed.push_backs == 1
    assert run.refold() == run.state


def test_cancelling_after_a_push_back_ends_everything():
    run = reviewed().push_back("ok", to="draft").cancel()
    assert set(run.statuses().values()) == {"cancelled"}
    assert run.state.unsettled == 0
