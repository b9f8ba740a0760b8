"""Which nodes run, in which order, and what becomes of the others."""

import pytest

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import (
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    RunFailed,
    RunStarted,
    RunSucceeded,
    SkipReason,
    TaskScheduled,
)
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import QueueTask, SendCommand
from penstock_testkit.builders.runs import RunStory
from penstock_testkit.builders.workflows import DIAMOND, linear, node, workflow


def test_nodes_in_a_row_run_one_after_the_other():
    run = RunStory(workflow(nodes=linear("a", "b", "c")))
    run.start().then(RunStarted, TaskScheduled)
    assert run.statuses() == {"a": "queued", "b": "waiting", "c": "waiting"}
    run.succeed("a").then(NodeSucceeded, TaskScheduled)
    run.succeed("b").then(NodeSucceeded, TaskScheduled)
    run.succeed("c").then(NodeSucceeded, RunSucceeded)
    assert run.state.status == "succeeded"
    assert run.state.ended_us == run.now_us


def test_starting_tells_the_catalog_and_queues_the_roots():
    run = RunStory(workflow(nodes=linear("a", "b"))).start()
    confirm, task = run.effects
    assert isinstance(confirm, SendCommand)
    assert confirm.subject.endswith(".confirm_start")
    assert isinstance(task, QueueTask)
    assert task.task.node == "a"
    assert task.task.running_s == 60


def test_fan_out_starts_all_at_once_in_definition_order():
    nodes = {"top": node(), **{f"leaf{i}": node("top") for i in range(5)}}
    run = RunStory(workflow(nodes=nodes)).start()
    run.succeed("top").then(NodeSucceeded, *[TaskScheduled] * 5)
    scheduled = [event for event in run.fresh if isinstance(event, TaskScheduled)]
    assert [event.node for event in scheduled] == [f"leaf{i}" for i in range(5)]


def test_fan_in_waits_for_the_last_parent():
    nodes = {"a": node(), "b": node(), "c": node(), "join": node("a", "b", "c")}
    run = RunStory(workflow(nodes=nodes)).start().then(RunStarted, *[TaskScheduled] * 3)
    run.succeed("c").then(NodeSucceeded)
    run.succeed("a").then(NodeSucceeded)
    assert run.node("join").pending == 1
    run.succeed("b").then(NodeSucceeded, TaskScheduled)
    run.succeed("join").then(NodeSucceeded, RunSucceeded)


def test_a_diamond_hands_typed_values_on():
    run = RunStory(workflow(nodes=DIAMOND)).start()
    run.succeed("top", value=[1, {"x": None}])
    queued = [effect for effect in run.effects if isinstance(effect, QueueTask)]
    assert [task.task.input for task in queued] == [{"from": [1, {"x": None}]}] * 2
    run.succeed("left", score=1.5).succeed("right", ok=True)
    (join,) = [effect for effect in run.effects if isinstance(effect, QueueTask)]
    assert join.task.input == {"l": {"score": 1.5}, "r": {"ok": True}}
    run.succeed("join").then(NodeSucceeded, RunSucceeded)


def test_outputs_are_rendered_at_the_end():
    nodes = linear("a")
    run = RunStory(workflow(nodes=nodes, outputs={"n": "{{a.output.n}}", "of": "{{run.workflow}}"}))
    run.start().succeed("a", n=3)
    assert run.state.outputs == {"n": 3, "of": "flow"}


def test_outputs_that_cannot_be_rendered_fail_the_run():
    run = RunStory(workflow(nodes=linear("a"), outputs={"n": "{{a.output.n}}"}))
    run.start().succeed("a").then(NodeSucceeded, RunFailed)
    assert run.state.cause is not None
    assert run.state.cause.error.code == Code.TEMPLATE_FAILED
    assert run.state.cause.error.message.startswith("outputs: ")


@pytest.mark.parametrize(("severe", "ran"), [(True, True), (False, False)])
def test_a_condition_decides_whether_a_node_runs(severe: bool, ran: bool):
    nodes = {"scan": node(), "alarm": node("scan", when="scan.output.severe")}
    run = RunStory(workflow(nodes=nodes)).start().succeed("scan", severe=severe)
    if ran:
        run.then(NodeSucceeded, TaskScheduled)
    else:
        run.then(NodeSucceeded, NodeSkipped, RunSucceeded)
        assert run.last(NodeSkipped).reason is SkipReason.CONDITION


def test_what_needs_a_skipped_node_is_skipped_with_it():
    nodes = {
        "a": node(when="inputs.go == true"),
        "b": node("a"),
        "c": node("b", when="true"),
    }
    run = RunStory(workflow(nodes=nodes), {"go": False}).start()
    run.then(RunStarted, NodeSkipped, NodeSkipped, NodeSkipped, RunSucceeded)
    skipped = {event.node: event.reason for event in run.events if isinstance(event, NodeSkipped)}
    assert skipped == {"a": "condition", "b": "upstream", "c": "upstream"}


def test_a_condition_that_reads_a_status_runs_behind_a_failure():
    nodes = {
        "scan": node(on_failure="continue"),
        "mend": node("scan", when="scan.status == 'failed'"),
        "rest": node("scan"),
    }
    run = RunStory(workflow(nodes=nodes)).start()
    run.fail("scan").then(NodeFailed, TaskScheduled, NodeSkipped)
    assert run.statuses() == {"scan": "failed", "mend": "queued", "rest": "skipped"}
    run.succeed("mend").then(NodeSucceeded, RunSucceeded)


def test_a_condition_that_cannot_be_evaluated_fails_its_node():
    nodes = {"a": node(), "b": node("a", when="a.output.absent > 3")}
    run = RunStory(workflow(nodes=nodes)).start()
    run.succeed("a").then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.CONDITION_FAILED
    assert run.last(NodeFailed).attempt == 0


def test_a_template_without_a_value_fails_its_node_and_the_run():
    nodes = {"a": node(), "b": node("a", with_={"x": "{{a.output.absent}}"})}
    run = RunStory(workflow(nodes=nodes)).start()
    run.succeed("a", present=1).then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(RunFailed).cause.node == "b"
    assert run.last(RunFailed).cause.error.code == Code.TEMPLATE_FAILED


def test_a_failure_reaches_the_run_with_its_cause():
    run = RunStory(workflow(nodes=DIAMOND)).start().succeed("top", value=1)
    run.fail("left", code="agent_crashed").then(NodeFailed, RunFailed)
    assert run.state.cause is not None
    assert run.state.cause.node == "left"
    assert run.state.cause.error.message == "left broke"
    assert run.statuses()["right"] == "cancelled"
    assert run.statuses()["join"] == "cancelled"


def test_on_failure_continue_lets_the_others_finish():
    nodes = {"a": node(on_failure="continue"), "b": node(), "after": node("a")}
    run = RunStory(workflow(nodes=nodes)).start()
    run.fail("a").then(NodeFailed, NodeSkipped)
    run.succeed("b").then(NodeSucceeded, RunSucceeded)
    assert run.statuses() == {"a": "failed", "b": "succeeded", "after": "skipped"}


def test_a_ladder_of_diamonds_of_which_nothing_runs_takes_no_time():
    nodes = {"r0": node(when="false")}
    for rung in range(60):
        nodes |= {f"x{rung}": node(f"r{rung}"), f"y{rung}": node(f"r{rung}")}
        nodes[f"r{rung + 1}"] = node(f"x{rung}", f"y{rung}")
    run = RunStory(workflow(nodes=nodes)).start()
    assert run.state.status == "succeeded"
    assert len(run.events) == len(nodes) + 2


def test_an_output_over_the_limit_fails_even_if_an_executor_lets_it_through():
    run = RunStory(workflow(nodes=linear("a"))).start()
    run.succeed("a", text="x" * 70_000).then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.OUTPUT_TOO_LARGE


def test_a_gathered_input_over_the_limit_fails_its_node():
    nodes = {f"n{i}": node() for i in range(20)}
    gathered = {f"v{i}": f"{{{{n{i}.output}}}}" for i in range(20)}
    nodes["join"] = node(*nodes, with_=gathered)
    run = RunStory(workflow(nodes=nodes)).start()
    for i in range(20):
        run.succeed(f"n{i}", text="x" * 60_000)
    run.then(NodeSucceeded, NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TEMPLATE_FAILED


def test_success_with_unsettled_nodes_is_a_broken_invariant():
    run = RunStory(workflow(nodes=linear("a", "b"))).start()
    with pytest.raises(BrokenInvariant, match="not settled"):
        run.given(RunSucceeded(ended_us=1))


def test_an_event_that_the_table_does_not_allow_is_a_broken_invariant():
    run = RunStory(workflow(nodes=linear("a", "b"))).start()
    with pytest.raises(BrokenInvariant, match="NodeSkipped for a, which is queued"):
        run.given(NodeSkipped(node="a", reason=SkipReason.UPSTREAM))
    with pytest.raises(BrokenInvariant, match="which is absent"):
        run.given(NodeSkipped(node="nowhere", reason=SkipReason.UPSTREAM))
    with pytest.raises(BrokenInvariant, match="RunStarted while the run is running"):
        run.given(run.last(RunStarted))
