"""Right and wrong answers, counted."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock_testkit.quality.cases import Case, Finding, Group, Label
from penstock_testkit.quality.families import BY_NAME, family_of


class Answer(StrEnum):
    """How one answer is."""

    TP = "tp"
    FP = "fp"
    FN = "fn"
    TN = "tn"


@dataclass(frozen=True, slots=True)
class Score:
    """Counted answers; a ratio without a denominator is None."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Score") -> "Score":
        """Count both."""
        return Score(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def precision(self) -> float | None:
        """Of what was reported, how much was true."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Of what is there, how much was reported."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def false_positive_rate(self) -> float | None:
        """Of what is safe, how much was reported."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 where something was there and nothing found."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def youden(self) -> float | None:
        """Recall less the false positive rate: 0 for a guess, 1 for no mistake."""
        recall, false = self.recall, self.false_positive_rate
        return None if recall is None or false is None else recall - false

    @property
    def asked(self) -> int:
        """How many answers."""
        return self.tp + self.fp + self.fn + self.tn


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Unit:
    """One question and its answer: is there something of this class in this case?"""

    case: Case
    klass: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer, for people to look at."""

    case: str
    group: Group
    klass: str
    answer: Answer
    detail: str


@dataclass
class Tally:
    """Everything counted for one subject on one suite.

    Attributes:
        units: At case level.
        lines: At line level, by class; TN has no meaning there.
        severe: Findings at the two highest severities, right or wrong, where a part has them.
        strays: Findings of a class that nobody asked about, in complete suites.
        mistakes: Each wrong answer at case level.
    """

    units: list[Unit] = field(default_factory=list[Unit])
    lines: dict[str, Score] = field(default_factory=lambda: defaultdict(Score))
    severe: Score = Score()
    strays: int = 0
    mistakes: list[Mistake] = field(default_factory=list[Mistake])

    @property
    def score(self) -> Score:
        """All units."""
        return total(unit.answer for unit in self.units)

    @property
    def line_score(self) -> Score:
        """All lines."""
        return sum(self.lines.values(), Score())

    def by(self, key: Callable[[Unit], str]) -> dict[str, Score]:
        """Units grouped, by name."""
        groups: dict[str, list[Answer]] = defaultdict(list)
        for unit in self.units:
            groups[key(unit)].append(unit.answer)
        return {name: total(groups[name]) for name in sorted(groups)}


def answer_of(*, positive: bool, right: bool) -> Answer:
    """Name an answer by what is there and whether it was right."""
    if right:
        return Answer.TP if positive else Answer.TN
    return Answer.FN if positive else Answer.FP


def total(answers: Iterable[Answer]) -> Score:
    """Count answers."""
    counted = dict.fromkeys(Answer, 0)
    for answer in answers:
        counted[answer] += 1
    return Score(counted[Answer.TP], counted[Answer.FP], counted[Answer.FN], counted[Answer.TN])


ANYTHING = "(anything)"
"""The class of a case that says only that something is wrong."""

Matches = Callable[[Finding, Label], bool]
"""Whether a finding is of a label's kind; places are compared elsewhere."""


def by_family(finding: Finding, label: Label) -> bool:
    """A CWE of the label's family, or one that the label accepts besides."""
    if label.klass == ANYTHING:
        return True
    accepted = set(label.also)
    family = BY_NAME.get(label.klass)
    if family is not None:
        accepted |= family.cwes
    if finding.cwes & accepted:
        return True
    return family is None and any(family_of(cwe) == label.klass for cwe in finding.cwes)


def by_anything(_finding: Finding, _label: Label) -> bool:
    """Whatever it is called: for checks that look for one kind of thing."""
    return True


def by_advisory(finding: Finding, label: Label) -> bool:
    """The advisory by name; any of them where none is named."""
    return label.klass in {"dependency", finding.klass}


def by_class(finding: Finding, label: Label) -> bool:
    """The class by name."""
    return finding.klass == label.klass


def count_case(
    tally: Tally,
    case: Case,
    findings: Sequence[Finding],
    matches: Matches,
    *,
    complete: bool = True,
    lines: bool = True,
) -> None:
    """Judge what was found in one case.

    Args:
        tally: Where it is counted.
        case: With its labels.
        findings: In the case's files, with names relative to its folder.
        matches: Whether a finding is of a label's kind.
        complete: Findings nobody asked for are false at line level.
        lines: Whether the line level is counted.
    """
    for klass in dict.fromkeys([case.klass, *(label.klass for label in case.labels)]):
        labels = [label for label in case.labels if label.klass == klass]
        positive = any(not label.optional for label in labels)
        if not positive and (labels or klass != case.klass or case.vulnerable):
            continue  # right either way, or not what this case asks
        questions = labels or [Label("", 0, klass, case.also)]
        hit = any(matches(finding, question) for finding in findings for question in questions)
        _answer(tally, case, klass, hit=hit, positive=positive, findings=findings)
    if lines:
        _count_lines(tally, case, findings, matches, complete=complete)


def _answer(
    tally: Tally, case: Case, klass: str, *, hit: bool, positive: bool, findings: Sequence[Finding]
) -> None:
    answer = answer_of(positive=positive, right=hit is positive)
    tally.units.append(Unit(case, klass, answer))
    if answer in (Answer.FP, Answer.FN):
        said = ", ".join(f"{f.file}:{f.line} {f.rule}" for f in findings[:4]) or "nothing found"
        tally.mistakes.append(Mistake(case.id, case.group, klass, answer, said))


def _count_lines(
    tally: Tally, case: Case, findings: Sequence[Finding], matches: Matches, *, complete: bool
) -> None:
    at: Mapping[tuple[str, int], list[Label]] = _grouped(case.labels)
    for label in case.wanted:
        places = {(label.file, label.line), *_elsewhere(case, label)}
        hit = any((f.file, f.line) in places and matches(f, label) for f in findings)
        tally.lines[label.klass] += Score(tp=1) if hit else Score(fn=1)
    asked = [Label("", 0, case.klass, case.also), *case.labels]
    for finding in findings:
        if any(matches(finding, label) for label in at.get((finding.file, finding.line), ())):
            continue
        klass = next((label.klass for label in asked if matches(finding, label)), None)
        if klass is not None:
            tally.lines[klass] += Score(fp=1)
        elif complete:
            tally.strays += 1
            tally.lines["(not asked)"] += Score(fp=1)


def _elsewhere(case: Case, wanted: Label) -> Iterator[tuple[str, int]]:
    """Optional lines that belong to a label: those it is the nearest of its class to."""
    rivals = [w for w in case.wanted if (w.file, w.klass) == (wanted.file, wanted.klass)]
    for label in case.labels:
        if label.optional and (label.file, label.klass) == (wanted.file, wanted.klass):
            nearest = min(rivals, key=lambda rival: abs(rival.line - label.line))
            if nearest is wanted:
                yield label.file, label.line


def _grouped(labels: Iterable[Label]) -> dict[tuple[str, int], list[Label]]:
    groups: dict[tuple[str, int], list[Label]] = defaultdict(list)
    for label in labels:
        groups[label.file, label.line].append(label)
    return groups
