"""What `make agent-quality` measures: our own corpus, or a folder beside the project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Part, Suite
from penstock_testkit.quality.corpus import load_corpus, load_values
from penstock_testkit.quality.measuring import measure
from penstock_testkit.quality.report import Measurement
from penstock_testkit.quality.subjects import Progress, Subject
from penstock_testkit.quality.suites import read_suites
from penstock_testkit.quality.targets import targets_of
from penstock_testkit.quality.tools import Bandit, DetectSecrets, RuffSecurity
from penstock_testkit.quality.verdicts import judge_all
from tests.quality.agents import Scanner
from tests.quality.judges import Compliance, Reviewer

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
ADVISORIES = CORPUS / "dependencies" / "advisories"


def subjects_for(part: Part) -> Sequence[Subject]:
    """Our agent first, then the tools it stands on, alone."""
    match part:
        case "scanner":
            low = Scanner(name="security-scanner at low", threshold="low")
            medium = Bandit("bandit, medium and above", ("-ll",))
            return [Scanner(), low, Bandit(), medium, RuffSecurity()]
        case "secrets":
            return [Scanner(checks=("secrets",)), DetectSecrets()]
        case "dependencies":
            return [Scanner(checks=("dependencies",), threshold="low", advisories=ADVISORIES)]
        case "compliance" | "reviewer":
            return []


def own(part: Part, progress: Progress) -> Measurement | None:
    """Measure one part of our own corpus; None where it has no case."""
    suite = load_corpus(CORPUS, part, load_values(HERE / "values.yaml"))
    if not suite.cases:
        return None
    if part in {"compliance", "reviewer"}:
        judge = Compliance() if part == "compliance" else Reviewer()
        results = [judge_all(suite, judge, progress)]
        return Measurement(suite, results, targets_of(suite, results, ours=True))
    return _measured(suite, progress, ours=True)


def beside(folder: Path, progress: Progress) -> Iterator[Measurement]:
    """Measure what lies in a folder."""
    for suite in read_suites(folder):
        yield _measured(suite, progress, ours=False)


def _measured(suite: Suite, progress: Progress, *, ours: bool) -> Measurement:
    results = measure(suite, subjects_for(suite.part), progress)
    return Measurement(suite, results, targets_of(suite, results, ours=ours))
