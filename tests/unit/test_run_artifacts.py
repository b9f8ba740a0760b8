"""Results that name artifacts: received, durable, settled; lost, and what follows then."""

from __future__ import annotations

import pytest

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import (
    AttemptFailed,
    GateOpened,
    NodeFailed,
    NodeSucceeded,
    OutcomeUnknown,
    PlanMade,
    RunFailed,
    RunSucceeded,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.values import MICROSECONDS, JsonObject, Phase
from penstock_core.effects import REASK_FIRST_US, BringBack, QueueTask, StoreArtifacts
from penstock_core.run.snapshot import node_document, read_node
from penstock_core.run.state import LOSSES_MAX, STORING_MAX_US, NodeStatus
from penstock_testkit.builders.runs import ARTIFACT, PLAN, RunStory

OTHER = Artifact(name="logs/full.txt", digest=f"sha256:{'0f' * 32}", size=1)


def document(first: JsonObject | None = None, second: JsonObject | None = None) -> JsonObject:
    nodes: JsonObject = {"a": {"agent": "work", **(first or {})}}
    if second is not None:
        nodes["b"] = {"agent": "work", "needs": ["a"], **second}
    return {"apiVersion": "penstock/v1", "kind": "Workflow", "name": "w", "nodes": nodes}


def started(first: JsonObject | None = None, second: JsonObject | None = None) -> RunStory:
    return RunStory(document(first, second)).start()


def store_of(run: RunStory) -> StoreArtifacts:
    (effect,) = (one for one in run.effects if isinstance(one, StoreArtifacts))
    return effect


def test_a_node_settles_once_its_artifacts_are_durable():
    run = started()
    run.leave("a", 1, ARTIFACT, OTHER, found=3).then(TaskResultReceived)
    assert run.node("a").status is NodeStatus.STORING
    effect = store_of(run)
    assert effect.artifacts == (ARTIFACT, OTHER)
    run.when(effect.answer.body).then(NodeSucceeded, RunSucceeded)
    settled = run.last(NodeSucceeded)
    assert settled.output == {"found": 3}
    assert settled.artifacts == (ARTIFACT, OTHER)
    assert run.node("a").received is None


def test_what_is_received_is_asked_for_again_until_somebody_has_it():
    run = started().leave("a")
    (item,) = run.decider.outstanding(run.state)
    assert item.effect == store_of(run)
    assert run.decider.due_of(run.last(TaskResultReceived)) == run.now_us + REASK_FIRST_US
    run.confirm("a")
    assert run.decider.outstanding(run.state) == ()


def test_a_result_is_received_once_and_confirmed_once():
    run = started().leave("a")
    run.leave("a").stale(Code.STALE)
    run.succeed("a").stale(Code.STALE)
    run.confirm("a", 2).stale(Code.STALE)
    run.when(run.confirmation_of("a", phase=Phase.APPLY)).stale(Code.STALE)
    run.confirm("a").then(NodeSucceeded, RunSucceeded)
    run.confirm("a").stale(Code.STALE)
    run.confirm("a", lost="late").stale(Code.STALE)


def test_without_artifacts_nothing_is_waited_for():
    started().succeed("a").then(NodeSucceeded, RunSucceeded)


def test_a_loss_lets_a_repeatable_task_run_again_and_costs_no_retry():
    run = started({"retry": {"attempts": 1}})
    run.leave("a").confirm("a", lost="the object is gone").then(AttemptFailed)
    failed = run.last(AttemptFailed)
    assert failed.error.code == Code.ARTIFACT_LOST
    assert failed.error.message == "the object is gone"
    run.timers(60).then(TaskScheduled)
    assert run.node("a").tries == 1
    run.leave("a", 2).confirm("a", 2).then(NodeSucceeded, RunSucceeded)


def test_losses_are_bounded():
    run = started()
    for attempt in range(1, LOSSES_MAX + 1):
        run.leave("a", attempt).confirm("a", attempt, lost="gone").then(AttemptFailed)
        run.timers(3_600)
    run.leave("a", LOSSES_MAX + 1).confirm("a", LOSSES_MAX + 1, lost="gone")
    run.then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.ARTIFACT_LOST


def test_an_executors_own_loss_costs_a_retry():
    run = started({"retry": {"attempts": 2}})
    run.fail("a", code=Code.ARTIFACT_LOST, again=True).then(AttemptFailed)
    run.timers(60)
    run.fail("a", 2, code=Code.ARTIFACT_LOST, again=True).then(NodeFailed, RunFailed)


def test_a_once_task_is_not_repeated_for_what_it_left():
    run = started({"agent": "pay"})
    run.claim("a").then(TaskStarted)
    run.when(run.result("a", nonce="nonce-1", artifacts=(ARTIFACT,))).then(TaskResultReceived)
    run.confirm("a", lost="the object is gone").then(NodeFailed, RunFailed)
    assert "has succeeded and is not repeated" in run.last(NodeFailed).error.message


def test_nobody_waits_for_ever():
    run = started({"timeout": {"total": "2h"}})
    run.leave("a")
    assert run.node("a").due_us == run.now_us + STORING_MAX_US
    run.timers(STORING_MAX_US / MICROSECONDS)
    assert isinstance(run.events[-1], AttemptFailed)


def test_a_late_result_of_an_unknown_outcome_is_received_as_any():
    run = started({"agent": "pay"}).claim("a")
    run.timers(100)
    assert isinstance(run.last(OutcomeUnknown), OutcomeUnknown)
    run.when(run.result("a", nonce="nonce-1", artifacts=(ARTIFACT,))).then(TaskResultReceived)
    run.confirm("a").then(NodeSucceeded, RunSucceeded)


def test_the_end_of_a_run_takes_what_is_not_durable_with_it():
    run = started().leave("a").cancel()
    assert run.node("a").status is NodeStatus.CANCELLED
    run.confirm("a").stale(Code.STALE)


def test_behind_the_end_a_late_success_is_noted_without_its_artifacts():
    run = started({"agent": "pay"}).claim("a")
    run.timers(100)
    run.cancel()
    run.when(run.result("a", nonce="nonce-1", artifacts=(ARTIFACT,))).then(NodeSucceeded)
    assert run.last(NodeSucceeded).artifacts == ()


def test_a_plans_artifacts_are_durable_before_people_are_asked():
    run = started({"agent": "patch"})
    run.when(run.result("a", phase=Phase.PLAN, plan=PLAN, artifacts=(ARTIFACT,)))
    run.then(TaskResultReceived)
    run.when(run.confirmation_of("a", phase=Phase.PLAN)).then(PlanMade, GateOpened)
    assert run.last(PlanMade).artifacts == (ARTIFACT,)
    assert run.node("a").artifacts == (ARTIFACT,)


def test_only_what_the_run_names_is_brought_back():
    run = started().leave("a")
    run.when(run.restoration_of(ARTIFACT.digest)).stale(Code.STALE)
    run.confirm("a")
    run.when(run.restoration_of(ARTIFACT.digest))
    assert run.fresh == ()
    assert run.replies == (BringBack("default", ARTIFACT.digest),)
    run.when(run.restoration_of(OTHER.digest)).stale(Code.STALE)


def test_a_later_node_is_given_what_its_input_refers_to():
    run = started({}, {"with": {"text": '{{a.artifacts["report.sarif"]}}'}})
    run.leave("a", 1, ARTIFACT, OTHER).confirm("a").then(NodeSucceeded, TaskScheduled)
    (effect,) = (one for one in run.effects if isinstance(one, QueueTask))
    assert effect.task.input == {"text": ARTIFACT.reference}
    (given,) = effect.task.artifacts
    assert (given.node, given.artifact) == ("a", ARTIFACT)


def test_an_artifact_that_is_not_there_fails_the_node_that_wants_it():
    run = started({}, {"with": {"text": "{{a.artifacts.missing}}"}})
    run.leave("a").confirm("a").then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TEMPLATE_FAILED


def test_a_node_survives_its_document():
    run = started().leave("a")
    assert read_node(node_document(run.node("a"))) == run.node("a")
    run.confirm("a", lost="gone")
    assert read_node(node_document(run.node("a"))) == run.node("a")
    run.timers(60).leave("a", 2).confirm("a", 2)
    assert read_node(node_document(run.node("a"))) == run.node("a")


@pytest.mark.parametrize("name", ["../up", "a/../b", "/root", "a//b", "", ".", "a b", "x" * 201])
def test_names_are_plain_relative_paths(name: str):
    with pytest.raises(ValueError, match="name"):
        Artifact(name=name, digest=ARTIFACT.digest, size=1)
