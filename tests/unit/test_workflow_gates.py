"""Gates of a definition: what they ask, what they send back, and what can be read of them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.graph import ancestors_of, between
from penstock_core.workflow.validation import validate
from penstock_testkit.builders.workflows import AGENTS, gate, node, plan_of, workflow

FORM = {"type": "object", "properties": {"ticket": {"type": "string"}}}


def faults(nodes: dict[str, Any]) -> list[Problem]:
    return list(validate(workflow(nodes=nodes), AGENTS))


def fault(nodes: dict[str, Any]) -> tuple[str, str, str, str]:
    (found,) = faults(nodes)
    return found.pointer, found.code, found.message, found.suggestion


# --- by itself -----------------------------------------------------------------------------------


def test_a_gate_that_says_everything_is_sound():
    whole = gate(
        title="Go?", quorum=2, separation=True, reason_required=True, form=FORM, remind_every="1h",
        expires="1d", grant_for="10m", approvers={"users": ["ann", "bob"], "groups": ["ops"]},
    )  # fmt: skip
    assert faults({"ok": whole}) == []


def test_a_reminder_has_to_come_before_the_expiry():
    pointer, code, message, hint = fault({"ok": gate(remind_every="1h", expires="1h")})
    assert (pointer, code) == ("/nodes/ok/approval/remind_every", "invalid_value")
    assert "expired" in message
    assert "expires" in hint


def test_a_quorum_can_be_reached_by_those_who_are_named():
    pointer, code, message, _ = fault({"ok": gate(quorum=2, approvers={"users": ["ann", "ann"]})})
    assert (pointer, code) == ("/nodes/ok/approval/quorum", "invalid_value")
    assert "1 named" in message


def test_a_form_is_a_schema_of_an_object():
    pointer, code, *_ = fault({"ok": gate(form={"type": "objekt"})})
    assert (pointer, code) == ("/nodes/ok/approval/form/type", "invalid_schema")
    for form in ({"type": "string"}, {"properties": {}}, {"type": ["object", "null"]}):
        pointer, code, _, hint = fault({"ok": gate(form=form)})
        assert (pointer, code) == ("/nodes/ok/approval/form/type", "invalid_schema")
        assert "type: object" in hint


def test_approvers_have_no_other_fields():
    pointer, code, _, hint = fault({"ok": gate(approvers={"user": ["ann"]})})
    assert (pointer, code) == ("/nodes/ok/approval/approvers/user", "unknown_field")
    assert "`users`" in hint


# --- push back -----------------------------------------------------------------------------------

LINE = {"a": node(), "b": node("a"), "ok": gate("b"), "c": node("ok")}


def line(*targets: str, **more: Any) -> dict[str, Any]:
    return {**LINE, "ok": gate("b", push_back=list(targets)), **more}


def test_a_gate_may_send_back_what_has_run_before_it():
    assert faults(line("a", "b")) == []
    plan = plan_of(workflow(nodes=line("a", "b")))
    assert plan.nodes["ok"].resets == {"a": ("a", "b", "ok"), "b": ("b", "ok")}
    assert plan.nodes["c"].resets == {}


def test_an_agent_that_plans_may_be_sent_back_unless_the_gate_says_otherwise():
    plans = {"default": node(agent="patch"), "said": node(agent="patch", approval={"title": "x"}),
             "none": node(agent="patch", approval={"push_back": []})}  # fmt: skip
    assert faults(plans) == []
    compiled = plan_of(workflow(nodes=plans)).nodes
    assert compiled["default"].resets == {"default": ("default",)}
    assert compiled["said"].resets == {"said": ("said",)}
    assert compiled["none"].resets == {}


def test_a_target_has_to_exist():
    pointer, code, _, hint = fault(line("aa"))
    assert (pointer, code) == ("/nodes/ok/approval/push_back/0", "unknown_node")
    assert "`a`" in hint


def test_a_target_has_to_come_before_the_gate():
    pointer, code, message, _ = fault(line("b", "c"))
    assert (pointer, code) == ("/nodes/ok/approval/push_back/1", "bad_push_back")
    assert "need not have run" in message


def test_a_gate_without_a_plan_cannot_send_back_itself():
    _, code, message, hint = fault({"ok": node(approval={"push_back": ["ok"]})})
    assert code == "bad_push_back"
    assert "does not plan" in message
    assert "before it" in hint


@pytest.mark.parametrize("agent", ["pay", "patch"])
def test_what_happens_once_never_runs_again(agent: str):
    _, code, message, _ = fault(line("a", b=node("a", agent=agent)))
    assert code == "bad_push_back"
    assert message.startswith("'b' would run again")


def test_the_gates_own_node_may_have_an_effect_that_happens_once():
    nodes = {"a": node(), "go": node("a", agent="pay", approval={"push_back": ["a"]})}
    assert faults(nodes) == []
    nodes["go"] = node("a", agent="patch", approval={"push_back": ["a", "go"]})
    assert faults(nodes) == []


def test_nothing_behind_a_target_may_go_on_without_the_gate():
    pointer, code, message, hint = fault(line("a", tell=node("a")))
    assert (pointer, code) == ("/nodes/ok/approval/push_back/0", "bad_push_back")
    assert message.startswith("'tell' needs 'a'")
    assert 'add "ok" to the needs of' in hint
    assert faults(line("b", tell=node("a"))) == []
    assert faults(line("a", tell=node("a", "c"))) == []


def test_the_faults_of_the_graph_come_first():
    found = {one.code for one in faults(line("c", b=node("nowhere")))}
    assert found == {"unknown_node", "unreachable"}


def test_between_are_the_nodes_on_any_path():
    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",), "x": ("a",)}
    ancestors = ancestors_of(needs)
    assert between(needs, ancestors, "a", "d") == ("a", "b", "c", "d")
    assert between(needs, ancestors, "b", "e") == ("b", "d", "e")
    assert between(needs, ancestors, "d", "d") == ("d",)


# --- what can be read ----------------------------------------------------------------------------


def reading(text: str, **approval: Any) -> list[str]:
    nodes = {"ok": gate(**approval), "go": node("ok", with_={"x": f"{{{{{text}}}}}"})}
    return [found.code for found in faults(nodes)]


@pytest.mark.parametrize("text", ["ok.approval.by", "ok.approval.reason", "run.feedback"])
def test_the_decision_and_the_feedback_can_be_read(text: str):
    assert reading(text) == []


def test_the_answers_are_known_by_the_form():
    assert reading("ok.approval.answers.ticket", form=FORM) == []
    assert reading("ok.approval.answers.tickets", form=FORM) == ["unknown_output"]
    assert reading("ok.output.answers.ticket", form=FORM) == []
    assert reading("ok.output.answers.tickets", form=FORM) == ["unknown_output"]
    assert reading("ok.output.answers") == ["unknown_output"]
    referring = {**FORM, "properties": {"ticket": {"$ref": "#/$defs/t"}}, "$defs": {"t": {}}}
    assert reading("ok.approval.answers.ticket", form=referring) == []


def test_a_node_without_a_gate_has_no_approval():
    nodes = {"a": node(), "go": node("a", with_={"x": "{{a.approval.by}}"})}
    assert [found.code for found in faults(nodes)] == ["unknown_output"]
    nodes["a"] = node(agent="patch")
    assert faults(nodes) == []


def test_a_gate_cannot_read_its_own_decision():
    nodes = {"go": node(approval={}, with_={"x": "{{go.approval.by}}"})}
    assert [found.code for found in faults(nodes)] == ["not_before"]
