"""The cases of an agent: what it is given, and what is expected of it.

A case is a folder `fixtures/<name>/` with a `case.yaml`, and beside it the folders that its input
names. Nothing of it is changed by a test: agents work on copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock_adapters.yaml import Document, DocumentError, read_document
from penstock_cli.faults import CliFault, ExitCode
from penstock_contracts.envelope import first_fault
from penstock_contracts.values import JsonObject
from penstock_core.workflow.templating import escape_token

FOLDER, FILE = "fixtures", "case.yaml"
MAX_CASES = 1_000
MAX_ANSWERS = 100


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ends(StrEnum):
    """How an agent is expected to end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Received(_Strict):
    """One request that the receiver is expected to have had; only what is named is compared."""

    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: JsonObject | str | None = None


class Expected(_Strict):
    """What is compared; what is not named may be anything.

    Attributes:
        code: of the failure, as `docs/reference/codes.md` lists them.
        error: words in its message.
        output: the output, exactly.
        includes: a part of the output: objects by the fields named, lists by the items named,
            in their order.
        fits: a JSON Schema that the output fits, beside the manifest's own.
        plan: a part of the plan: of `effect`, `base` and `summary`.
        says: words in what was printed, each.
        partial: a part of what stands beside the failure.
        artifacts: names of files that were left.
        files: content of files afterwards, by their place beside the case; null: there is none.
        received: requests to the receiver, in their order.
    """

    ends: Ends = Ends.SUCCEEDED
    code: str = ""
    error: str = ""
    output: JsonObject | None = None
    includes: JsonObject | None = None
    fits: JsonObject | None = None
    plan: JsonObject | None = None
    says: tuple[str, ...] = ()
    partial: JsonObject | None = None
    artifacts: tuple[str, ...] = ()
    files: Mapping[str, str | None] = {}
    received: tuple[Received, ...] | None = None


class Receiver(_Strict):
    """An HTTP server on loopback; `{{receiver}}` in the input is its URL.

    Attributes:
        answers: statuses of its first answers; then 204.
    """

    answers: tuple[int, ...] = Field(default=(), max_length=MAX_ANSWERS)


class CaseFile(_Strict):
    """A `case.yaml`.

    Attributes:
        secrets: values by the names of the manifest; made up for the test.
        apply: of an agent that plans: go on to the effect, as if a person had allowed it.
    """

    description: str = ""
    input: JsonObject = {}
    secrets: Mapping[str, str] = {}
    feedback: str = ""
    apply: bool = True
    receiver: Receiver | None = None
    expect: Expected = Expected()


@dataclass(frozen=True, slots=True)
class Case:
    """One case and where it lies."""

    name: str
    folder: Path
    file: CaseFile


def read_cases(agent: Path, only: str = "") -> list[Case]:
    """Read all cases of an agent, or the one of that name.

    Raises:
        CliFault: there is none, or one cannot be read; with line and column.
    """
    places = sorted(agent.glob(f"{FOLDER}/*/{FILE}"))[:MAX_CASES]
    if only:
        places = [place for place in places if place.parent.name == only]
    if not places:
        what = f"no case {only}" if only else "no cases"
        mend = f"a case is a folder {FOLDER}/NAME with a {FILE} (docs/guides/agent-development.md)"
        raise CliFault(f"{agent} has {what}", mend, ExitCode.NOT_FOUND)
    return [Case(place.parent.name, place.parent, _read(place)) for place in places]


def _read(place: Path) -> CaseFile:
    try:
        document = read_document(place.read_text(encoding="utf-8"), str(place))
    except DocumentError as error:
        raise CliFault(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CliFault(f"{place} cannot be read: {error}") from None
    try:
        return CaseFile.model_validate(document.value)
    except ValidationError as error:
        raise CliFault(f"{_place(document, error)}: {first_fault(error)}") from None


def _place(document: Document, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    pointer = "".join(f"/{escape_token(str(part))}" for part in first["loc"])
    line, column = document.locate(pointer, at_key=True)
    return f"{document.name}:{line}:{column}"
