"""Labels written at the ends of lines, and the text without them."""

import re
from dataclasses import dataclass

from penstock_testkit.quality.cases import Label
from penstock_testkit.quality.families import number_of

_MARK = re.compile(r"[ \t]*@@(?P<optional>~?)(?P<what>[A-Za-z][\w.|-]*)?(?::(?P<severity>\w+))?$")
_CWES = re.compile(r"CWE-\d+(\|CWE-\d+)*")


@dataclass(frozen=True, slots=True)
class Marked:
    """A text as everybody sees it, and what was marked in it."""

    text: str
    labels: tuple[Label, ...]


def read_marks(text: str, file: str, klass: str) -> Marked:
    """Cut the marks off.

    Args:
        text: With marks.
        file: Its name in the case.
        klass: The case's class, for marks that name none.
    """
    lines: list[str] = []
    labels: list[Label] = []
    for number, whole in enumerate(text.split("\n"), start=1):
        line = whole
        while (found := _MARK.search(line)) is not None:
            labels.append(_label(found, file, number, klass))
            line = line[: found.start()]
        lines.append(line)
    return Marked("\n".join(lines), tuple(labels))


def _label(found: re.Match[str], file: str, line: int, klass: str) -> Label:
    what = found["what"] or ""
    optional = found["optional"] == "~"
    if _CWES.fullmatch(what):
        numbers = frozenset(n for part in what.split("|") if (n := number_of(part)) is not None)
        return Label(file, line, klass, numbers, found["severity"], optional)
    return Label(file, line, what or klass, frozenset(), found["severity"], optional)
