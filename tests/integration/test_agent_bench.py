"""`penstock agent run`: an agent against folders of this machine, in the real sandbox."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock_cli.app import run

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
WITHIN_S = 60
AGENT = """\
name: tried
command: [python, -m, tried]
limits: {{memory_mb: 256, wall_s: {wall_s}}}
{more}
output: {{type: object, required: [n], properties: {{n: {{type: integer}}}}}}
"""


@dataclass(frozen=True)
class Ended:
    """What a line gave."""

    returncode: int
    stdout: str
    stderr: str


def penstock(*line: str, given: str = "", **environ: str) -> Ended:
    """Run a line in this process, as `__main__` would."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", environ.get("TMPDIR"))
        patch.setattr(sys, "stdin", io.StringIO(given))
        code = run(list(line))
    return Ended(code, output.getvalue(), errors.getvalue())


def document(*line: str, given: str = "", **environ: str) -> tuple[int, Any]:
    ended = penstock("--json", *line, given=given, **environ)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def tried(tmp_path: Path, program: str, more: str = "", wall_s: float = 20) -> str:
    folder = tmp_path / "tried"
    folder.mkdir()
    (folder / "agent.yaml").write_text(AGENT.format(more=more, wall_s=wall_s))
    start = "import json, os, sys, time\ntask = json.load(open(os.environ['PENSTOCK_INPUT']))\n"
    end = "\njson.dump(out, open(os.environ['PENSTOCK_OUTPUT'], 'w'))\n"
    (folder / "tried.py").write_text(start + program + end)
    return str(folder)


def test_one_that_came_with_penstock_runs_by_its_name(tmp_path: Path):
    repository, artifacts = tmp_path / "a repository", tmp_path / "kept" / "here"
    repository.mkdir()
    (repository / "a.py").write_text("import pickle\npickle.loads(input())\n")
    output = tmp_path / "out.json"
    ended = penstock(
        "agent", "run", "security-scanner", "-r", str(repository), "-i", "severity_threshold=low",
        "--output", str(output), "--artifacts", str(artifacts),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "security-scanner  succeeded" in ended.stderr
    found = json.loads(output.read_text())["findings"]
    assert "CWE-502" in {finding["cwe"] for finding in found}
    assert ended.stdout == ""


def test_input_comes_from_everywhere_and_what_it_prints_is_shown(tmp_path: Path):
    folder = tried(
        tmp_path,
        "print('a line', flush=True)\n"
        'print(\'::penstock-progress {"fraction": 0.5, "text": "half way"}\', flush=True)\n'
        "print('::penstock-partial {\"n\": 0}', flush=True)\n"
        "open(os.environ['PENSTOCK_ARTIFACTS'] + '/report.txt', 'w').write('all of it')\n"
        "out = {'n': task['a'] + task['b']}",
    )
    ended = penstock(
        "agent", "run", folder, "-i", "-", "-i", "b=2", "--artifacts", str(tmp_path / "kept"),
        given='{"a": 1, "b": 1}',
    )  # fmt: skip
    assert json.loads(ended.stdout) == {"n": 3}
    lines = ended.stderr.splitlines()
    assert lines[0] == "a line"
    assert lines[1] == "50% half way"
    assert lines[2] == 'so far: {"n":0}'
    assert "1 artifact in" in ended.stderr
    assert (tmp_path / "kept" / "report.txt").read_text() == "all of it"


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("out = {'n': 'three'}", "invalid_output", "$.n: is not of type integer"),
        ("sys.exit('no')", "agent_crashed", "exit code 1"),
        ("x = b'x' * 10**9\nout = {}", "out_of_memory", "256 MiB"),
        ("print('::penstock-partial {\"n\": 7}', flush=True)\ntime.sleep(60)\nout = {}",
         "timeout_running", "1.5 s"),
    ],
)  # fmt: skip
def test_a_failure_is_told_as_in_a_stack(tmp_path: Path, program: str, code: str, said: str):
    wall_s = 1.5 if code == "timeout_running" else 20
    code_, told = document("agent", "run", tried(tmp_path, program, wall_s=wall_s))
    assert (code_, told["outcome"], told["error"]["code"]) == (3, "failed", code)
    assert said in told["error"]["message"]
    assert told["error"]["partial"] == ({"n": 7} if code == "timeout_running" else None)


def test_an_agent_that_is_told_in_time_says_what_it_has(tmp_path: Path):
    program = (
        "from penstock_agent_sdk import cancelled, partial\n"
        "while not cancelled():\n    time.sleep(0.01)\n"
        "partial({'seen': True})\ntime.sleep(60)\nout = {}"
    )
    _, told = document("agent", "run", tried(tmp_path, program, wall_s=1))
    assert told["error"]["code"] == "timeout_running"
    assert told["error"]["partial"] == {"seen": True}


def test_it_is_given_the_secrets_that_its_manifest_names_and_tells_none(tmp_path: Path):
    program = (
        "print(os.environ['API_TOKEN'])\n"
        "print('::penstock-partial', json.dumps({'t': os.environ['API_TOKEN']}))\n"
        "out = {'n': sum(name.startswith('PENSTOCK_SECRET') for name in os.environ)}"
    )
    folder = tried(tmp_path, program, "secrets: [api-token]")
    value = "s3cret-of-a-test-91"
    ended = penstock("agent", "run", folder, PENSTOCK_SECRET_API_TOKEN=value)
    assert json.loads(ended.stdout) == {"n": 0}
    assert value not in ended.stdout + ended.stderr
    assert "[redacted]" in ended.stderr
    _, told = document("agent", "run", folder)
    assert "PENSTOCK_SECRET_API_TOKEN" in told["error"]["message"]


def test_what_needs_leave_happens_with_it_only(tmp_path: Path):
    folder = tried(tmp_path, "out = {'n': 1}", "risk: APPROVAL_REQUIRED")
    refused = penstock("agent", "run", folder)
    assert refused.returncode == 2
    assert "acts only with a person's leave" in refused.stderr
    assert document("agent", "run", folder, "--apply")[1]["output"] == {"n": 1}


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    ended = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True,
        timeout=WITHIN_S,
    )  # fmt: skip
    return ended.stdout


def test_a_plan_is_shown_and_lands_only_when_it_is_applied(tmp_path: Path):
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    (repository / "a.txt").write_text("hello world\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    operations = [{"type": "find_replace", "find": "world", "replace": "moon", "files": ["a.txt"]}]
    line = (
        "agent", "run", "patcher", "-r", str(repository), "-i",
        f"operations={json.dumps(operations)}",
    )  # fmt: skip
    planned = penstock(*line)
    assert planned.returncode == 0, planned.stderr
    assert "-hello world\n+hello moon" in planned.stdout
    assert "nothing was changed" in planned.stdout
    assert git(repository, "log", "--format=%s").splitlines() == ["first"]

    code, told = document(*line, "--apply")
    assert (code, told["phase"], told["output"]["applied"]) == (0, "apply", True)
    assert (repository / "a.txt").read_text() == "hello moon\n"
    assert git(repository, "rev-parse", "HEAD").strip() == told["output"]["commit"]


def test_an_interrupted_one_is_told_and_gone(tmp_path: Path):
    program = (
        "from penstock_agent_sdk import cancelled, partial\n"
        "assert not cancelled()  # it listens from here\n"
        "print('at work', flush=True)\n"
        "while not cancelled():\n    time.sleep(0.01)\n"
        "partial({'seen': True})\nout = {}"
    )
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    scratch.chmod(0o755)
    running = subprocess.Popen(
        [sys.executable, "-m", "penstock_cli", "agent", "run", tried(tmp_path, program)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    with running:
        assert running.stdout is not None
        while "at work" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 130
    assert 'so far: {"seen":true}' in said
    assert list(scratch.iterdir()) == []


def test_a_case_that_fails_is_told_with_what_was_printed(tmp_path: Path):
    folder = Path(tried(tmp_path, "print('hello')\nout = {'n': 1}"))
    for name, expect in (("good", "{n: 1}"), ("wrong", "{n: 2}")):
        (folder / "fixtures" / name).mkdir(parents=True)
        (folder / "fixtures" / name / "case.yaml").write_text(f"expect: {{output: {expect}}}")
    ended = penstock("agent", "test", str(folder))
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("✔ good")
    assert lines[1].startswith("✘ wrong")
    assert lines[2:] == [
        "    output.n is 1, not 2", "    | hello", "tried: 1 case passed, 1 failed",
    ]  # fmt: skip
    shown = penstock("agent", "test", str(folder), "--case", "good", "--show")
    assert shown.returncode == 0
    assert "    | hello" in shown.stdout
    assert '"n": 1' in shown.stdout


def test_nothing_is_left_behind(tmp_path: Path):
    folder = tried(tmp_path, "out = {'n': 1}")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    scratch.chmod(0o755)
    assert document("agent", "run", folder, TMPDIR=str(scratch))[0] == 0
    assert list(scratch.iterdir()) == []
