"""A CSV with a file, a line and a weakness in each row."""

from collections.abc import Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.families import family_of, number_of
from penstock_testkit.quality.suites.folder import header_of, is_true, language_of, rows_of

FILE = ("file", "filename", "path")
LINE = ("line", "line_number", "start_line")
CLASS = ("cwe", "label", "category", "class")
TRUTH = ("vulnerable", "truth", "real vulnerability", "groundtruth", "bad")


def read(root: Path) -> Sequence[Suite]:
    """One suite for each such table at the top of the folder."""
    suites: list[Suite] = []
    for path in sorted(root.glob("*.csv")):
        columns = header_of(path)
        file, line, klass, truth = (_first(columns, names) for names in (FILE, LINE, CLASS, TRUTH))
        if not (file and line and klass):
            continue
        cases = [
            _case(number, row[file], row[line], row[klass], is_true(row[truth]) if truth else True)
            for number, row in enumerate(rows_of(path), start=1)
            if row.get(file) and (root / row[file]).is_file()
        ]
        suites.append(
            Suite(
                name=f"{root.name}/{path.name}",
                kind="table of lines",
                part="scanner",
                cases=tuple(cases),
                complete=False,
                root=str(root),
                lines=False,
            )
        )
    return suites


def _first(columns: frozenset[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _case(number: int, file: str, line: str, what: str, vulnerable: bool) -> Case:
    at = int(line) if line.isdigit() else 0
    cwe = number_of(what)
    klass = what if cwe is None else family_of(cwe)
    also = frozenset() if cwe is None else frozenset({cwe})
    return Case(
        id=f"{number}:{file}:{at}",
        klass=klass,
        language=language_of(file),
        labels=(Label(file, at, klass, also),) if vulnerable else (),
        source=file,
        also=also,
        within=(at, at) if at else None,
    )
