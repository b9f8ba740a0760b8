"""What was measured, for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from penstock_testkit.quality.cases import Suite
from penstock_testkit.quality.measuring import Result
from penstock_testkit.quality.scoring import Score, Unit
from penstock_testkit.quality.targets import Target

WORST = 3
MAX_MISTAKES = 2_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One suite with everything that was found out about it."""

    suite: Suite
    results: Sequence[Result]
    targets: Sequence[Target]

    @property
    def holds(self) -> bool:
        """Whether every target was reached."""
        return all(target.holds for target in self.targets)


def rendered(measurement: Measurement) -> Iterator[str]:
    """Lines of text."""
    suite, results = measurement.suite, measurement.results
    vulnerable = sum(case.vulnerable or bool(case.expect.get("rules")) for case in suite.cases)
    yield f"{suite.name} ({suite.kind}): {len(suite.cases)} cases, {vulnerable} of them vulnerable"
    yield _HEADER
    for result in results:
        yield _row(result.subject, result.tally.score, result.seconds)
        if result.cut:
            yield "  (left something out for a bound of its own)"
    agent = results[0]
    if suite.lines and agent.tally.lines:
        yield "by line"
        for result in results:
            if result.tally.lines:
                yield _row(result.subject, result.tally.line_score, by_line=True)
    for title, groups in _groups(agent):
        if len(groups) > 1:
            yield f"{agent.subject} by {title}"
            yield from (_row(name, score) for name, score in groups.items())
    worst = worst_classes(agent)
    if worst:
        yield f"worst classes: {', '.join(worst)}"
    for target in measurement.targets:
        mark = "ok  " if target.holds else "MISS"
        yield f"{mark} {target.name}: {target.reached:.3f} (wanted {target.wanted:.3f})"


_HEADER = (
    f"  {'':30}{'TP':>6}{'FP':>6}{'FN':>6}{'TN':>6}{'prec':>7}{'rec':>7}{'F1':>7}{'J':>7}{'s':>8}"
)


def _row(name: str, score: Score, seconds: float | None = None, *, by_line: bool = False) -> str:
    youden = None if by_line else score.youden  # lines that are right are not counted
    ratios = (score.precision, score.recall, score.f1, youden)
    cells = "".join(f"{'-' if ratio is None else f'{ratio:.3f}':>7}" for ratio in ratios)
    time = "" if seconds is None else f"{seconds:>8.1f}"
    return f"  {name[:30]:30}{score.tp:>6}{score.fp:>6}{score.fn:>6}{score.tn:>6}{cells}{time}"


def _groups(result: Result) -> list[tuple[str, dict[str, Score]]]:
    return [
        ("language", result.tally.by(lambda unit: unit.case.language)),
        ("half", result.tally.by(lambda unit: unit.case.group)),
        ("class", result.tally.by(_class_of)),
    ]


def _class_of(unit: Unit) -> str:
    return unit.klass


def worst_classes(result: Result) -> list[str]:
    """The classes with the most wrong answers, worst first."""
    classes = result.tally.by(_class_of)
    wrong = [(score.fp + score.fn, name) for name, score in classes.items()]
    ranked = sorted((pair for pair in wrong if pair[0]), key=lambda pair: (-pair[0], pair[1]))
    return [name for _, name in ranked[:WORST]]


def as_document(measurements: Sequence[Measurement]) -> dict[str, object]:
    """The same as data, with every wrong answer to an open case; others are only counted."""
    return {
        "holds": all(measurement.holds for measurement in measurements),
        "suites": [_suite(measurement) for measurement in measurements],
    }


def _suite(measurement: Measurement) -> dict[str, object]:
    suite = measurement.suite
    return {
        "name": suite.name,
        "kind": suite.kind,
        "part": suite.part,
        "cases": len(suite.cases),
        "targets": [{**asdict(target), "holds": target.holds} for target in measurement.targets],
        "results": [_result(result) for result in measurement.results],
    }


def _result(result: Result) -> dict[str, object]:
    tally = result.tally
    told = [mistake for mistake in tally.mistakes if mistake.group == "open"]
    return {
        "subject": result.subject,
        "tool": result.tool,
        "baseline": result.baseline,
        "seconds": round(result.seconds, 2),
        "cut": result.cut,
        "cases": _score(tally.score),
        "lines": _score(tally.line_score),
        "severe": _score(tally.severe),
        "strays": tally.strays,
        "by_class": _scores(tally.by(_class_of)),
        "by_language": _scores(tally.by(lambda unit: unit.case.language)),
        "by_group": _scores(tally.by(lambda unit: unit.case.group)),
        "lines_by_class": _scores(tally.lines),
        "mistakes": [asdict(mistake) for mistake in told[:MAX_MISTAKES]],
        "held_out_mistakes": len(tally.mistakes) - len(told),
    }


def _scores(groups: Mapping[str, Score]) -> dict[str, object]:
    return {name: _score(groups[name]) for name in sorted(groups)}


def _score(score: Score) -> dict[str, object]:
    ratios = {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "youden": score.youden,
    }
    rounded = {name: None if r is None else round(r, 4) for name, r in ratios.items()}
    return {**asdict(score), **rounded}
