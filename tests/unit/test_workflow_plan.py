"""Plans: what a run finds resolved, and the digests that name versions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock_contracts.agent.v1 import AgentLimits, AgentManifest, Effect, Risk
from penstock_contracts.workflow.v1 import Gate, OnFailure, WorkflowDefinition
from penstock_core.workflow.canonical import MAX_INTEGER, canonical_digest, uncanonical
from penstock_core.workflow.graph import (
    ancestors_of,
    behind_cycles,
    bit_of,
    cycles_of,
    dependents_of,
    order_of,
)
from penstock_core.workflow.plan import (
    Plan,
    compile_plan,
    definition_digest,
    manifest_digest,
)

SCAN = AgentManifest(name="scan", limits=AgentLimits(wall_s=30), pool="quick")
PATCH = AgentManifest(name="patch", risk=Risk.APPROVAL_REQUIRED)
DIGESTS = {"scan": "sha256:" + "1" * 64, "patch": "sha256:" + "2" * 64, "other": "sha256:3"}


def plan(nodes: dict[str, Any], **more: Any) -> Plan:
    definition = WorkflowDefinition.model_validate({"name": "w", "nodes": nodes, **more})
    return compile_plan(definition, "d", {"scan": SCAN, "patch": PATCH}, DIGESTS)


def test_an_agents_node_takes_its_agents_terms():
    node = plan({"a": {"agent": "scan", "with": {"x": "{{inputs.y}}"}}}).nodes["a"]
    assert (node.agent, node.agent_digest) == ("scan", DIGESTS["scan"])
    assert (node.repeats, node.pool, node.running_s) == (True, "quick", 30)
    assert (node.gate, node.gate_show, node.gate_title) == (None, None, None)
    assert not node.risk_gate
    assert node.with_.render({"inputs": {"y": 1}}) == {"x": 1}
    assert node.on_failure is OnFailure.FAIL


def test_a_node_may_lower_the_time_but_not_raise_it():
    nodes = {
        "low": {"agent": "scan", "timeout": {"running": "5s"}},
        "high": {"agent": "scan", "timeout": {"running": "5m"}, "pool": "big"},
    }
    compiled = plan(nodes)
    assert compiled.nodes["low"].running_s == 5
    assert compiled.nodes["high"].running_s == 30
    assert compiled.nodes["high"].pool == "big"


def test_a_risky_agent_has_a_gate_whatever_the_node_says():
    nodes = {"a": {"agent": "patch"}, "b": {"agent": "patch", "approval": {"title": "sure?"}}}
    compiled = plan(nodes)
    assert compiled.nodes["a"].gate == Gate()
    assert compiled.nodes["a"].risk_gate
    assert not compiled.nodes["a"].repeats
    gate = compiled.nodes["b"]
    assert gate.gate is not None
    assert gate.gate_title is not None
    assert gate.gate_title.render({}) == "sure?"


def test_an_agent_that_says_once_is_not_repeated():
    manifest = SCAN.model_copy(update={"effect": Effect.ONCE})
    definition = WorkflowDefinition.model_validate({"name": "w", "nodes": {"a": {"agent": "scan"}}})
    assert not compile_plan(definition, "d", {"scan": manifest}, DIGESTS).nodes["a"].repeats


def test_a_pure_gate():
    nodes = {"a": {"approval": {"show": {"x": "{{run.id}}"}}}}
    node = plan(nodes).nodes["a"]
    assert (node.agent, node.agent_digest, node.pool) == (None, None, "default")
    assert (node.repeats, node.running_s, node.risk_gate) == (True, 0, False)
    assert node.gate_show is not None
    assert node.gate_show.render({"run": {"id": "r"}}) == {"x": "r"}


def test_only_parents_statuses_count():
    nodes = {
        "a": {"agent": "scan"},
        "b": {"agent": "scan", "needs": ["a"]},
        "c": {
            "agent": "scan",
            "needs": ["b"],
            "when": "a.status == 'failed' || b.status == 'failed'",
        },
    }
    compiled = plan(nodes)
    assert compiled.nodes["c"].when_reads_status == {"b"}
    assert compiled.nodes["b"].when_reads_status == frozenset()


def test_the_whole():
    nodes = {
        "z": {"agent": "scan", "needs": ["m"]},
        "m": {"agent": "scan"},
        "a": {"agent": "patch", "needs": ["m"]},
    }
    compiled = plan(
        nodes, timeout="2m", labels={"team": "x"}, inputs={"type": "object"}, outputs={"o": 1}
    )
    assert tuple(compiled.nodes) == ("z", "m", "a")
    assert compiled.order == ("m", "z", "a")
    assert compiled.nodes["m"].dependents == ("z", "a")
    assert compiled.timeout_s == 120
    assert dict(compiled.agents) == {"patch": DIGESTS["patch"], "scan": DIGESTS["scan"]}
    assert compiled.outputs.render({}) == {"o": 1}
    assert compiled.inputs_schema == {"type": "object"}
    assert dict(compiled.labels) == {"team": "x"}
    assert (compiled.name, compiled.digest) == ("w", "d")


@pytest.mark.parametrize(
    "nodes",
    [
        {"a": {"agent": "nobody"}},
        {"a": {"agent": "other"}},
        {"a": {"agent": "scan", "needs": ["b"]}, "b": {"agent": "scan", "needs": ["a"]}},
    ],
)
def test_what_validation_refuses_cannot_be_compiled(nodes: dict[str, Any]):
    with pytest.raises(ValueError, match=r"unknown agent|cycle"):
        plan(nodes)


def test_two_ways_of_writing_the_same_have_one_digest():
    short = {"name": "w", "nodes": {"a": {"agent": "scan"}}}
    long = {
        "nodes": {"a": {"needs": [], "agent": "scan", "retry": {"attempts": 1}}},
        "timeout": "1d",
        "kind": "Workflow",
        "name": "w",
        "apiVersion": "penstock/v1",
    }
    assert definition_digest(short) == definition_digest(long)
    assert definition_digest(short) != definition_digest({**short, "timeout": "1h"})
    with pytest.raises(ValidationError):
        definition_digest({"name": "w"})


def test_digests_of_manifests():
    assert manifest_digest(SCAN) == manifest_digest(SCAN.model_copy())
    assert manifest_digest(SCAN) != manifest_digest(PATCH)
    assert manifest_digest(SCAN).startswith("sha256:")


def test_canonical_json_is_that_of_the_standard():
    assert canonical_digest({"b": 1, "a": [1.0, "é"]}) == canonical_digest({"a": [1, "é"], "b": 1})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [2**53]}, "/a/0"),
        (-(2**53), ""),
        ({"a/b": float("nan")}, "/a~1b"),
        ([float("-inf")], "/0"),
        (["\ud800"], "/0"),
        ({"\ud800": 1}, ""),
        (nested(150), "/0" * 101),
    ],
)
def test_what_has_no_canonical_form(value: Any, pointer: str):
    assert [place for place, _ in uncanonical(value)] == [pointer]


@pytest.mark.parametrize("value", [MAX_INTEGER, True, None, 1e300, "é😀", {"a": [1, "b"]}])
def test_what_has_a_canonical_form(value: Any):
    assert list(uncanonical(value)) == []
    assert canonical_digest(value)


def test_what_has_none_is_refused():
    with pytest.raises(ValueError, match="9007199254740992"):
        canonical_digest(2**53)


def test_graph_of_two_knots():
    needs = {"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"], "e": ["c"], "f": [], "g": ["f"]}
    assert cycles_of(needs) == (("a", "b", "a"), ("c", "d", "c"))
    assert behind_cycles(needs) == {"a", "b", "c", "d", "e"}
    with pytest.raises(ValueError, match="cycle"):
        order_of(needs)


def test_graph_ignores_parents_that_are_no_nodes():
    needs = {"a": ["ghost"], "b": ["a", "a"]}
    bits = bit_of(needs)
    assert order_of(needs) == ("a", "b")
    assert dependents_of(needs) == {"a": ("b",), "b": ()}
    assert ancestors_of(needs) == {"a": 0, "b": bits["a"]}
