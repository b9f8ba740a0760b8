"""What `penstock agent new` makes works at once: in the sandbox, by itself, and by the rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock_cli.agent.scaffold import Language, Template
from penstock_cli.app import app, hoist

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
KINDS = [(template, language) for template in Template for language in Language]
WITHIN_S = 60
WITH_CASES = sorted({path.parents[2] for path in ROOT.glob("agents/*/fixtures/*/case.yaml")})


def penstock(*line: str) -> Any:
    ended = CliRunner().invoke(app, hoist(["--json", *line]))
    assert ended.exit_code in (0, 1), ended.output
    return ended.exit_code, json.loads(ended.stdout)


@pytest.mark.parametrize(("template", "language"), KINDS)
def test_it_is_valid_and_passes_its_cases(tmp_path: Path, template: Template, language: Language):
    folder = str(tmp_path / "agents" / "my-agent")
    options = ("--template", template.value, "--language", language.value, "--folder", folder)
    code, made = penstock("agent", "new", "my-agent", *options)
    assert (code, made["folder"]) == (0, folder)
    assert {"agent.yaml", "README.md"} <= set(made["files"])
    assert not [name for name in made["files"] if "@" in name or name.endswith(".tmpl")]
    assert "@@" not in "".join(path.read_text() for path in Path(folder).rglob("*.*"))

    assert penstock("agent", "validate", folder) == (0, {"ok": True, "problems": []})
    code, told = penstock("agent", "test", folder)
    assert (code, [case["faults"] for case in told["cases"]]) == (0, [[], [], []])


@pytest.mark.parametrize(("template", "language"), KINDS)
def test_its_own_tests_pass(tmp_path: Path, template: Template, language: Language):
    folder = tmp_path / "json"  # a name that is a module's of Python
    penstock(
        "agent", "new", "json", "--template", template.value, "--language", language.value,
        "--folder", str(folder),
    )  # fmt: skip
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    tests += ["-c", os.devnull, "tests"]
    if language is Language.ANY:
        tests = ["sh", "tests/test_json.sh"]
    ended = subprocess.run(
        tests, cwd=folder, capture_output=True, text=True, check=False, timeout=WITHIN_S,
        env={**os.environ, "PYTHONPATH": str(ROOT / "agents/sdk")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("folder", WITH_CASES, ids=lambda folder: folder.name)
def test_those_that_come_with_penstock_pass_their_cases(folder: Path):
    code, told = penstock("agent", "test", str(folder))
    assert (code, [case["faults"] for case in told["cases"] if case["faults"]]) == (0, [])


def test_a_binary_may_stand_in_the_place_of_the_script(tmp_path: Path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path / "counted"
    penstock("agent", "new", "counted", "--language", "any", "--folder", str(folder))
    source = tmp_path / "main.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        "int main(void) {\n"
        '    FILE *out = fopen(getenv("PENSTOCK_OUTPUT"), "w");\n'
        '    fputs("{\\"findings\\": [], \\"total\\": 0, \\"passed\\": true}", out);\n'
        "    return fclose(out);\n"
        "}\n"
    )
    subprocess.run([compiler, "-o", folder / "run", source], check=True, timeout=WITHIN_S)
    code, told = penstock("agent", "test", str(folder), "--case", "finds-nothing")
    assert (code, told["cases"][0]["faults"]) == (0, [])


def test_a_program_without_the_sdk_declares_that_it_has_no_network(tmp_path: Path):
    folder = tmp_path / "teller"
    penstock(
        "agent", "new", "teller", "--template", "notification", "--language", "any", "--folder",
        str(folder),
    )  # fmt: skip
    line = ("agent", "run", str(folder), "-i", "url=http://127.0.0.1:9/x", "-i", "text=hello")
    ended = CliRunner().invoke(app, hoist(["--json", *line]))
    assert ended.exit_code == 3
    told = json.loads(ended.stdout)
    assert told["error"]["code"] == "agent_failed"
    assert "no_network" in told["error"]["message"]
