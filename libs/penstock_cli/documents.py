"""Definitions in files: read with their places, told apart by kind, their problems drawn."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from penstock_adapters.bundles import read_bundle
from penstock_adapters.yaml import Document, DocumentError, read_documents, render_problems
from penstock_cli.faults import CliFault, ExitCode
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.envelope import first_fault
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Problem
from penstock_runtime.bundles import MANIFEST_NAME, BundleFault

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Definition:
    """A document that says what it defines.

    Attributes:
        kind: `Workflow` or `Agent`.
        name: of what it defines; empty where it has none.
    """

    document: Document
    kind: str
    name: str

    @property
    def value(self) -> JsonObject:
        """What it says."""
        return self.document.value


def read_definitions(file: Path) -> list[Definition]:
    """Read every definition of a YAML or JSON file; `-` is standard input.

    Raises:
        CliFault: the file cannot be read, or a document is none of ours; with line and column.
    """
    text, name = _text(file)
    try:
        documents = read_documents(text, name)
    except DocumentError as error:
        raise CliFault(_pointed(error, text)) from None
    if not documents:
        raise CliFault(f"{name} holds no document", "see docs/guides/getting-started.md")
    return [_definition(document) for document in documents]


def _text(file: Path) -> tuple[str, str]:
    if str(file) == STDIN:
        return sys.stdin.read(), "stdin"
    try:
        return file.read_text(encoding="utf-8"), str(file)
    except FileNotFoundError:
        raise CliFault(f"there is no file {file}", "", ExitCode.NOT_FOUND) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CliFault(f"{file} cannot be read: {error}") from None


def _pointed(error: DocumentError, text: str) -> str:
    lines = text.splitlines()
    if not 1 <= error.line <= len(lines):
        return str(error)
    return f"{error}\n  {lines[error.line - 1]}\n  {' ' * (error.column - 1)}^"


def _definition(document: Document) -> Definition:
    kind = document.value.get("kind", "Workflow" if "nodes" in document.value else "")
    if kind not in ("Workflow", "Agent"):
        line, column = document.locate("/kind")
        raise CliFault(
            f"{document.name}:{line}:{column}: kind: {kind!r} is not known",
            "write `kind: Workflow` or `kind: Agent`",
        )
    name = document.value.get("name")
    return Definition(document, str(kind), name if isinstance(name, str) else "")


def manifest_of(definition: Definition) -> AgentManifest:
    """Read an agent's manifest; one in its own folder is given its bundle's digest.

    Raises:
        CliFault: it is no manifest.
    """
    file = Path(definition.document.name)
    try:
        if file.name == MANIFEST_NAME and file.is_file():
            return read_bundle(file.parent).manifest
        return AgentManifest.model_validate(definition.value)
    except BundleFault as fault:
        raise CliFault(str(fault)) from None
    except ValidationError as error:
        pointer = "/" + "/".join(str(part) for part in error.errors()[0]["loc"])
        line, column = definition.document.locate(pointer)
        place = f"{definition.document.name}:{line}:{column}"
        raise CliFault(f"{place}: {first_fault(error)}") from None


def problems_from(found: Sequence[Mapping[str, str]]) -> tuple[Problem, ...]:
    """Read problems as the gateway tells them."""
    return tuple(Problem.model_validate(item) for item in found)


def drawn(definition: Definition, problems: Sequence[Problem]) -> str:
    """Give every problem with its place, line, caret and suggestion."""
    return render_problems(definition.document, problems)


def placed(definition: Definition, problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Give every problem with its place for scripts."""
    found: list[dict[str, object]] = []
    for problem in problems:
        line, column = definition.document.locate(problem.pointer)
        found.append(
            {"file": definition.document.name, "line": line, "column": column, **dict(problem)}
        )
    return found
