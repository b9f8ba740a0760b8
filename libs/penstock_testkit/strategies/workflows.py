"""Definitions of any shape, small enough to be explored."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from penstock_core.workflow.validation import validate
from penstock_testkit.builders.workflows import AGENTS, workflow

NODES_MAX = 6


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid document: any DAG, agents of all kinds, gates, conditions, retries."""
    count = draw(st.integers(1, NODES_MAX))
    nodes: dict[str, Any] = {}
    for number in range(count):
        earlier = sorted(nodes)
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        nodes[f"n{number}"] = draw(_node(needs))
    timeout = draw(st.sampled_from(["1m", "10m", "1d"]))
    document = workflow(nodes=nodes, timeout=timeout)
    _drop_faulty(document)
    return document


@st.composite
def _node(draw: st.DrawFn, needs: list[str]) -> dict[str, Any]:
    node: dict[str, Any] = {"needs": sorted(needs)}
    kind = draw(st.sampled_from(["work", "work", "work", "pay", "patch", "gate", "gate"]))
    if kind != "gate":
        node["agent"] = kind
        node["with"] = {"said": "{{run.feedback}}"}
        node["retry"] = {"attempts": draw(st.integers(1, 3)), "delay": draw(st.integers(1, 90))}
        queued = draw(st.sampled_from([None, 5, 90]))
        node["timeout"] = {"total": draw(st.sampled_from([20, 200])), "running": 10}
        if queued is not None:
            node["timeout"]["queued"] = queued
    if kind == "gate" or draw(st.integers(0, 5)) == 0:
        approval: dict[str, Any] = {"expires": 300}
        if needs and draw(st.integers(0, 3)):
            approval["push_back"] = [draw(st.sampled_from(needs))]
        node["approval"] = approval
    if draw(st.booleans()):
        node["on_failure"] = "continue"
    if needs and draw(st.integers(0, 2)) == 0:
        node["when"] = f"{needs[0]}.status != 'skipped'"
    return node


def _drop_faulty(document: dict[str, Any]) -> None:
    """Leave out the push backs that validation refuses."""
    for found in validate(document, AGENTS):
        _, _, name, _, field, _ = found.pointer.split("/")
        assert field == "push_back", found
        document["nodes"][name]["approval"].pop(field, None)
