"""The arithmetic of the quality harness: what counts as right, and what is counted."""

from __future__ import annotations

import pytest

from penstock_testkit.quality.cases import Case, Finding, Label, Suite
from penstock_testkit.quality.families import FAMILIES, family_of, number_of
from penstock_testkit.quality.measuring import Result, baselines
from penstock_testkit.quality.report import Measurement, as_document, rendered, worst_classes
from penstock_testkit.quality.scoring import (
    ANYTHING,
    Answer,
    Score,
    Tally,
    by_advisory,
    by_anything,
    by_family,
    count_case,
)
from penstock_testkit.quality.targets import targets_of

SQL = "sql-injection"
XSS = "xss"


def case(*labels: Label, klass: str = SQL, name: str = "one", **more: object) -> Case:
    return Case(name, klass, "python", files={"a.py": ""}, labels=labels, **more)  # pyright: ignore[reportArgumentType]


def at(line: int, cwe: int = 89, file: str = "a.py") -> Finding:
    return Finding(file, line, f"rule-{cwe}", frozenset({cwe}))


def answers(subject: Case, *findings: Finding) -> Tally:
    tally = Tally()
    count_case(tally, subject, findings, by_family)
    return tally


def test_ratios_of_a_score():
    score = Score(tp=6, fp=2, fn=4, tn=8)
    assert score.precision == 0.75
    assert score.recall == 0.6
    assert score.false_positive_rate == 0.2
    assert score.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert score.youden == pytest.approx(0.4)
    assert score + score == Score(12, 4, 8, 16)


def test_a_ratio_of_nothing_is_none():
    empty = Score(tn=3)
    assert (empty.precision, empty.recall, empty.f1, empty.youden) == (None, None, None, None)
    assert Score(fn=2, tn=1).f1 == 0


@pytest.mark.parametrize(
    ("labels", "findings", "answer"),
    [
        ([Label("a.py", 3, SQL)], [at(3)], Answer.TP),
        ([Label("a.py", 3, SQL)], [at(9)], Answer.TP),  # another line: the case level does not mind
        ([Label("a.py", 3, SQL)], [at(3, 79)], Answer.FN),
        ([Label("a.py", 3, SQL)], [], Answer.FN),
        ([], [at(1)], Answer.FP),
        ([], [at(1, 79)], Answer.TN),  # nobody asked
        ([], [], Answer.TN),
    ],
)
def test_case_level(labels: list[Label], findings: list[Finding], answer: Answer):
    tally = answers(case(*labels), *findings)
    assert [unit.answer for unit in tally.units] == [answer]
    assert len(tally.mistakes) == (answer in {Answer.FP, Answer.FN})


def test_each_class_of_a_case_is_a_question():
    both = case(Label("a.py", 3, SQL), Label("a.py", 4, XSS))
    tally = answers(both, at(3))
    assert {unit.klass: unit.answer for unit in tally.units} == {SQL: Answer.TP, XSS: Answer.FN}


def test_what_is_right_either_way_is_no_question():
    assert answers(case(Label("a.py", 3, SQL, optional=True)), at(3)).units == []


def test_a_number_accepted_in_one_twin_is_false_in_the_other():
    assert answers(case(also=frozenset({1333})), at(2, 1333)).score == Score(fp=1)


def test_line_level_counts_each_label_and_each_finding_beside_one():
    two = case(Label("a.py", 3, SQL), Label("a.py", 7, SQL))
    tally = answers(two, at(3), at(3), at(5), at(6, 79))
    assert tally.lines[SQL] == Score(tp=1, fp=1, fn=1)
    assert tally.strays == 1
    assert tally.line_score == Score(tp=1, fp=2, fn=1)


def test_an_optional_line_stands_for_the_nearest_that_is_asked_for():
    near = case(Label("a.py", 3, SQL), Label("a.py", 9, SQL), Label("a.py", 2, SQL, optional=True))
    assert answers(near, at(2)).lines[SQL] == Score(tp=1, fn=1)
    assert answers(near, at(9), at(2)).lines[SQL] == Score(tp=2)


def test_what_nobody_labelled_is_not_false_where_labels_are_not_complete():
    tally = Tally()
    count_case(tally, case(), [at(1, 79)], by_family, complete=False)
    assert tally.line_score == Score()


def test_families_share_no_number():
    numbers = [cwe for family in FAMILIES for cwe in family.cwes]
    assert len(numbers) == len(set(numbers))
    assert all(family.reason for family in FAMILIES)


@pytest.mark.parametrize(
    ("cwe", "family"),
    [
        ("CWE-328", "weak-crypto"),
        (88, "command-injection"),
        ("cwe-4242", "CWE-4242"),
        ("", "unknown"),
    ],
)
def test_family_of(cwe: str | int, family: str):
    assert family_of(cwe) == family


def test_number_of():
    assert number_of("CWE-089: SQL") == 89
    assert number_of("none") is None


def test_a_class_that_says_only_that_something_is_wrong():
    assert by_family(at(1, 4242), Label("a.py", 0, ANYTHING))
    assert by_anything(at(1), Label("a.py", 0, "password"))


def test_advisories_are_compared_by_name():
    found = Finding("a", 1, "dependency:X-1", klass="X-1")
    assert by_advisory(found, Label("a", 1, "X-1"))
    assert by_advisory(found, Label("a", 1, "dependency"))
    assert not by_advisory(found, Label("a", 1, "X-2"))


def suite(*cases: Case) -> Suite:
    return Suite("some", "test", "scanner", cases)


def test_the_baselines_know_nothing():
    everything, nothing = baselines(
        suite(case(Label("a.py", 1, SQL), name="bad"), case(name="good"))
    )
    assert everything.tally.score == Score(tp=1, fp=1)
    assert nothing.tally.score == Score(fn=1, tn=1)
    assert everything.tally.score.youden == 0


def result(name: str, *findings: Finding, tool: bool = False) -> Result:
    made = Result(name, tool=tool)
    for one in SUITE.cases:
        count_case(made.tally, one, findings if one.vulnerable else (), by_family)
    return made


SUITE = suite(case(Label("a.py", 1, SQL), name="bad"), case(name="good"))


def test_ours_has_to_be_ten_points_above_the_best_tool():
    found, missed = result("agent", at(1)), result("tool", tool=True)
    targets = targets_of(SUITE, [found, missed], ours=True)
    assert targets
    assert all(target.holds for target in targets)
    worse = targets_of(SUITE, [result("agent"), result("tool", at(1), tool=True)], ours=True)
    assert not any(target.holds for target in worse)


def test_on_other_corpora_it_must_not_be_below():
    same = [result("agent", at(1)), result("tool", at(1), tool=True)]
    assert all(target.holds for target in targets_of(SUITE, same, ours=False))


def test_secrets_are_judged_by_line():
    secrets = Suite("some", "test", "secrets", SUITE.cases)
    targets = {t.name: t.reached for t in targets_of(secrets, [result("agent", at(1))], ours=True)}
    assert targets == {"secrets: precision": 1.0, "secrets: recall": 1.0}


def test_the_report_names_the_worst_classes_and_hides_held_out_cases():
    held_out = case(Label("a.py", 1, XSS), klass=XSS, name="hidden", group="held_out")
    made = Result("agent")
    for one in (*SUITE.cases, held_out):
        count_case(made.tally, one, (), by_family)
    whole = suite(*SUITE.cases, held_out)
    measurement = Measurement(whole, [made], targets_of(whole, [made], ours=True))
    assert worst_classes(made) == [SQL, XSS]
    assert "3 cases, 2 of them vulnerable" in next(iter(rendered(measurement)))
    document = as_document([measurement])
    assert "hidden" not in str(document)
    assert "'held_out_mistakes': 1" in str(document)
