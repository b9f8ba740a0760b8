"""Files and folders whose names say what is in them: `x_bad.py`, `negative1.tf`, `CWE-89/`."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.families import family_of
from penstock_testkit.quality.scoring import ANYTHING
from penstock_testkit.quality.suites.folder import files_of, language_of

BAD = frozenset(
    {
        "bad",
        "insecure",
        "unsafe",
        "vulnerable",
        "vuln",
        "positive",
        "fail",
        "failed",
        "noncompliant",
    }
)
GOOD = frozenset(
    {"good", "secure", "safe", "fixed", "patched", "negative", "pass", "passed", "compliant"}
)
_WORD = re.compile(r"[a-z]+")
_CWE = re.compile(r"cwe[-_ ]?0*(\d{1,5})", re.IGNORECASE)


def read(root: Path) -> Sequence[Suite]:
    """The files whose names, or the folders they are in, tell their truth."""
    cases = list(_cases(root))
    if not any(case.labels for case in cases):
        return []
    return [
        Suite(
            name=root.name,
            kind="pairs by name",
            part="scanner",
            cases=tuple(cases),
            complete=False,
            root=str(root),
            lines=False,
        )
    ]


def _cases(root: Path) -> Iterator[Case]:
    for name in files_of(root):
        truth = truth_of(name)
        if truth is None or language_of(name) in {"other", "json"}:
            continue
        numbers = _CWE.findall(name)
        cwe = int(numbers[-1]) if numbers else None
        klass = ANYTHING if cwe is None else family_of(cwe)
        also = frozenset() if cwe is None else frozenset({cwe})
        yield Case(
            id=name,
            klass=klass,
            language=language_of(name),
            labels=(Label(name, 0, klass, also),) if truth else (),
            source=name,
            also=also,
        )


def truth_of(name: str) -> bool | None:
    """Whether a name says vulnerable (True) or safe (False); the innermost word decides."""
    for part in reversed(Path(name).with_suffix("").parts):
        words = set(_WORD.findall(part.lower()))
        bad, good = bool(words & BAD), bool(words & GOOD)
        if bad != good:
            return bad
    return None
