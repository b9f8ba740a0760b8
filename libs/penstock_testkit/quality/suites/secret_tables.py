"""Tables of secrets: by line (CredData's metadata), or how many a file has."""

from collections.abc import Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.suites.folder import header_of, language_of, rows_of

_BY_LINE = frozenset({"filepath", "linestart", "groundtruth"})
_BY_COUNT = frozenset({"name", "num_risk"})


def read_lines(root: Path) -> Sequence[Suite]:
    """Rows of FilePath, LineStart, LineEnd, GroundTruth, Category; the files must be there."""
    tables = [path for path in _tables(root) if header_of(path) >= _BY_LINE]
    cases: list[Case] = []
    for path in tables:
        for number, row in enumerate(rows_of(path), start=1):
            file, start = row["filepath"], row["linestart"]
            truth = row["groundtruth"].upper()  # `Template` is neither
            if truth not in {"T", "F"} or not start.isdigit() or not (root / file).is_file():
                continue
            end = row.get("lineend", "")
            klass = row.get("category", "") or "secret"
            label = Label(file, int(start), klass)
            cases.append(
                Case(
                    id=f"{path.stem}:{number}",
                    klass=klass,
                    language=language_of(file),
                    labels=(label,) if truth == "T" else (),
                    source=file,
                    within=(int(start), int(end) if end.isdigit() else int(start)),
                )
            )
    return _suite(root, "secrets by line", cases)


def read_counts(root: Path) -> Sequence[Suite]:
    """Rows of a file and its number of secrets: found is found anywhere in it."""
    tables = [path for path in _tables(root) if header_of(path) >= _BY_COUNT]
    cases: list[Case] = []
    for path in tables:
        for row in rows_of(path):
            file = row.get("name", "")
            if not (root / file).is_file() or not row.get("num_risk", "").isdigit():
                continue
            label = Label(file, 0, "secret")
            cases.append(
                Case(
                    id=file,
                    klass="secret",
                    language=language_of(file),
                    labels=(label,) if int(row["num_risk"]) else (),
                    source=file,
                )
            )
    return _suite(root, "secrets by file", cases)


def _tables(root: Path) -> list[Path]:
    return sorted([*root.glob("*.csv"), *root.glob("*/*.csv"), *root.glob(".*/*.csv")])


def _suite(root: Path, kind: str, cases: Sequence[Case]) -> Sequence[Suite]:
    unique = {case.id: case for case in cases}
    return [
        Suite(
            name=root.name,
            kind=kind,
            part="secrets",
            cases=tuple(unique.values()),
            complete=False,
            root=str(root),
            lines=False,
        )
    ]
