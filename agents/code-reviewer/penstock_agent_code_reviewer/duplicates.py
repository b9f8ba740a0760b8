"""Runs of lines that are there twice, found by hashes of windows."""

import re
from collections.abc import Mapping, Sequence

from penstock_agent_code_reviewer.rules import Found, rule

WINDOW = 8
MAX_LINES = 400_000
MIN_LETTERS = 120
_IGNORED = re.compile(r"^\s*(?:#.*|//.*|\*.*|/\*.*|import\b.*|from\b.*|[\])}({\[;,]*)\s*$")
_BLANKS = re.compile(r"\s+")


def duplicates(
    texts: Mapping[str, Sequence[str]], changed: Mapping[str, frozenset[int] | None]
) -> dict[str, list[Found]]:
    """Find runs of at least `WINDOW` lines of code whose second place has changed lines."""
    numbered = {name: _code(lines) for name, lines in texts.items()}
    first: dict[int, tuple[str, int]] = {}
    found: dict[str, list[Found]] = {}
    taken = 0
    for name, lines in numbered.items():
        taken += len(lines)
        if taken > MAX_LINES:
            break
        run: tuple[int, int, str, int] | None = None  # start, end, other file, its index
        for index in range(len(lines) - WINDOW + 1):
            window = lines[index : index + WINDOW]
            key = hash(tuple(text for _, text in window))
            known = first.setdefault(key, (name, index))
            other, at = known
            fits = known != (name, index) and (other != name or index - at >= WINDOW)
            if fits and _equal(window, numbered[other][at : at + WINDOW]):
                follows = run and run[2] == other and index <= run[1] + 1
                run = (run[0] if run and follows else index, index, other, at)
                continue
            _told(found, name, lines, run, numbered, changed.get(name))
            run = None
        _told(found, name, lines, run, numbered, changed.get(name))
    return found


def _code(lines: Sequence[str]) -> list[tuple[int, str]]:
    return [
        (number, _BLANKS.sub(" ", line.strip()))
        for number, line in enumerate(lines, 1)
        if not _IGNORED.match(line)
    ]


def _equal(one: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> bool:
    return [text for _, text in one] == [text for _, text in other]


def _told(
    found: dict[str, list[Found]],
    name: str,
    lines: Sequence[tuple[int, str]],
    run: tuple[int, int, str, int] | None,
    numbered: Mapping[str, Sequence[tuple[int, str]]],
    changed: frozenset[int] | None,
) -> None:
    if run is None:
        return
    start, last, other, at = run
    part = lines[start : last + WINDOW]
    inside = [number for number, _ in part if changed is None or number in changed]
    size = len(part)
    if len(inside) < min(WINDOW, size) or sum(len(text) for _, text in part) < MIN_LETTERS:
        return
    if len({text for _, text in part}) < size // 2:
        return  # a table repeats itself
    line = numbered[other][max(0, at - (last - start))][0]
    found.setdefault(name, []).append(
        Found(
            rule("duplicate"),
            inside[0],
            part[-1][0],
            message=f"{size} lines of code are the same as from line {line} of {other}.",
            severity="major" if size >= 4 * WINDOW else None,
            detail=other,
        )
    )
