"""All rules over one text, by its language; nothing here knows what changed."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from penstock_agent_code_reviewer import (
    foreign_rules,
    lizard_shapes,
    python_async,
    python_calls,
    python_classes,
    python_complexity,
    python_conditions,
    python_endless,
    python_errors,
    python_exposure,
    python_files,
    python_loops,
    python_performance,
    python_security,
    python_sharing,
    python_testing,
    python_text,
)
from penstock_agent_code_reviewer.foreign_text import ForeignText
from penstock_agent_code_reviewer.languages import language_of, run_by_hand
from penstock_agent_code_reviewer.python_complexity import Shape
from penstock_agent_code_reviewer.python_tree import PythonFile, is_test_name, parsed
from penstock_agent_code_reviewer.ruff_judgement import judged
from penstock_agent_code_reviewer.ruff_program import Said
from penstock_agent_code_reviewer.rules import Found, rule
from penstock_agent_code_reviewer.secrets_found import secrets
from penstock_agent_sdk.repository import SourceFile

Check = Callable[[PythonFile], Iterator[Found]]
PYTHON_CHECKS: tuple[Check, ...] = (
    *python_async.CHECKS,
    *python_calls.CHECKS,
    *python_classes.CHECKS,
    *python_conditions.CHECKS,
    *python_endless.CHECKS,
    *python_errors.CHECKS,
    *python_exposure.CHECKS,
    *python_files.CHECKS,
    *python_loops.CHECKS,
    *python_performance.CHECKS,
    *python_security.CHECKS,
    *python_sharing.CHECKS,
    *python_testing.CHECKS,
    *python_text.CHECKS,
)
# What is not worth a word in tests: they fail loudly, and end soon.
_NOT_IN_TESTS = frozenset(
    {"leak", "close-not-sure", "open-without-with", "blocking-in-async", "grown-in-loop",
     "searched-list", "request-in-loop", "swallowed-exception", "sql-injection",
     "shell-injection", "may-be-none", "nested-walk",
     "failure-as-value", "exponential-pattern", "front-of-list", "repeated-work", "missing-return",
     "shared-by-instances", "code-injection", "command-injection", "path-traversal",
     "unused-result", "predictable-temporary-file"}
)  # fmt: skip
_MARKER = re.compile(r"^(?:<<<<<<< |>>>>>>> )\S")
_MIDDLE = "======="


@dataclass(slots=True)
class FileReview:
    """What was found in one text.

    Attributes:
        parsed: False if Python that this interpreter cannot parse.
    """

    found: list[Found] = field(default_factory=list[Found])
    shapes: list[Shape] = field(default_factory=list[Shape])
    parsed: bool = True


def review(source: SourceFile, said: Sequence[Said]) -> FileReview:
    """Look at one text.

    Args:
        source: The text.
        said: What ruff said of it, if it is Python.
    """
    is_test = is_test_name(source.name)
    done = FileReview()
    done.found += _conflicts(source.lines)
    done.found += secrets(source.name, source.lines, is_test)
    if language_of(source.name) == "python" or source.is_python:
        _python(source, said, is_test, done)
    else:
        language = language_of(source.name)
        done.found += foreign_rules.foreign(ForeignText(language, source.text), is_test)
        done.shapes += lizard_shapes.shapes(language, source.text)
    if run_by_hand(source.name):
        done.found = [_by_hand(one) for one in done.found if one.rule.name != "left-over-print"]
    done.found = _unique(done.found)
    return done


def _by_hand(one: Found) -> Found:
    """Who runs a script by hand gives it the text himself, and samples hold made-up secrets."""
    own = one.rule.name in ("command-injection", "shell-injection", "hardcoded-secret")
    return replace(one, severity="major") if own and one.weight == "critical" else one


def _python(source: SourceFile, said: Sequence[Said], is_test: bool, done: FileReview) -> None:
    file = parsed(source.name, source.text, source.lines)
    done.parsed = file is not None
    done.found += judged(said, file, source.text, is_test)
    if file is None:
        return
    for check in PYTHON_CHECKS:
        done.found += (
            one for one in check(file) if not (is_test and one.rule.name in _NOT_IN_TESTS)
        )
    done.shapes += python_complexity.shapes(file.tree)


def _conflicts(lines: Sequence[str]) -> Iterator[Found]:
    marks = [number for number, line in enumerate(lines, 1) if _MARKER.match(line)]
    if marks and any(line.rstrip() == _MIDDLE for line in lines):
        yield Found(rule("conflict-marker"), marks[0], marks[-1])


# Where several rules speak of one line, the first of a group says it best.
_SAME = (
    ("syntax-error", "conflict-marker"),
    ("mutable-default", "call-in-default"),
    ("swallowed-exception", "bare-except"),
    ("code-injection", "code-execution"),
    ("command-injection", "shell-injection"),
    ("unsafe-deserialisation", "weak-hash"),
    ("weak-password-hash", "weak-hash"),
    ("guessable-secret", "predictable-random"),
    ("leak", "open-without-with"),
    ("close-not-sure", "open-without-with"),
    ("none-used", "compares-with-none"),
    ("missing-await", "unused-result"),
    ("always-passes", "compares-with-itself"),
    ("always-passes", "assert-on-text"),
    ("unused-result", "pointless-expression"),
    ("hardcoded-secret", "unused-variable"),
    ("none-used", "null-used"),
)
_RANK = {"blocker": 0, "critical": 1, "major": 2, "minor": 3}


def _unique(found: Sequence[Found]) -> list[Found]:
    """One of a rule on a line, the most severe; and of rules that mean the same, the better."""
    best: dict[tuple[str, int, str], Found] = {}
    for one in found:
        own = one.detail if one.rule.category in ("complexity", "style") else ""
        key = (one.rule.name, one.line, own)
        known = best.get(key)
        if known is None or _RANK[one.weight] < _RANK[known.weight]:
            best[key] = one
    names: dict[int, set[str]] = {}
    for one in best.values():
        names.setdefault(one.line, set()).add(one.rule.name)
    return [
        one
        for one in best.values()
        if not any(one.rule.name == worse and better in names[one.line] for better, worse in _SAME)
    ]
