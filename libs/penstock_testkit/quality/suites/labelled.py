"""`labels.yaml`: the layout for suites that somebody labels for this harness."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock_adapters.yaml import DocumentError, read_document
from penstock_testkit.quality.cases import Case, Label, Part, Suite
from penstock_testkit.quality.families import family_of, number_of
from penstock_testkit.quality.suites.folder import SuiteError, language_of


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str
    line: int = 0
    end_line: int | None = None
    cwe: int | str | None = None
    klass: str | None = Field(default=None, alias="class")
    vulnerable: bool = True


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid")
    part: Part = "scanner"
    complete: bool = False
    name: str = ""
    cases: list[_Row]


def read(root: Path) -> Sequence[Suite]:
    """The suite.

    Raises:
        SuiteError: The file has not the format.
    """
    path = root / "labels.yaml"
    if not path.is_file():
        return []
    try:
        document = read_document(path.read_text(encoding="utf-8"), path.name)
        labels = _Labels.model_validate(document.value)
    except (DocumentError, ValidationError) as error:
        raise SuiteError(f"{path}: {error}") from error
    cases = tuple(
        _case(row, number, labels.part) for number, row in enumerate(labels.cases, start=1)
    )
    return [
        Suite(
            name=labels.name or root.name,
            kind="labels.yaml",
            part=labels.part,
            cases=cases,
            complete=labels.complete,
            root=str(root),
            lines=labels.complete,
        )
    ]


def _case(row: _Row, number: int, part: Part) -> Case:
    cwe = None if row.cwe is None else number_of(row.cwe)
    if row.klass is None and cwe is None and part == "scanner":
        raise SuiteError(f"labels.yaml: case {number} has neither class nor cwe")
    klass = row.klass or (part if cwe is None else family_of(cwe))
    also = frozenset() if cwe is None else frozenset({cwe})
    return Case(
        id=f"{number}:{row.file}:{row.line}",
        klass=klass,
        language=language_of(row.file),
        labels=(Label(row.file, row.line, klass, also),) if row.vulnerable else (),
        source=row.file,
        also=also,
        within=(row.line, row.end_line or row.line) if row.line else None,
    )
