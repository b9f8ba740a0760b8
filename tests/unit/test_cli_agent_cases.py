"""Cases of agents: how they are read, and how what happened is compared with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock_cli.agent.cases import CaseFile, Expected, read_cases
from penstock_cli.agent.comparing import Seen, differences, missing, unequal
from penstock_cli.faults import CliFault
from penstock_contracts.ids import derive
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import Outcome, PlannedChange
from penstock_contracts.values import Failure, JsonObject


def write(agent: Path, name: str, text: str) -> None:
    (agent / "fixtures" / name).mkdir(parents=True)
    (agent / "fixtures" / name / "case.yaml").write_text(text)


def test_cases_come_in_order_with_their_defaults(tmp_path: Path):
    write(tmp_path, "b", "input: {a: 1}")
    write(tmp_path, "a", "expect: {ends: failed, code: agent_failed}")
    (tmp_path / "fixtures" / "input.json").write_text("no case")
    first, second = read_cases(tmp_path)
    assert (first.name, first.file.expect.ends) == ("a", "failed")
    assert (second.file.input, second.file.expect) == ({"a": 1}, Expected())
    assert [case.name for case in read_cases(tmp_path, "b")] == ["b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input: [", "case.yaml:1:"),
        ("input: {}\nexpct: {}", "case.yaml:2:1: expct"),
        ("expect:\n  ends: nowhere", "case.yaml:2:3: expect.ends"),
        ("expect:\n  output: 3", "case.yaml:2:3: expect.output"),
    ],
)
def test_a_faulty_case_is_named_with_its_place(tmp_path: Path, text: str, said: str):
    write(tmp_path, "a", text)
    with pytest.raises(CliFault) as fault:
        read_cases(tmp_path)
    assert said in fault.value.message


def test_without_cases_it_is_said_what_one_is(tmp_path: Path):
    with pytest.raises(CliFault, match="has no cases") as fault:
        read_cases(tmp_path)
    assert "fixtures/NAME" in fault.value.mend
    write(tmp_path, "a", "{}")
    with pytest.raises(CliFault, match="has no case b"):
        read_cases(tmp_path, "b")


# --- comparing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}, []),
        ({"a": 1}, {"a": True}, ["output.a is true, not 1"]),
        ({"a": 1.0}, {"a": 1}, []),
        ({"a": 1}, {}, ["output.a is missing"]),
        ({}, {"a": 1}, ["output.a was not expected: 1"]),
        ({"a": [1, 2]}, {"a": [1]}, ["output.a is [1], not [1, 2]"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["output.a[1] is 3, not 2"]),
        ({"a": None}, {"a": {}}, ["output.a is {}, not null"]),
    ],
)
def test_exact_comparison_names_every_place(expected: Any, found: Any, said: list[str]):
    assert list(unequal(expected, found, "output")) == said


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ({}, {"a": 1}, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": 0}, {"b": 1, "c": 2}], "d": 1}, []),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["x.a has no 2 (in this order)"]),
        ({"a": {"b": 1}}, {"a": 1}, ["x.a is 1, not an object"]),
        ({"a": [1]}, {"a": 1}, ["x.a is 1, not a list"]),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, ["x.a.b is missing"]),
    ],
)
def test_a_part_is_looked_for_in_the_whole(expected: Any, found: Any, said: list[str]):
    assert list(missing(expected, found, "x")) == said


def seen(
    folder: Path, output: JsonObject | None = None, error: Failure | None = None, **more: Any
) -> Seen:
    ident = derive("task", "x")
    result = ReportResult(
        task_id=ident, node="agent", attempt=1, executor="solo", token="",
        outcome=Outcome.FAILED if error else Outcome.SUCCEEDED, output=output, error=error,
    )  # fmt: skip
    given: dict[str, Any] = {"plan": None, "printed": (), "artifacts": (), "received": ()}
    return Seen(result=result, folder=folder, **{**given, **more})


def told(expect: JsonObject, happened: Seen) -> list[str]:
    case = CaseFile.model_validate({"expect": expect})
    return list(differences(case.expect, happened))


def test_how_it_ended_comes_first(tmp_path: Path):
    error = Failure(code="agent_failed", message="no_such_file: gone", partial={"n": [1, 2]})
    failed = seen(tmp_path, error=error)
    (said,) = told({"output": {}}, failed)
    assert said == "it failed, and succeeded was expected: agent_failed: no_such_file: gone"
    assert told({"ends": "failed", "code": "agent_failed", "error": "gone"}, failed) == []
    assert told({"ends": "failed", "partial": {"n": [2]}}, failed) == []
    assert (
        len(told({"ends": "failed", "code": "x", "error": "y", "partial": {"z": 1}}, failed)) == 3
    )
    assert told({"ends": "failed"}, seen(tmp_path, {})) == ["it succeeded, and failed was expected"]


def test_everything_else_is_compared(tmp_path: Path):
    (tmp_path / "there").write_text("x")
    request: JsonObject = {"method": "POST", "path": "/", "headers": {"a": "b"}, "body": {"t": 1}}
    happened = seen(
        tmp_path, {"n": 3}, plan=PlannedChange(effect={"put": 1}, summary="s"),
        printed=["one", "two"], artifacts=["a.json"], received=[request],
    )  # fmt: skip
    as_it_is: JsonObject = {
        "output": {"n": 3},
        "includes": {},
        "fits": {"properties": {"n": {"minimum": 3}}},
        "plan": {"effect": {"put": 1}},
        "says": ["one", "tw"],
        "artifacts": ["a.json"],
        "files": {"there": "x", "gone": None},
        "received": [{"headers": {"A": "b"}, "body": {"t": 1}}],
    }
    assert told(as_it_is, happened) == []
    otherwise: JsonObject = {
        "output": {"n": 4},
        "includes": {"m": 1},
        "fits": {"properties": {"n": {"minimum": 4}}},
        "plan": {"effect": {"put": 2}},
        "says": ["three"],
        "artifacts": ["b.json"],
        "files": {"there": "y", "gone": "", "../out": "x"},
        "received": [{"method": "PUT"}, {}],
    }
    assert told(otherwise, happened) == [
        "output.n is 3, not 4",
        "output.m is missing",
        "output does not fit: $.n: 3 is less than the minimum of 4",
        "plan.effect.put is 1, not 2",
        'nothing printed says "three"',
        "artifact b.json is missing; there are: a.json",
        'file there holds "x", not "y"',
        'file gone is not there, not ""',
        "../out lies outside the case's folder",
        "1 requests were received, 2 were expected",
        'request 1.method is "POST", not "PUT"',
    ]
    assert told({"fits": {"type": 3}}, happened)[0].startswith("fits: $.type")
