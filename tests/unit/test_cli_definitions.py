"""Definitions in files: every problem with its place and a way out, with no server at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock_cli import demo
from penstock_cli.app import run
from penstock_cli.faults import ExitCode

SHIPPED = Path(demo.__file__).parent
FAULTY = """\
kind: Workflow
name: faulty
nodes:
  scan: {agent: security-scaner, needs: [tell]}
  tell:
    agent: notifier
    needs: [scan]
    with:
      channels: 5
      message: "{{later.output.x}}"
"""


@pytest.fixture(autouse=True)
def no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["demo.yaml", "scan.yaml"])
def test_shipped_workflows_are_valid(name: str, capsys: pytest.CaptureFixture[str]):
    assert run(["validate", str(SHIPPED / name)]) == ExitCode.OK
    told = capsys.readouterr()
    assert "valid Workflow" in told.out
    assert "no gateway was asked" in told.err


def test_every_problem_is_told_with_line_caret_and_suggestion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "faulty.yaml"
    file.write_text(FAULTY)
    assert run(["validate", str(file)]) == ExitCode.REFUSED
    told = capsys.readouterr().out
    assert f"{file}:4:17: there is no agent 'security-scaner'" in told
    assert "suggestion: did you mean `security-scanner`?" in told
    assert "nodes wait for each other" in told
    assert f"{file}:9:17: must be of type array, not integer" in told
    assert "                ^" in told


def test_problems_for_scripts_have_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "faulty.yaml"
    file.write_text(FAULTY)
    assert run(["validate", str(file), "--json"]) == ExitCode.REFUSED
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    first = next(p for p in told["problems"] if p["code"] == "unknown_agent")
    assert (first["line"], first["column"], first["pointer"]) == (4, 17, "/nodes/scan/agent")


def test_text_that_is_no_yaml_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "broken.yaml"
    file.write_text("name: a\n  b: [1\n")
    assert run(["validate", str(file)]) == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert f"{file}:2:" in told
    assert "^" in told


def test_an_unknown_kind_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "other.yaml"
    file.write_text("kind: Workflw\nname: x\n")
    assert run(["validate", str(file)]) == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "kind: 'Workflw' is not known" in told
    assert "kind: Workflow" in told


def test_an_agent_in_the_same_file_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "both.yaml"
    file.write_text(
        "kind: Agent\nname: own\ncommand: [true]\n---\n"
        "kind: Workflow\nname: w\nnodes:\n  a: {agent: own}\n"
    )
    file.write_text(file.read_text().replace("[true]", '["true"]'))
    assert run(["validate", str(file), "--offline"]) == ExitCode.OK, capsys.readouterr()


def test_a_manifest_that_is_none_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "agent-of-mine.yaml"
    file.write_text("kind: Agent\nname: own\nrisk: SOME\n")
    assert run(["validate", str(file), "--offline"]) == ExitCode.REFUSED
    assert f"{file}:3:7: risk:" in capsys.readouterr().err
