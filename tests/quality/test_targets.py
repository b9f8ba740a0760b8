"""The agents' quality on our own corpus, as `make agent-quality` measures it."""

from __future__ import annotations

import pytest

from penstock_testkit.quality.cases import Part
from penstock_testkit.quality.corpus import PARTS, load_corpus, load_values
from penstock_testkit.quality.families import BY_NAME
from tests.quality.measurement import CORPUS, HERE, own

LEAST_CASES: dict[Part, int] = {
    "scanner": 500,
    "secrets": 180,
    "dependencies": 20,
    "compliance": 200,
    "reviewer": 150,
}


def _quiet(_what: str, _done: int, _whole: int) -> None:
    """No progress in a test."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
def test_targets_hold(part: Part):
    measured = own(part, _quiet)
    assert measured is not None, "the corpus has no case of this part"
    missed = [
        f"{target.name}: {target.reached:.3f}, wanted {target.wanted:.3f}"
        for target in measured.targets
        if not target.holds
    ]
    assert missed == []


@pytest.mark.parametrize("part", sorted(LEAST_CASES))
def test_the_corpus_is_large_enough(part: Part):
    suite = load_corpus(CORPUS, part, load_values(HERE / "values.yaml"))
    assert len(suite.cases) >= LEAST_CASES[part]


@pytest.mark.parametrize("part", ["scanner", "secrets"])
def test_half_of_the_cases_are_held_out_and_half_are_vulnerable(part: Part):
    suite = load_corpus(CORPUS, part, load_values(HERE / "values.yaml"))
    held_out = sum(case.group == "held_out" for case in suite.cases) / len(suite.cases)
    vulnerable = sum(case.vulnerable for case in suite.cases) / len(suite.cases)
    assert held_out >= 0.5
    assert 0.4 <= vulnerable <= 0.6


def test_no_class_is_unknown_to_the_report():
    suite = load_corpus(CORPUS, "scanner", load_values(HERE / "values.yaml"))
    labels = {label.klass for case in suite.cases for label in case.labels}
    assert ({case.klass for case in suite.cases} | labels) - set(BY_NAME) == set()
