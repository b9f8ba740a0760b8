"""This repository is let through by its own five agents.

What they found and was true has been mended. The rest is suppressed: by a comment where it
stands, or, for what is planted, by `.ci/own-findings.json`; never without a reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock_agent_code_reviewer.models import ReviewInput
from penstock_agent_code_reviewer.review import reviewed
from penstock_agent_compliance_checker.models import CheckInput
from penstock_agent_compliance_checker.scan import check
from penstock_agent_security_scanner.models import ScanOutput

ROOT = Path(__file__).parents[2]
BASELINE = ".ci/own-findings.json"
CHANGED = "SECURITY.md"
WHOLE_S = 150.0
# More would mean that the comments have become a way to be let through.
MOST_SUPPRESSED = 40

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _git(*arguments: str) -> bytes:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=WHOLE_S
    )
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("which files are the repository's is known in a git checkout only")
    names = _git("ls-files", "-z").decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def copy(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files as they lie in the checkout."""
    folder = tmp_path_factory.mktemp("own")
    for name in tracked:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", str(folder))
    return folder


def suppressed(sarif: Path) -> list[str]:
    """The reasons of what an agent found and did not report."""
    [run] = json.loads(sarif.read_text())["runs"]
    return [one["justification"] for result in run["results"] for one in result["suppressions"]]


def test_the_security_scanner_lets_it_pass(copy: Path, artifacts: Path, tmp_path: Path) -> None:
    # No dependencies: what is known against them changes by the day, and no test asks a network.
    task: dict[str, object] = {
        "repository_path": str(copy),
        "scan_type": ["code", "secrets"],
        "severity_threshold": "medium",
        "baseline_path": BASELINE,
    }
    # A process of its own: it holds its children to CPU time, which measured coverage multiplies.
    told, _ = _run(
        "penstock_agent_security_scanner", tmp_path / "run", task, PENSTOCK_ARTIFACTS=str(artifacts)
    )
    output = ScanOutput.model_validate(told)
    assert [
        (one.file, one.line, one.rule) for one in output.findings if one.severity != "low"
    ] == []
    assert output.passed
    _is_accounted_for(output.summary, artifacts / "security-scanner.sarif")


@pytest.mark.timeout(600)
def test_the_code_reviewer_finds_no_blocker_and_nothing_critical(
    copy: Path, artifacts: Path
) -> None:
    task = ReviewInput(repository_path=str(copy), baseline_path=BASELINE)
    output = reviewed(task, clock=lambda: 0.0)  # it stops in time elsewhere; here it is to finish
    worst = [one for one in output.issues if one.severity in ("blocker", "critical")]
    assert [(one.file, one.line, one.rule) for one in worst] == []
    assert output.summary.status == "done"
    _is_accounted_for(output.summary, artifacts / "code-reviewer.sarif")


def _is_accounted_for(summary: Any, sarif: Path) -> None:
    reasons = suppressed(sarif)
    hidden = f"{summary.suppressed} by comments, {summary.baselined} by {BASELINE}"
    sys.stdout.write(f"{sarif.stem} suppressed {hidden}\n")
    assert list(summary.suppression_faults) == []
    assert len(reasons) == summary.suppressed + summary.baselined
    assert [reason for reason in reasons if not reason.strip()] == []
    assert 0 < summary.suppressed <= MOST_SUPPRESSED


def test_the_compliance_checker_lets_it_pass(copy: Path) -> None:
    output = check(CheckInput(repository_path=str(copy), rules=("licenses", "security", "secrets")))
    severe = [one for one in output.violations if one.severity != "info"]
    assert [(one.file, one.line, one.rule) for one in severe] == []
    assert output.passed


def _run(agent: str, folder: Path, payload: dict[str, object], **settings: str) -> tuple[Any, str]:
    """Start an agent by its own entry; gives its output and what it said."""
    folder.mkdir()
    given, made = folder / "input.json", folder / "output.json"
    given.write_text(json.dumps(payload))
    told = {"PENSTOCK_INPUT": str(given), "PENSTOCK_OUTPUT": str(made), **settings}
    done = subprocess.run(
        [sys.executable, "-m", agent],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=WHOLE_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(made.read_text()), done.stdout


def test_the_patcher_plans_a_change_of_it(tracked: list[str], tmp_path: Path) -> None:
    assert CHANGED in tracked
    clone = tmp_path / "private.git"
    _git("clone", "--quiet", "--bare", "--no-hardlinks", str(ROOT), str(clone))
    before = _git("--git-dir", str(clone), "rev-parse", "HEAD")
    change = {
        "type": "find_replace",
        "find": "Penstock",
        "replace": "Sluice",
        "files": [CHANGED],
    }
    output, _ = _run(
        "penstock_agent_patcher",
        tmp_path / "task",
        {"repository_path": str(clone), "operations": [change]},
        PENSTOCK_PHASE="plan",
    )
    assert [one["path"] for one in output["plan"]["effect"]["files"]] == [CHANGED]
    assert _git("--git-dir", str(clone), "rev-parse", "HEAD") == before


def test_the_notifier_tells_of_it(tracked: list[str], tmp_path: Path) -> None:
    output, said = _run(
        "penstock_agent_notifier",
        tmp_path / "task",
        {
            "channels": ["console"],
            "message": "{files} files: passed",
            "context": {"files": len(tracked)},
        },
    )
    assert [one["ok"] for one in output["delivered"]] == [True]
    assert f"{len(tracked)} files: passed" in said
