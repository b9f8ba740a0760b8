"""Definitions that refer to artifacts: what is checked before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_adapters.yaml import read_document, render_problems
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.values import JsonObject
from penstock_core.workflow.validation import validate

SCAN = AgentManifest(name="scan", output={"type": "object", "properties": {}})
READ = AgentManifest(
    name="read",
    input={
        "type": "object",
        "properties": {
            "file": {"type": "string"},
            "files": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer"},
        },
    },
)
AGENTS = {"scan": SCAN, "read": READ}


def document(given: JsonObject, **more: Any) -> JsonObject:
    nodes: JsonObject = {
        "scan": {"agent": "scan"},
        "ask": {"approval": {}},
        "read": {"agent": "read", "needs": ["scan", "ask"], "with": given},
    }
    return {"name": "flow", "nodes": nodes, **more}


@pytest.mark.parametrize(
    "given",
    [
        {"file": '{{scan.artifacts["out/report.sarif"]}}'},
        {"file": "{{scan.artifacts.report}}"},
        {"files": ['{{scan.artifacts["a.txt"]}}', '{{ scan.artifacts["b.txt"] }}']},
        {"file": '{{scan.artifacts["output.json"]}}'},
    ],
)
def test_an_artifact_is_passed_whole_where_a_text_is_wanted(given: JsonObject):
    assert validate(document(given), AGENTS) == ()


@pytest.mark.parametrize(
    ("given", "pointer", "said", "hint"),
    [
        ({"file": "{{scan.artifacts}}"}, "file", "all artifacts of 'scan'", 'artifacts["report'),
        (
            {"file": 'in {{scan.artifacts["a.txt"]}}'},
            "file",
            "nothing may stand around it",
            "alone",
        ),
        (
            {"file": "{{scan.artifacts.report.sarif}}"},
            "file",
            "`scan.artifacts.report`",
            '`scan.artifacts["report.sarif"]`',
        ),
        ({"count": '{{scan.artifacts["a.txt"]}}'}, "count", "integer", ""),
        ({"file": '{{ask.artifacts["a.txt"]}}'}, "file", "`ask`", ""),
        ({"file": '{{scna.artifacts["a.txt"]}}'}, "file", "'scna'", "scan"),
        ({"files": ["{{scan.artifacts}}"]}, "files/0", "all artifacts", ""),
    ],
)
def test_what_cannot_be_passed_is_told_with_its_place(
    given: JsonObject, pointer: str, said: str, hint: str
):
    found = validate(document(given), AGENTS)
    assert any(
        one.pointer == f"/nodes/read/with/{pointer}"
        and said in one.message
        and hint in one.suggestion
        for one in found
    ), found


def test_artifacts_of_what_need_not_have_ended_are_not_there():
    nodes: JsonObject = {
        "scan": {"agent": "scan"},
        "read": {"agent": "read", "with": {"file": "{{scan.artifacts.a}}"}},
    }
    (found,) = validate({"name": "flow", "nodes": nodes}, AGENTS)
    assert found.suggestion == 'add "scan" to needs'


def test_outputs_and_conditions_may_name_them():
    given: JsonObject = {"outputs": {"report": '{{scan.artifacts["a.txt"]}}'}}
    assert validate(document({}, **given), AGENTS) == ()


TEXT = """\
name: flow
nodes:
  scan: {agent: scan}
  read:
    agent: read
    needs: [scan]
    with:
      file: "in {{scan.artifacts.report}}"
"""


def test_the_fault_is_shown_in_its_line():
    read = read_document(TEXT, "flow.yaml")
    shown = render_problems(read, validate(read.value, AGENTS))
    assert "flow.yaml:8:13" in shown
    assert "nothing may stand around it" in shown
