"""Verdicts about whole repositories, and issues with a severity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock_testkit.quality.cases import Case, Finding, Label, Suite
from penstock_testkit.quality.scoring import Answer, Score, Tally
from penstock_testkit.quality.targets import targets_of
from penstock_testkit.quality.verdicts import Verdict, count_verdict, judge_all


def violation(rule: str, severity: str = "critical", line: int = 1) -> Finding:
    return Finding("LICENSE", line, rule, severity=severity, klass=rule)


def expecting(expect: Mapping[str, object]) -> Case:
    return Case("one", "licence-conflict", "licence", expect=expect)


@pytest.mark.parametrize(
    ("expect", "verdict", "answer"),
    [
        ({"passed": True}, Verdict([], {"passed": True}), Answer.TN),
        ({"passed": True}, Verdict([], {"passed": False}), Answer.FP),
        ({"license": "MIT"}, Verdict([], {"license": "MIT"}), Answer.TN),
        ({"license": "MIT"}, Verdict([], {"license": "X11"}), Answer.FP),
        ({"rules": ["conflict"]}, Verdict([violation("conflict")]), Answer.TP),
        ({"rules": ["conflict"]}, Verdict([violation("conflict:GPL")]), Answer.TP),
        ({"rules": ["conflict"]}, Verdict([]), Answer.FN),
        ({"rules": ["conflict"]}, Verdict([violation("conflict"), violation("x")]), Answer.FN),
        (
            {"rules": ["conflict"]},
            Verdict([violation("conflict"), violation("x", "info")]),
            Answer.TP,
        ),
        (
            {"rules": ["conflict"], "severity": "warning"},
            Verdict([violation("conflict")]),
            Answer.FN,
        ),
        ({"rules": []}, Verdict([violation("x")]), Answer.FP),
        ({"rules": [], "besides": ["x"]}, Verdict([violation("x")]), Answer.TN),
    ],
)
def test_a_verdict_is_right_if_all_of_it_is(
    expect: Mapping[str, object], verdict: Verdict, answer: Answer
):
    tally = Tally()
    count_verdict(tally, expecting(expect), verdict)
    assert [unit.answer for unit in tally.units] == [answer]
    assert bool(tally.mistakes) == (answer in {Answer.FP, Answer.FN})


@dataclass
class Played:
    """Says what it is told to, and keeps what it saw."""

    says: Mapping[str, Verdict]
    name: str = "played"
    saw: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def judge(self, case: Case, folder: Path) -> Verdict:
        self.saw[case.id] = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        return self.says.get(case.id, Verdict([]))


def _quiet(_what: str, _done: int, _whole: int) -> None:
    """Nobody looks."""


def issue(line: int, severity: str, category: str = "testing") -> Finding:
    return Finding("a.py", line, "some-rule", severity=severity, klass=category)


def test_issues_are_counted_by_category_and_severity():
    bad = Case(
        "bad",
        "testing",
        "python",
        files={"a.py": "x\n"},
        labels=(Label("a.py", 1, "testing", severity="critical"),),
    )
    good = Case("good", "testing", "python", files={"b/a.py": "x\n"})
    suite = Suite("own/reviewer", "test", "reviewer", (bad, good))
    judge = Played(
        {
            "bad": Verdict([issue(1, "blocker"), issue(2, "critical"), issue(3, "major")]),
            "good": Verdict([issue(1, "minor")]),
        }
    )
    result = judge_all(suite, judge, _quiet)
    assert judge.saw == {"bad": ["a.py"], "good": ["b/a.py"]}
    assert result.tally.severe == Score(tp=1, fp=1)
    assert result.tally.lines["testing"].tp == 1
    (target,) = targets_of(suite, [result], ours=True)
    assert (target.reached, target.holds) == (0.5, False)


def test_a_severity_that_is_too_low_does_not_count():
    case = Case(
        "one", "testing", "python", labels=(Label("a.py", 1, "testing", severity="critical"),)
    )
    suite = Suite("own/reviewer", "test", "reviewer", (case,))
    result = judge_all(suite, Played({"one": Verdict([issue(1, "major")])}), _quiet)
    assert [unit.answer for unit in result.tally.units] == [Answer.FN]
