"""One review: gather, look at every file now and before, keep what the change brought."""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from types import FrameType

from penstock_agent_code_reviewer import complexity, coverage_report, ruff_program
from penstock_agent_code_reviewer.coverage_report import Ran
from penstock_agent_code_reviewer.duplicates import duplicates
from penstock_agent_code_reviewer.file_review import FileReview, review
from penstock_agent_code_reviewer.languages import language_of
from penstock_agent_code_reviewer.models import ReviewInput, ReviewOutput
from penstock_agent_code_reviewer.python_complexity import Shape
from penstock_agent_code_reviewer.python_tree import is_test_name
from penstock_agent_code_reviewer.report import Placed, Tally, reported
from penstock_agent_code_reviewer.rules import Found, rule
from penstock_agent_code_reviewer.scope import Reviewed, Scope, gathered
from penstock_agent_sdk import progress

# After this the files not yet looked at are counted and the review is partial.
DEADLINE_S = 80.0
# One file made to be slow must not take the time of all others.
FILE_DEADLINE_S = 8.0
LEAST_S = 0.001  # of somebody's timer that is due by then
ASKED_AT_ONCE = 200
MIN_UNTESTED_LINES = 8
MAX_UNTESTED = 5


class _TooSlow(Exception):
    """A file took too long."""


@dataclass(slots=True)
class _Figures:
    """What is told besides issues."""

    tally: Tally
    complexities: list[int] = field(default_factory=list[int])
    covered: int = 0
    coverable: int = 0


def reviewed(
    task: ReviewInput,
    clock: Callable[[], float] = time.monotonic,
    today: date | None = None,
) -> ReviewOutput:
    """Review what a task asks about.

    Raises:
        AgentError: `no_repository`, `no_revision` or `bad_baseline`.
    """
    started = clock()
    scope = gathered(task, coverage_report.REPORT_NAMES)
    figures = _Figures(Tally(scope))
    placed: list[Placed] = []
    report: Mapping[str, Ran] = {}
    with contextlib.suppress(_TooSlow), _limited(FILE_DEADLINE_S):
        figures.tally.coverage_report, report = coverage_report.read(scope.others)
    for batch in _batches(scope.files):
        if clock() - started > DEADLINE_S:
            figures.tally.late(len(batch))
            continue
        progress(f"reviewing {len(batch)} of {len(scope.files)} files")
        said = _asked(batch, figures)
        for one in batch:
            if clock() - started > DEADLINE_S:
                figures.tally.late(1)
                continue
            placed += _file(one, said, report, figures)
    placed += _repeated(scope)
    placed += _untested(scope)
    figures.tally.measured(figures.complexities, figures.covered, figures.coverable)
    day = today or datetime.now(UTC).date()
    return reported(task, placed, figures.tally, day, lambda: clock() - started)


def _batches(files: list[Reviewed]) -> Iterator[list[Reviewed]]:
    for start in range(0, len(files), ASKED_AT_ONCE):
        yield files[start : start + ASKED_AT_ONCE]


def _asked(batch: list[Reviewed], figures: _Figures) -> Mapping[str, list[ruff_program.Said]]:
    """Ruff's answers, now under the file's name, before under the name with a prefix."""
    texts: dict[str, str] = {}
    for one in batch:
        if _is_python(one):
            texts[one.source.name] = one.source.text
            if one.before is not None:
                texts[_BEFORE + one.source.name] = one.before.text
    answer = ruff_program.asked(texts)
    if answer is None:
        figures.tally.partial("ruff")
        return {}
    return answer


_BEFORE = "//before/"


def _is_python(one: Reviewed) -> bool:
    return language_of(one.source.name) == "python" or one.source.is_python


def _file(
    one: Reviewed,
    said: Mapping[str, list[ruff_program.Said]],
    report: Mapping[str, Ran],
    figures: _Figures,
) -> Iterator[Placed]:
    name = one.source.name
    try:
        with _limited(FILE_DEADLINE_S):
            now = review(one.source, said.get(name, ()))
            before = (
                review(one.before, said.get(_BEFORE + name, ())) if one.before else FileReview()
            )
    except (_TooSlow, RecursionError, MemoryError):
        figures.tally.partial("too_slow")
        return
    figures.tally.reviewed(one)
    if not now.parsed and not any(found.rule.name == "syntax-error" for found in now.found):
        figures.tally.partial("not_parsed")
    found = [*now.found, *_shapes(one, now, before, figures)]
    found += _coverage(one, report, figures)
    yield from (Placed(name, _certain(one, each)) for each in found if _is_new(one, each, before))


def _certain(one: Reviewed, found: Found) -> Found:
    """A name that was defined where it is used until this change is surely missing now."""
    unchanged = one.changes is not None and found.line in one.changes.origin
    if found.rule.name == "undefined-name" and unchanged and found.weight == "major":
        return replace(found, severity="critical")
    return found


def _is_new(one: Reviewed, found: Found, before: FileReview) -> bool:
    """Whether the change brought it: it is on a changed line, or was not there before.

    A rule that speaks of a whole function (`end`) counts as changed with its own line only; what
    a removed line leaves behind (a name without its import, a file without its close) is found
    by its absence before.
    """
    if one.changes is None or found.line in one.changes.lines:
        broken = found.rule.name == "syntax-error" and any(
            each.rule.name == "syntax-error" for each in before.found
        )
        return not broken
    if found.rule.category == "complexity" and found.rule.name.startswith("too-"):
        return True
    origin = one.changes.origin.get(found.line)
    return not any(
        each.rule.name == found.rule.name and each.line == origin for each in before.found
    )


def _shapes(
    one: Reviewed, now: FileReview, before: FileReview, figures: _Figures
) -> Iterator[Found]:
    old: dict[str, Shape] = {shape.name: shape for shape in before.shapes}
    for shape, line in complexity.touched(now.shapes, one.changed):
        figures.complexities.append(shape.cyclomatic)
        if not is_test_name(one.source.name):
            yield from complexity.judge(shape, old.get(shape.name), line)


def _coverage(one: Reviewed, report: Mapping[str, Ran], figures: _Figures) -> Iterator[Found]:
    """Runs of changed lines that nothing ran."""
    ran = coverage_report.of_file(report, one.source.name)
    if ran is None or is_test_name(one.source.name):
        return
    changed = [line for line in sorted(ran) if one.changed is None or line in one.changed]
    figures.coverable += len(changed)
    figures.covered += sum(ran[line] for line in changed)
    start = 0
    count = 0
    for line in [*changed, 0]:
        if line and not ran[line]:
            start = start or line
            count += 1
        elif start:
            many = "s" if count > 1 else ""
            message = f"{count} changed line{many} of code from here on never ran in a test."
            yield Found(rule("not-covered"), start, message=message, detail=str(start))
            start = count = 0


def _repeated(scope: Scope) -> Iterator[Placed]:
    files = [one for one in scope.files if not is_test_name(one.source.name)]
    texts = {one.source.name: one.source.lines for one in files}
    changed = {one.source.name: one.changed for one in files}
    with contextlib.suppress(_TooSlow), _limited(FILE_DEADLINE_S):
        for name, found in duplicates(texts, changed).items():
            yield from (Placed(name, one) for one in found)


def _untested(scope: Scope) -> Iterator[Placed]:
    """Changed code without a changed test, where the repository has tests at all."""
    if scope.commit is None or not scope.has_tests:
        return
    if any(is_test_name(name) for name in scope.changed_names):
        return
    told = 0
    for one in scope.files:
        every = range(1, len(one.source.lines) + 1)
        lines = every if one.changed is None else sorted(one.changed)
        code = [line for line in lines if _is_code(one.source.lines[line - 1])]
        if len(code) >= MIN_UNTESTED_LINES and told < MAX_UNTESTED:
            told += 1
            message = f"{len(code)} lines of code were changed here, and no test was."
            yield Placed(
                one.source.name, Found(rule("changed-without-tests"), code[0], message=message)
            )


def _is_code(line: str) -> bool:
    stripped = line.strip()
    return len(stripped) > 2 and not stripped.startswith(("#", "//", "*", "/*", '"""', "import "))


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `_TooSlow` in the block after a time; patterns are interrupted too.

    Only the main thread can be interrupted so; elsewhere there is no limit.
    """

    def late(_number: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    try:
        before = signal.signal(signal.SIGALRM, late)
    except ValueError:
        yield
        return
    started = time.monotonic()
    others_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if others_s:  # somebody's own timer runs on
            left_s = others_s - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left_s, LEAST_S))


def languages(scope: Scope) -> Counter[str]:
    """How many files of each language are reviewed."""
    return Counter(language_of(one.source.name) or "python" for one in scope.files)
