"""Tests of rules: `ruleid: name` above a line that a rule finds, `ok: name` above one it does not.

The rule's weakness is read from the YAML beside the test, where `metadata` names a CWE.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.families import family_of
from penstock_testkit.quality.suites.folder import files_of, language_of

MAX_LINES_BELOW = 4
_RULE = re.compile(r"^[ \t]*-[ \t]+id:[ \t]*[\"']?([\w.-]+)", re.MULTILINE)
_CWE = re.compile(r"CWE-0*(\d{1,5})", re.IGNORECASE)
_NOTE = re.compile(r"(?P<what>todoruleid|todook|ruleid|ok)[ \t]*:[ \t]*(?P<names>[\w., \t-]+)")
_COMMENT = re.compile(r"^[ \t]*(#|//|/\*|<!--|--|\{/\*|\*|;|%)")


def read(root: Path) -> Sequence[Suite]:
    """One suite of all annotated lines whose rule names a weakness."""
    names = list(files_of(root))
    rules: dict[str, dict[str, frozenset[int]]] = {}
    for name in names:
        if name.endswith((".yaml", ".yml")):
            found = rules_in((root / name).read_text(encoding="utf-8", errors="replace"))
            if found:
                rules.setdefault(name.rpartition("/")[0], {}).update(found)
    cases: dict[str, Case] = {}
    for name in names:
        known = rules.get(name.rpartition("/")[0])
        if not known or name.endswith((".fixed", ".fixed.py")) or language_of(name) == "other":
            continue
        for case in cases_in(name, root, known):
            cases.setdefault(case.id, case)
    return [
        Suite(
            name=root.name,
            kind="annotated rule tests",
            part="scanner",
            cases=tuple(cases.values()),
            complete=False,
            root=str(root),
            lines=False,
        )
    ]


def rules_in(text: str) -> dict[str, frozenset[int]]:
    """From each rule of a YAML text to the weaknesses it names; rules without are left out."""
    pieces = _RULE.split(text)
    found: dict[str, frozenset[int]] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=False):
        numbers = frozenset(int(number) for number in _CWE.findall(body)) - {0}
        if numbers:
            found[name] = numbers
    return found


def cases_in(name: str, root: Path, rules: Mapping[str, frozenset[int]]) -> Iterator[Case]:
    """One case for each annotated line and weakness."""
    lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
    notes = {at: found for at, line in enumerate(lines, start=1) if (found := _note(line))}
    for at, (what, asked) in notes.items():
        start = at + 1
        while start in notes:
            start += 1
        below = (n for n in range(start + 1, start + MAX_LINES_BELOW) if n in notes)
        end = next(below, start + MAX_LINES_BELOW) - 1
        for rule in asked:
            numbers = rules.get(rule)
            if numbers is None or what not in {"ruleid", "ok"}:
                continue
            klass = family_of(min(numbers))
            yield Case(
                id=f"{name}:{start}:{klass}",
                klass=klass,
                language=language_of(name),
                labels=(Label(name, start, klass, numbers),) if what == "ruleid" else (),
                source=name,
                also=numbers,
                within=(start, end),
            )


def _note(line: str) -> tuple[str, list[str]] | None:
    if not _COMMENT.match(line):
        return None
    found = _NOTE.search(line)
    if found is None:
        return None
    return found["what"], [name.strip() for name in found["names"].split(",") if name.strip()]
