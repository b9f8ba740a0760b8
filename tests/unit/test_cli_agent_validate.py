"""`penstock agent validate`: all faults of a folder at once, each with place and way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock_cli.app import app, hoist

GOOD = """\
name: mine
command: [/penstock/agent/run]
workspaces: [{input: folder}]
input: {properties: {folder: {type: string}}}
"""


def made(tmp_path: Path, manifest: str, *, program: bool = True) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "agent.yaml").write_text(manifest)
    if program:
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o755)
    return folder


def validated(*line: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, hoist(["agent", "validate", *line]))
    return ended.exit_code, ended.stdout


def test_a_good_one_is_said_to_be(tmp_path: Path):
    code, said = validated(str(made(tmp_path, GOOD)))
    assert code == 0
    assert said.startswith("valid mine")


@pytest.mark.parametrize(
    ("manifest", "place", "said", "mend"),
    [
        (GOOD + "limit: {}", "5:1", "limit means nothing here", "did you mean limits?"),
        (GOOD + "colour: red", "5:1", "colour means nothing here", "known are "),
        (GOOD + "limits: {wall: 3}", "5:10", "wall means nothing here", "did you mean wall_s?"),
        (GOOD + "limits: {wall_s: 0}", "5:18", "limits.wall_s", "at least 0"),
        (GOOD + "risk: HIGH", "5:7", "risk", "write 'AUTO' or 'APPROVAL_REQUIRED'"),
        (GOOD + "output: {type: list}", "5:16", "output is no JSON Schema", ""),
        (GOOD.replace("mine", "My Agent"), "1:7", "name", "lower-case letters"),
        (GOOD.replace("name: mine\n", ""), "1:1", "name is required", ""),
        (GOOD.replace("{input: folder}", "{input: foldr}"), "3:22", "no field foldr", "folder?"),
        (GOOD.replace("folder}]", "folder, ref: b}]"), "3:35", "no field b", "input.properties"),
        (GOOD.replace("/run]", "/other]"), "2:11", "there is no file other", ""),
        (GOOD.replace("[/penstock/agent/run]", "[]"), "1:1", "command is required", "[python"),
        (GOOD.replace("[/penstock/agent/run]", "[python, -m, nowhere_at_all]"), "2:23",
         "there is no module nowhere_at_all", ""),
        (GOOD + "phases: [plan, apply]", "1:1", "an agent that plans needs", ""),
    ],
)  # fmt: skip
def test_a_fault_has_its_place_and_a_way_out(
    tmp_path: Path, manifest: str, place: str, said: str, mend: str
):
    folder = made(tmp_path, manifest)
    code, told = validated(str(folder))
    assert code == 1
    assert f"{folder}/agent.yaml:{place}: " in told
    assert said in told
    assert mend in told


def test_all_are_told_at_once(tmp_path: Path):
    folder = made(tmp_path, "nme: x\ncommand: [a]\nlimits: {cpu: 1, wall_s: x}\n")
    ended = CliRunner().invoke(app, hoist(["--json", "agent", "validate", str(folder)]))
    told: Any = json.loads(ended.stdout)
    assert [(one["line"], one["column"]) for one in told["problems"]] == [
        (1, 1), (3, 10), (1, 1), (3, 26),
    ]  # fmt: skip
    assert not told["ok"]


@pytest.mark.parametrize(
    ("text", "said"), [(None, "there is no such file"), ("a: [", "agent.yaml:1:")]
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str | None, said: str):
    folder = made(tmp_path, text or "", program=False)
    if text is None:
        (folder / "agent.yaml").unlink()
    code, told = validated(str(folder))
    assert code == 1
    assert said in told


def test_a_program_that_cannot_be_executed_is_said(tmp_path: Path):
    folder = made(tmp_path, GOOD)
    (folder / "run").chmod(0o644)
    code, told = validated(str(folder))
    assert code == 1
    assert "run is not executable" in told
    assert f"chmod +x {folder}/run" in told


AGENTS = sorted((Path(__file__).parents[2] / "agents").glob("*/agent.yaml"))


@pytest.mark.parametrize("manifest", AGENTS, ids=lambda path: path.parent.name)
def test_those_that_come_with_penstock_are_valid(manifest: Path):
    code, told = validated(str(manifest.parent))
    assert code == 0, told
