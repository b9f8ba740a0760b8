"""Gives the cases of a suite to each subject, and counts."""

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock_testkit.quality.cases import Case, Finding, Label, Part, Suite
from penstock_testkit.quality.scoring import (
    Matches,
    Tally,
    by_advisory,
    by_anything,
    by_class,
    by_family,
    count_case,
)
from penstock_testkit.quality.subjects import (
    FlagEverything,
    FlagNothing,
    Progress,
    Subject,
    scan_all,
)

MATCHES: Mapping[Part, Matches] = {
    "scanner": by_family,
    "secrets": by_anything,
    "dependencies": by_advisory,
    "compliance": by_class,
    "reviewer": by_class,
}

Places = Mapping[str, Sequence[tuple[Case, str]]]
"""From each file to the cases it is of, and its name there."""


@dataclass
class Result:
    """What one subject reached on one suite.

    Attributes:
        subject: Its name.
        tool: It is a tool used alone.
        baseline: It looks at nothing.
        tally: Answers.
        seconds: Spent in the subject.
        cut: It left something out for a bound of its own.
    """

    subject: str
    tool: bool = False
    baseline: bool = False
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    cut: bool = False


def measure(suite: Suite, subjects: Sequence[Subject], progress: Progress) -> list[Result]:
    """Measure subjects and the two baselines; the first subject is ours."""
    with tempfile.TemporaryDirectory(prefix="quality-") as name:
        root = Path(suite.root) if suite.root else Path(name)
        places = _places(suite) if suite.root else write_cases(suite.cases, root)
        groups = _groups(places)
        results = [
            _measured(suite, subject, root, groups, places, progress) for subject in subjects
        ]
    return [*results, *baselines(suite)]


def baselines(suite: Suite) -> list[Result]:
    """What those reach that look at nothing."""
    everything = Result(FlagEverything().name, baseline=True)
    nothing = Result(FlagNothing().name, baseline=True)
    for case in suite.cases:
        count_case(everything.tally, case, _everything(case), _always, lines=False)
        count_case(nothing.tally, case, (), _always, lines=False)
    return [everything, nothing]


def _always(_finding: Finding, _label: Label) -> bool:
    return True


def _everything(case: Case) -> list[Finding]:
    return [Finding(next(iter(case.files), case.source), 1, "everything")]


def _measured(
    suite: Suite,
    subject: Subject,
    root: Path,
    groups: Sequence[Sequence[str]],
    places: Places,
    progress: Progress,
) -> Result:
    measured = scan_all(subject, root, groups, progress, suite.context)
    result = Result(subject.name, tool=subject.tool, seconds=measured.seconds, cut=measured.cut)
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in measured.findings:
        for case, name in places.get(finding.file, ()):
            if case.covers(finding.line):
                found[case.id].append(replace(finding, file=name))
    for case in suite.cases:
        count_case(
            result.tally,
            case,
            found[case.id],
            MATCHES[suite.part],
            complete=suite.complete,
            lines=suite.lines,
        )
    return result


def write_cases(cases: Sequence[Case], root: Path) -> Places:
    """Write each case into a folder of its own.

    Folders are numbered: a name would tell a scanner what is in it.
    """
    places: dict[str, list[tuple[Case, str]]] = {}
    for number, case in enumerate(cases):
        for name, text in case.files.items():
            relative = f"c{number:04}/{name}"
            target = root / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            places[relative] = [(case, name)]
    return places


def _places(suite: Suite) -> Places:
    """Files of a suite in place; a case is a file, or a folder with all below it."""
    root = Path(suite.root)
    places: dict[str, list[tuple[Case, str]]] = defaultdict(list)
    for case in suite.cases:
        source = root / case.source
        if not source.is_dir():
            places[case.source].append((case, case.source))
            continue
        for path in sorted(source.rglob("*")):
            if path.is_file():
                inside = path.relative_to(source).as_posix()
                places[path.relative_to(root).as_posix()].append((case, inside))
    return places


def _groups(places: Places) -> list[list[str]]:
    """Files that belong together: those of one folder, in the order of their names."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file in sorted(places):
        groups[file.rpartition("/")[0]].append(file)
    return list(groups.values())
