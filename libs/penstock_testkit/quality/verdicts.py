"""Cases that are a repository each: a verdict, or issues with a severity."""

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock_testkit.quality.cases import Case, Finding, Label, Suite
from penstock_testkit.quality.measuring import Result
from penstock_testkit.quality.scoring import Mistake, Score, Tally, Unit, answer_of, count_case
from penstock_testkit.quality.subjects import Progress

GIT_S = 30.0
SEVERE = frozenset({"blocker", "critical"})
_JUDGED = frozenset({"rules", "severity", "besides"})
QUIET = frozenset({"info", "minor"})
RANKS: Mapping[str, int] = {
    "info": 0,
    "minor": 0,
    "low": 0,
    "warning": 1,
    "major": 1,
    "medium": 1,
    "critical": 2,
    "high": 2,
    "blocker": 3,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an agent says about one repository.

    Attributes:
        findings: With a rule, a severity and a class.
        facts: What else a case may expect, such as `passed` or `license`.
    """

    findings: Sequence[Finding]
    facts: Mapping[str, object] = field(default_factory=lambda: {})


class Judge(Protocol):
    """An agent that looks at one repository at a time."""

    @property
    def name(self) -> str:
        """For the report."""
        ...

    def judge(self, case: Case, folder: Path) -> Verdict:
        """Look at the case, whose files lie in the folder."""
        ...


def judge_all(suite: Suite, judge: Judge, progress: Progress) -> Result:
    """Give every case to a judge; verdicts where a case has one, issues by class elsewhere."""
    result = Result(judge.name)
    for number, case in enumerate(suite.cases):
        progress(judge.name, number, len(suite.cases))
        with tempfile.TemporaryDirectory(prefix="quality-") as name:
            folder = Path(name, "repository")
            write_repository(case, folder)
            started = time.perf_counter()
            verdict = judge.judge(case, folder)
            result.seconds += time.perf_counter() - started
        if case.expect:
            count_verdict(result.tally, case, verdict)
        else:
            count_case(result.tally, case, verdict.findings, by_rule_and_severity)
            result.tally.severe += severe_in(case, verdict.findings)
    progress(judge.name, len(suite.cases), len(suite.cases))
    return result


def by_rule_and_severity(finding: Finding, label: Label) -> bool:
    """The class or a rule that begins with it, at the label's severity or above."""
    return _is_rule(finding, label.klass) and (
        label.severity is None or RANKS.get(finding.severity, 0) >= RANKS[label.severity]
    )


def _is_rule(finding: Finding, name: str) -> bool:
    return finding.klass == name or _begins(finding.rule, name)


def _begins(rule: str, name: str) -> bool:
    return rule == name or rule.startswith((f"{name}:", f"{name}-", f"{name}/"))


def count_verdict(tally: Tally, case: Case, verdict: Verdict) -> None:
    """One answer: all that is expected is so."""
    wrong = wrong_in(case, verdict)
    positive = bool(case.expect.get("rules")) or case.expect.get("passed") is False
    answer = answer_of(positive=positive, right=not wrong)
    tally.units.append(Unit(case, case.klass, answer))
    if wrong:
        tally.mistakes.append(Mistake(case.id, case.group, case.klass, answer, "; ".join(wrong)))


def wrong_in(case: Case, verdict: Verdict) -> list[str]:
    """What is not as the case expects it."""
    wrong: list[str] = []
    for key, expected in case.expect.items():
        if key not in _JUDGED and verdict.facts.get(key) != expected:
            wrong.append(f"{key} is {verdict.facts.get(key)!r}, not {expected!r}")
    rules = case.expect.get("rules")
    if not isinstance(rules, list):
        return wrong
    names = [str(rule) for rule in rules]
    besides = case.expect.get("besides")
    allowed = [*names, *(str(rule) for rule in besides)] if isinstance(besides, list) else names
    severity = case.expect.get("severity")
    for name in names:
        matching = [found for found in verdict.findings if _is_rule(found, name)]
        if not matching:
            wrong.append(f"{name} is not there")
        elif severity is not None and all(found.severity != severity for found in matching):
            wrong.append(f"{name} is {matching[0].severity}, not {severity}")
    for found in verdict.findings:
        loud = found.severity not in QUIET
        if loud and not any(_is_rule(found, name) for name in allowed):
            wrong.append(f"{found.rule} at {found.file}:{found.line} was not expected")
    return wrong


def severe_in(case: Case, findings: Sequence[Finding]) -> Score:
    """Issues at blocker and critical: right where a label of their category is."""
    score = Score()
    for found in findings:
        if found.severity in SEVERE:
            right = any(
                (label.file, label.line) == (found.file, found.line)
                and _is_rule(found, label.klass)
                for label in case.labels
            )
            score += Score(tp=1) if right else Score(fp=1)
    return score


def write_repository(case: Case, folder: Path) -> None:
    """Write a case; with an earlier state it becomes a git repository of two commits."""
    if case.before:
        _write(case.before, folder)
        _git(folder, "init", "--quiet", "--initial-branch=main")
        _commit(folder, "before")
    _write(case.files, folder)
    if case.before:
        _commit(folder, "after")


def _write(files: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _commit(folder: Path, message: str) -> None:
    _git(folder, "add", "--all", "--force")
    _git(
        folder,
        *("-c", "user.name=Corpus", "-c", "user.email=corpus@example.com"),
        *("-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "-m", message),
    )


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, timeout=GIT_S
    )
