"""Cases with an earlier state are real git repositories; tools used alone are real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock_testkit.quality.cases import Case
from penstock_testkit.quality.subjects import Subject
from penstock_testkit.quality.tools import Bandit, DetectSecrets, RuffSecurity
from penstock_testkit.quality.verdicts import write_repository


def test_an_earlier_state_becomes_a_first_commit(tmp_path: Path):
    case = Case("one", "x", "python", files={"a.py": "new\n"}, before={"a.py": "old\n", "b": ""})
    write_repository(case, tmp_path / "r")
    command = ["git", "-C", str(tmp_path / "r"), "diff", "--stat", "HEAD~1", "HEAD"]
    diff = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert "a.py" in diff
    assert "1 file changed" in diff


@pytest.mark.parametrize(
    ("tool", "cwe"),
    [
        (Bandit(), 502),
        (Bandit("bandit, medium and above", ("-ll",)), 502),
        (RuffSecurity(), 502),
        (DetectSecrets(), 798),
    ],
)
def test_a_tool_says_what_it_finds_where(tool: Subject, cwe: int, tmp_path: Path):
    (tmp_path / "deep").mkdir()
    text = "import pickle\n\n\npickle.loads(body)\npassword = 'Tr0ub4dor&3-xyz'\n"
    (tmp_path / "deep" / "a.py").write_text(text, encoding="utf-8")
    found = [f for f in tool.scan(tmp_path).findings if cwe in f.cwes]
    line = 5 if cwe == 798 else 4
    assert ("deep/a.py", line) in {(f.file, f.line) for f in found}


def test_a_tool_finds_nothing_in_nothing(tmp_path: Path):
    (tmp_path / "a.py").write_text("total = 1\n", encoding="utf-8")
    for tool in (Bandit(), RuffSecurity(), DetectSecrets()):
        assert tool.scan(tmp_path).findings == []
