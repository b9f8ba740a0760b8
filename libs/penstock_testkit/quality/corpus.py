"""Reads our own corpus (format: docs/guides/agent-quality.md)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from penstock_adapters.yaml import read_document
from penstock_testkit.quality.cases import Case, Group, Label, Part, Suite
from penstock_testkit.quality.marks import read_marks
from penstock_testkit.quality.values import Values

PARTS: tuple[Part, ...] = ("scanner", "secrets", "dependencies", "compliance", "reviewer")
Twin = Literal["bad", "good", "code"]
TWINS: tuple[Twin, ...] = ("bad", "good", "code")


class CorpusError(ValueError):
    """A file of the corpus does not have the format."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Beside(_Form):
    source: str = Field(alias="from")


_Text = str | _Beside


class _Label(_Form):
    line: int
    file: str | None = None
    klass: str | None = Field(default=None, alias="class")
    severity: str | None = None
    optional: bool = False


class _Several(_Form):
    files: dict[str, _Text]
    labels: list[_Label] = []
    expect: dict[str, JsonValue] = {}


_Block = _Text | _Several


class _Entry(_Form):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    klass: str = Field(alias="class")
    file: str = ""
    language: str | None = None
    bad: _Block | None = None
    good: _Block | None = None
    code: _Block | None = None
    files: dict[str, _Text] | None = None
    before: _Several | None = None
    labels: list[_Label] = []
    input: dict[str, JsonValue] = {}
    expect: dict[str, JsonValue] = {}
    note: str = ""


class _File(_Form):
    group: Group
    language: str
    cases: list[_Entry]


def load_values(path: Path) -> Values:
    """Read the shapes of made-up values."""
    shapes = read_document(path.read_text(encoding="utf-8"), path.name).value["shapes"]
    if not isinstance(shapes, dict):
        raise CorpusError(f"{path.name}: shapes is a mapping")
    return Values(
        {
            name: "".join(str(piece) for piece in shape) if isinstance(shape, list) else str(shape)
            for name, shape in shapes.items()
        }
    )


def load_corpus(folder: Path, part: Part, values: Values) -> Suite:
    """Read one part of the corpus.

    Raises:
        CorpusError: A file has not the format, or an id is there twice.
    """
    cases: list[Case] = []
    for path in sorted((folder / part).glob("*.yaml")):
        cases += _cases_of(path, values)
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise CorpusError(f"{part}: the id {case.id} is there twice")
        seen.add(case.id)
    return Suite(name=f"own/{part}", kind="own corpus", part=part, cases=tuple(cases))


def _cases_of(path: Path, values: Values) -> Iterator[Case]:
    document = read_document(path.read_text(encoding="utf-8"), path.name)
    try:
        file = _File.model_validate(document.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise CorpusError(f"{path.name}: {first['loc']}: {first['msg']}") from error
    for entry in file.cases:
        blocks: dict[Twin, _Block] = {}
        for twin in TWINS:
            block: _Block | None = getattr(entry, twin)
            if block is not None:
                blocks[twin] = block
        if entry.files is not None:
            blocks["code"] = _Several(files=entry.files)
        if not blocks:
            raise CorpusError(f"{path.name}: {entry.id} has no text")
        twins = [_Reading(path, values, entry, file).case(t, b) for t, b in blocks.items()]
        # What is accepted in one twin is as false in the other.
        also = frozenset(cwe for case in twins for label in case.labels for cwe in label.also)
        yield from (replace(case, also=also) for case in twins)


class _Reading:
    """One case on the way from its entry."""

    def __init__(self, path: Path, values: Values, entry: _Entry, file: _File) -> None:
        self._path = path
        self._values = values
        self._entry = entry
        self._file = file

    def case(self, twin: Twin, block: _Block) -> Case:
        entry = self._entry
        name = f"{entry.id}/{twin}"
        several = block if isinstance(block, _Several) else None
        texts: Mapping[str, _Text] = several.files if several else {self._name(): _single(block)}
        files, labels = self._read(texts, name)
        written = [*entry.labels, *(several.labels if several else [])]
        labels += [self._label(label, next(iter(files))) for label in written if twin != "good"]
        if twin == "good" and any(not label.optional for label in labels):
            raise CorpusError(f"{self._path.name}: {name} is the safe twin and has marks")
        if twin == "bad" and not labels and not entry.expect:
            raise CorpusError(f"{self._path.name}: {name} has no mark")
        return Case(
            id=name,
            klass=entry.klass,
            language=entry.language or self._file.language,
            group=self._file.group,
            files=files,
            labels=tuple(labels),
            before=self._read(entry.before.files, name)[0] if entry.before else {},
            input=dict(entry.input),
            expect={**entry.expect, **(several.expect if several else {})},
        )

    def _name(self) -> str:
        if not self._entry.file:
            raise CorpusError(f"{self._path.name}: {self._entry.id} has no file name")
        return self._entry.file

    def _read(self, texts: Mapping[str, _Text], name: str) -> tuple[dict[str, str], list[Label]]:
        files: dict[str, str] = {}
        labels: list[Label] = []
        for file, text in texts.items():
            if isinstance(text, _Beside):
                files[file] = (self._path.parent / text.source).read_text(encoding="utf-8")
                continue
            marked = read_marks(text, file, self._entry.klass)
            files[file] = self._values.filled(marked.text, name)
            labels += marked.labels
        return files, labels

    def _label(self, label: _Label, file: str) -> Label:
        return Label(
            file=label.file or file,
            line=label.line,
            klass=label.klass or self._entry.klass,
            severity=label.severity,
            optional=label.optional,
        )


def _single(block: _Block) -> _Text:
    if isinstance(block, _Several):
        raise CorpusError("a block of several files has no single text")
    return block
