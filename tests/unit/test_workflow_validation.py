"""Validation: every fault with its place, its code and a way out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.workflow.v1 import MAX_NODES, Problem, WorkflowDefinition
from penstock_core.workflow.plan import compile_plan
from penstock_core.workflow.problems import MAX_PROBLEMS, closest, did_you_mean
from penstock_core.workflow.validation import validate, validate_manifest

SCANNER = AgentManifest(
    name="security-scanner",
    input={
        "type": "object",
        "additionalProperties": False,
        "required": ["repository_path"],
        "properties": {
            "repository_path": {"type": "string"},
            "scan_type": {"enum": ["full", "quick"]},
            "depth": {"type": "integer"},
            "options": {
                "type": "object",
                "required": ["level"],
                "properties": {"level": {"type": "integer"}, "names": {"type": "array"}},
            },
        },
    },
    output={
        "type": "object",
        "properties": {
            "passed": {"type": "boolean"},
            "count": {"type": "integer"},
            "score": {"type": "number"},
            "findings": {
                "type": "array",
                "items": {"type": "object", "properties": {"rule": {"type": "string"}}},
            },
        },
    },
)
NOTIFIER = AgentManifest(
    name="notifier",
    input={
        "type": "object",
        "additionalProperties": False,
        "required": ["channels", "message"],
        "properties": {
            "channels": {"type": "array", "items": {"type": "string"}},
            "message": {"type": "string"},
            "limit": {"type": "number"},
        },
    },
    output={},
)
BROKEN = AgentManifest(name="broken", input={"type": "strin"}, output={"$ref": "#"})
EITHER = AgentManifest(
    name="either",
    input={
        "type": "object",
        "anyOf": [{"required": ["path"]}, {"required": ["repoPath", "x"]}],
        "properties": {"path": {"type": "string"}, "repoPath": {"type": "string"}, "x": {}},
    },
)
AGENTS = {"either": EITHER, "security-scanner": SCANNER, "notifier": NOTIFIER, "broken": BROKEN}
SAID = {"channels": ["console"], "message": "hi"}

DOCUMENT: dict[str, Any] = {
    "apiVersion": "penstock/v1",
    "kind": "Workflow",
    "name": "scan-and-tell",
    "inputs": {
        "type": "object",
        "required": ["repo", "depth"],
        "properties": {
            "repo": {"type": "string"},
            "depth": {"type": "integer", "default": 3},
            "free": {},
        },
    },
    "triggers": [
        {
            "on": "nats.scan.*",
            "when": "trigger.data.urgent == true",
            "inputs": {"repo": "{{trigger.data.repo}}"},
        }
    ],
    "nodes": {
        "scan": {
            "agent": "security-scanner",
            "with": {"repository_path": "{{inputs.repo}}", "depth": "{{inputs.depth}}"},
        },
        "ask": {
            "needs": ["scan"],
            "approval": {
                "title": "{{scan.output.count}} findings",
                "show": {"findings": "{{scan.output.findings}}"},
            },
        },
        "tell": {
            "agent": "notifier",
            "needs": ["scan", "ask"],
            "when": "scan.status == 'succeeded' && scan.output.count > inputs.depth",
            "with": {
                "channels": ["console"],
                "message": "{{scan.output.findings[0].rule}} seen by {{ask.output.by}}",
                "limit": "{{scan.output.count}}",
            },
        },
    },
    "outputs": {"passed": "{{scan.output.passed}}", "run": "{{run.id}}"},
}
_GONE = object()


def changed(**changes: Any) -> dict[str, Any]:
    """The document with parts replaced: `nodes__scan__agent="x"`."""
    document = copy.deepcopy(DOCUMENT)
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = document
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is _GONE:
            del place[last]
        else:
            place[last] = value
    return document


def problems_of(**changes: Any) -> tuple[Problem, ...]:
    return validate(changed(**changes), AGENTS)


def only(**changes: Any) -> Problem:
    (found,) = problems_of(**changes)
    return found


def test_a_sound_document_has_no_problem_and_can_be_compiled():
    assert validate(DOCUMENT, AGENTS) == ()
    definition = WorkflowDefinition.model_validate(DOCUMENT)
    digests = dict.fromkeys(AGENTS, "sha256:" + "0" * 64)
    assert compile_plan(definition, "d", AGENTS, digests).order == ("scan", "ask", "tell")


@pytest.mark.parametrize(
    ("changes", "pointer", "code", "words", "suggestion"),
    [
        # --- form
        ({"nodse": {}}, "/nodse", "unknown_field", "'nodse'", ""),
        (
            {"nodes__scan__wiht": {}},
            "/nodes/scan/wiht",
            "unknown_field",
            "unknown field 'wiht'",
            "known:",
        ),
        (
            {"nodes__scan__retry": {"attempt": 3}},
            "/nodes/scan/retry/attempt",
            "unknown_field",
            "'attempt'",
            "`attempts`",
        ),
        (
            {"nodes__ask__approval__expire": "1h"},
            "/nodes/ask/approval/expire",
            "unknown_field",
            "'expire'",
            "`expires`",
        ),
        (
            {"nodes__ask__approval__approvers": {"user": ["bob"]}},
            "/nodes/ask/approval/approvers/user",
            "unknown_field",
            "'user'",
            "`users`",
        ),
        (
            {"triggers__0__input": {}},
            "/triggers/0/input",
            "unknown_field",
            "'input'",
            "",
        ),
        ({"name": _GONE}, "/name", "missing_field", "'name' is missing", "name: my-workflow"),
        ({"name": "Bad Name"}, "/name", "invalid_value", "a-z", ""),
        ({"kind": "Flow"}, "/kind", "invalid_value", "'Workflow'", ""),
        ({"timeout": "5 minutes"}, "/timeout", "invalid_value", "unknown unit 'minutes'", ""),
        ({"timeout": True}, "/timeout", "invalid_value", "a duration is", ""),
        (
            {"nodes__scan__retry": {"attempts": 0}},
            "/nodes/scan/retry/attempts",
            "invalid_value",
            "greater than or equal to 1",
            "",
        ),
        ({"nodes__scan__needs": "ask"}, "/nodes/scan/needs", "invalid_value", "a list", "[...]"),
        ({"nodes__scan": "x"}, "/nodes/scan", "invalid_value", "fields are expected", ""),
        ({"nodes__Scan-2": {"agent": "notifier", "with": SAID}}, "/nodes/Scan-2", "invalid_value",
         "no name for a node", "write `scan_2`"),
        ({"nodes__scan__needs": ["A-b"]}, "/nodes/scan/needs/0", "invalid_value",
         "no name of a node", ""),
        # --- schemas of inputs
        ({"inputs": {"repo": {"type": "string"}}}, "/inputs/repo", "invalid_schema", "no keyword",
         "properties"),
        ({"inputs__properties__repo__type": "strin"}, "/inputs/properties/repo/type",
         "invalid_schema", "not a type", ""),
        ({"inputs__properties__depth__default": "x"}, "/inputs/properties/depth/default",
         "type_mismatch", "must be of type integer", ""),
        # --- triggers
        ({"triggers__0__on": "nats..x"}, "/triggers/0/on", "bad_trigger", "empty token", "dots"),
        ({"triggers__0__on": "workflow.x"}, "/triggers/0/on", "bad_trigger", "by name", "by hand"),
        ({"triggers__0__when": "trigger.data ="}, "/triggers/0/when", "bad_condition", "", "CEL"),
        ({"triggers__0__when": "triger.data == 1"}, "/triggers/0/when", "unknown_name", "'triger'",
         "`trigger`"),
        ({"triggers__0__inputs__repo": "{{trigger"}, "/triggers/0/inputs/repo", "bad_template",
         "without", "two braces"),
        ({"triggers__0__inputs__repo": "{{inputs.repo}}"}, "/triggers/0/inputs/repo",
         "unknown_name", "'inputs'", "`trigger`"),
        ({"triggers__0__inputs__repo": 5}, "/triggers/0/inputs/repo", "type_mismatch",
         "must be of type string", ""),
        # --- the graph
        ({"nodes__scan__agent": "security-scaner"}, "/nodes/scan/agent", "unknown_agent",
         "'security-scaner'", "`security-scanner`"),
        ({"nodes__tell__needs": ["scan", "aks"]}, "/nodes/tell/needs/1", "unknown_node", "'aks'",
         "`ask`"),
        ({"nodes__tell__needs": ["scan", "ask", "scan"]}, "/nodes/tell/needs/2", "duplicate_need",
         "listed twice", "once"),
        ({"nodes__more": {}}, "/nodes/more", "nothing_to_do", "neither an agent nor", "agent:"),
        ({"nodes__status": {"agent": "notifier", "with": SAID}}, "/nodes/status", "reserved_name",
         "something else", "another name"),
        ({"nodes__list": {"agent": "notifier", "with": SAID}}, "/nodes/list", "reserved_name", "",
         "another name"),
        # --- templates
        ({"nodes__tell__with__message": "{{scan.output.count | x}}"}, "/nodes/tell/with/message",
         "bad_template", "is not a reference", "conditions belong in `when`"),
        ({"nodes__tell__with__message": "{{scn.output.count}}x"}, "/nodes/tell/with/message",
         "unknown_name", "'scn'", "`scan`"),
        ({"nodes__tell__needs": ["scan"]}, "/nodes/tell/with/message", "not_before", "'ask'",
         'add "ask" to needs'),
        ({"nodes__tell__with__message": "{{tell.output.x}}x"}, "/nodes/tell/with/message",
         "not_before", "its own output", ""),
        ({"nodes__tell__with__message": "{{scan.output.finding}}"}, "/nodes/tell/with/message",
         "unknown_output", "no field 'finding'", "`findings`"),
        ({"nodes__tell__with__message": "{{scan.outputs.count}} x"}, "/nodes/tell/with/message",
         "unknown_output", "no field 'outputs'", "`output`"),
        ({"nodes__tell__with__message": "{{scan.output.count.x}} x"}, "/nodes/tell/with/message",
         "unknown_output", "is integer, which has no fields", ""),
        ({"nodes__tell__with__message": "{{inputs.rep}}"}, "/nodes/tell/with/message",
         "unknown_input", "no field 'rep'", "`repo`"),
        ({"nodes__tell__with__message": "{{trigger.data}}"}, "/nodes/tell/with/message",
         "unknown_name", "trigger rule only", "input of the workflow"),
        ({"nodes__tell__with__message": "{{run.name}}"}, "/nodes/tell/with/message",
         "unknown_output", "`run` has no field 'name'", "known:"),
        ({"nodes__ask__approval__title": "{{tell.output.x}}"}, "/nodes/ask/approval/title",
         "not_before", "'tell'", ""),
        ({"nodes__ask__approval__show__findings": "{{"}, "/nodes/ask/approval/show/findings",
         "bad_template", "", ""),
        ({"outputs__passed": "{{scan.output.pased}}"}, "/outputs/passed", "unknown_output", "",
         "`passed`"),
        # --- types
        ({"nodes__tell__with__message": "{{scan.output.count}}"}, "/nodes/tell/with/message",
         "type_mismatch", "gives integer where string is needed", "a text around it"),
        ({"nodes__scan__with__depth": "{{inputs.repo}}"}, "/nodes/scan/with/depth",
         "type_mismatch", "gives string where integer is needed", "would fit: `inputs.depth`"),
        ({"nodes__tell__with__channels": "to {{inputs.repo}}"}, "/nodes/tell/with/channels",
         "type_mismatch", "gives string where array is needed", "whole string"),
        ({"nodes__tell__with__channels": "{{scan.output.findings}}"}, "/nodes/tell/with/channels",
         "type_mismatch", "gives object where string is needed (at [])", "either side"),
        ({"nodes__tell__with__channels": ["{{scan.output.count}}"]}, "/nodes/tell/with/channels/0",
         "type_mismatch", "gives integer where string is needed", ""),
        ({"nodes__tell__with__channels": {"a": "{{inputs.repo}}"}}, "/nodes/tell/with/channels",
         "type_mismatch", "this gives object where array is needed", ""),
        ({"nodes__tell__with__message": ["{{inputs.repo}}"]}, "/nodes/tell/with/message",
         "type_mismatch", "this gives array where string is needed", ""),
        ({"nodes__scan__with__scan_type": "fast"}, "/nodes/scan/with/scan_type", "type_mismatch",
         'must be one of "full", "quick"', ""),
        ({"nodes__tell__with__channels": ["console", 5]}, "/nodes/tell/with/channels/1",
         "type_mismatch", "must be of type string", ""),
        ({"nodes__scan__with__repository_path": _GONE}, "/nodes/scan/with", "missing_input",
         "'repository_path' (string)", "add `repository_path"),
        ({"nodes__scan__with__deph": 1}, "/nodes/scan/with/deph", "unknown_input", "'deph'",
         "known: `options`, `scan_type`"),
        ({"nodes__scan__with__options": {"names": []}}, "/nodes/scan/with/options",
         "missing_input", "'level' (integer)", ""),
        ({"nodes__scan__with__options": {"level": "{{inputs.repo}}"}},
         "/nodes/scan/with/options/level", "type_mismatch", "gives string", ""),
        ({"nodes__e": {"agent": "either", "with": {"x": "{{inputs.repo}}"}}}, "/nodes/e/with",
         "missing_input", "'path' or 'repoPath' or 'x'", "add `path"),
        ({"nodes__e": {"agent": "either"}}, "/nodes/e/with", "missing_input", "'path'", "path"),
        # --- conditions
        ({"nodes__tell__when": "scan.output.count >"}, "/nodes/tell/when", "bad_condition",
         "too early", "CEL"),
        ({"nodes__tell__when": "scn.status == 'x'"}, "/nodes/tell/when", "unknown_name", "'scn'",
         "`scan`"),
        ({"nodes__tell__when": "scan.output.cont > 1"}, "/nodes/tell/when", "unknown_output",
         "no field 'cont'", "`count`"),
        ({"nodes__scan__when": "ask.status == 'x'"}, "/nodes/scan/when", "not_before", "'ask'",
         'add "ask" to needs'),
        ({"nodes__tell__when": "size(scan.output.findings)"}, "/nodes/tell/when", "bad_condition",
         "type int", "CEL"),
    ],
)  # fmt: skip
def test_one_fault_is_one_problem(
    changes: dict[str, Any], pointer: str, code: str, words: str, suggestion: str
):
    found = only(**changes)
    assert (found.pointer, found.code) == (pointer, code)
    assert words in found.message
    assert suggestion in found.suggestion


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes__tell__with__limit": "{{inputs.free}}"},
        {"nodes__tell__with__message": "{{tell2.output.anything.at[0].all}}",
         "nodes__tell__needs": ["scan", "ask", "tell2"],
         "nodes__tell2": {"agent": "notifier", "with": SAID}},
        {"nodes__tell__with__message": "{{scan.error.message}}"},
        {"nodes__tell__when": "has(scan.error) || scan.status == 'skipped'"},
        {"nodes__tell__with__message": "{{ask.output.reason}}"},
        {"nodes__odd": {"agent": "broken", "with": {"any": 1}}, "outputs__x": "{{odd.output.y}}"},
        {"inputs": {}, "triggers": []},
        {"nodes__e": {"agent": "either", "with": {"path": "{{inputs.repo}}"}}},
        {"nodes__e": {"agent": "either", "with": {"repoPath": "/x", "x": "{{inputs.repo}}"}}},
        {"inputs": {"type": "object"}, "triggers": [{"on": "a.b", "inputs": {"x": "{{trigger}}"}}]},
        {"triggers": [{"on": "a", "when": "trigger.x == 1"}, {"on": "a"}]},
        {"nodes__scan__when": "true"},
        {"nodes__scan__with": {"repository_path": "/x", "options": {"level": 1, "names": ["a"]}}},
        {"labels": {"team": "x"}, "outputs": {}},
    ],
)  # fmt: skip
def test_what_may_be_right_passes(changes: dict[str, Any]):
    assert problems_of(**changes) == ()


def test_a_cycle_is_named_once_and_what_hangs_on_it_is_unreachable():
    found = problems_of(nodes__scan__needs=["tell"])
    assert [(p.pointer, p.code) for p in found] == [
        ("/nodes/scan/needs/0", "cycle"),
        ("/nodes/ask", "unreachable"),
    ]
    assert found[0].message == "nodes wait for each other: scan needs tell needs scan"
    assert "take" in found[0].suggestion


def test_a_node_behind_an_unknown_one_is_unreachable():
    found = problems_of(nodes__ask__needs=["scan", "ghost"])
    assert [(p.pointer, p.code) for p in found] == [
        ("/nodes/ask/needs/1", "unknown_node"),
        ("/nodes/tell", "unreachable"),
    ]


def test_a_node_that_needs_itself():
    found = problems_of(nodes__tell__needs=["scan", "ask", "tell"])
    assert [p.code for p in found] == ["self_need"]


def test_inputs_must_allow_an_object():
    found = problems_of(inputs={"type": "string"}, triggers=[])
    assert ("/inputs/type", "invalid_schema") in [(p.pointer, p.code) for p in found]


def test_repeated_trigger_rules():
    rules = [{"on": "a.>"}, {"on": "a.>", "when": "trigger.x == 1"}, {"on": "a.>"}]
    found = problems_of(triggers=rules)
    assert [(p.pointer, p.code) for p in found] == [
        ("/triggers/1", "duplicate_trigger"),
        ("/triggers/2", "duplicate_trigger"),
    ]


def test_everything_is_told_at_once():
    found = problems_of(
        colour="red",
        nodes__scan__agent="nobody",
        nodes__tell__when="((",
        nodes__more={"approval": {"title": "{{"}},
        outputs__x="{{ghost.output}}",
    )
    assert {p.code for p in found} == {
        "unknown_field",
        "unknown_agent",
        "bad_condition",
        "bad_template",
        "unknown_name",
    }


def test_no_problem_follows_from_a_fault_of_form():
    assert [p.code for p in problems_of(nodes__tell__needs=5)] == ["invalid_value"]
    assert [p.code for p in problems_of(nodes__ask__needs=[{}])] == ["invalid_value"]
    assert [p.code for p in problems_of(nodes__ask="x")] == ["invalid_value"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": "x"},
        {"name": "x", "nodes": {}},
        {"name": "x", "nodes": []},
        {"name": "x", "nodes": {"a": 5}},
        {"name": "x", "nodes": {"a": {"with": 5, "with_": 6}}},
        {"nodes": {"a": {"approval": {"approvers": 5}}}},
        {"name": [], "nodes": {"a": {"approval": {}}}, "triggers": [{}, 5]},
    ],
)
def test_hopeless_documents_have_problems_too(document: Any):
    assert validate(document, AGENTS)


def test_a_field_by_its_own_name_is_placed_as_written():
    assert only(nodes__ask__with_=5).pointer == "/nodes/ask/with_"


def test_too_many_nodes():
    nodes: Any = {f"n{number}": {"approval": {}} for number in range(MAX_NODES + 1)}
    assert [p.pointer for p in validate({"name": "x", "nodes": nodes}, {})] == ["/nodes"]


def test_the_largest_workflow_and_the_number_of_problems():
    nodes: dict[str, Any] = {
        f"n{number}": {
            "agent": "notifier",
            "needs": [f"n{parent}" for parent in range(max(0, number - 5), number)],
            "when": f"n{number - 1}.status == 'succeeded'" if number else "true",
            "with": {**SAID, "message": f"{{{{n{max(number - 1, 0)}.output.x}}}}!"},
        }
        for number in range(MAX_NODES)
    }
    nodes["n0"]["with"] = SAID
    assert validate({"name": "big", "nodes": nodes}, AGENTS) == ()
    assert len(validate({"name": "big", "nodes": nodes}, {})) == MAX_PROBLEMS


def test_a_number_without_a_canonical_form():
    assert only(nodes__scan__with__depth=2**60).pointer == "/nodes/scan/with/depth"


def test_manifests():
    assert validate_manifest(SCANNER) == ()
    assert validate_manifest(NOTIFIER) == ()
    found = validate_manifest(BROKEN)
    assert [(p.pointer, p.code) for p in found] == [
        ("/input/type", "invalid_schema"),
        ("/input/type", "invalid_schema"),
        ("/output", "invalid_schema"),
    ]
    odd = AgentManifest(name="x", input={"maximum": 2**60}, output={"type": "string"})
    assert [p.pointer for p in validate_manifest(odd)] == ["/input/maximum", "/output/type"]


def test_names_that_were_meant():
    assert closest("Repository-Path", ["repository_path", "x"]) == "repository_path"
    assert closest("zzz", ["abc"]) is None
    assert did_you_mean("x", []) == ""
    many = [f"name_{number}" for number in range(12)]
    assert did_you_mean("q", many).endswith(", ...")
