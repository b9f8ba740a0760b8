"""Whether an agent did what its case expects; every difference with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import JsonValue

from penstock_cli.agent.cases import Expected, Received
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import Outcome, PlannedChange
from penstock_contracts.values import JsonObject

SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened.

    Attributes:
        plan: of the first phase, if there was one.
        folder: with what the agent has changed.
    """

    result: ReportResult
    plan: PlannedChange | None
    printed: Sequence[str]
    artifacts: Sequence[str]
    received: Sequence[JsonObject]
    folder: Path


def differences(expected: Expected, seen: Seen) -> Iterator[str]:
    """Give every difference as a sentence; none: all is as expected."""
    ended = list(_ending(expected, seen.result))
    yield from ended
    if ended:
        return  # whatever follows, follows from that
    output = seen.result.output or {}
    if expected.output is not None:
        yield from unequal(expected.output, output, "output")
    if expected.includes is not None:
        yield from missing(expected.includes, output, "output")
    if expected.fits is not None:
        yield from _misfits(expected.fits, output)
    if expected.plan is not None:
        plan: JsonObject = {} if seen.plan is None else seen.plan.model_dump(mode="json")
        yield from missing(expected.plan, plan, "plan")
    yield from _rest(expected, seen)


def _ending(expected: Expected, result: ReportResult) -> Iterator[str]:
    ends = "succeeded" if result.outcome is Outcome.SUCCEEDED else "failed"
    error = result.error
    if ends != expected.ends:
        why = "" if error is None else f": {error.code}: {error.message}"
        yield f"it {ends}, and {expected.ends} was expected{why}"
        return
    if error is None:
        return
    if expected.code and error.code != expected.code:
        yield f"error code is {error.code}, not {expected.code}: {error.message}"
    if expected.error not in error.message:
        yield f"error is {_shown(error.message)}, without {_shown(expected.error)}"
    if expected.partial is not None:
        yield from missing(expected.partial, error.partial, "partial")


def _rest(expected: Expected, seen: Seen) -> Iterator[str]:
    printed = "\n".join(seen.printed)
    for words in expected.says:
        if words not in printed:
            yield f"nothing printed says {_shown(words)}"
    for name in expected.artifacts:
        if name not in seen.artifacts:
            there = ", ".join(seen.artifacts) or "none"
            yield f"artifact {name} is missing; there are: {there}"
    for name, content in expected.files.items():
        yield from _file(name, content, seen.folder)
    if expected.received is not None:
        yield from _requests(expected.received, seen.received)


def _file(name: str, content: str | None, folder: Path) -> Iterator[str]:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        yield f"{name} lies outside the case's folder"
        return
    found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    if found != content:
        is_ = "is not there" if found is None else f"holds {_shown(found)}"
        yield f"file {name} {is_}" + (f", not {_shown(content)}" if content is not None else "")


def _requests(expected: Sequence[Received], received: Sequence[JsonObject]) -> Iterator[str]:
    if len(expected) != len(received):
        yield f"{len(received)} requests were received, {len(expected)} were expected"
    for number, (wanted, request) in enumerate(zip(expected, received, strict=False), 1):
        asked: JsonObject = {
            "method": wanted.method,
            "headers": {name.lower(): value for name, value in wanted.headers.items()},
        }
        if wanted.body is not None:
            asked["body"] = wanted.body
        yield from missing(asked, request, f"request {number}")


def _misfits(schema: JsonObject, output: JsonObject) -> Iterator[str]:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"fits: {error.json_path}: {error.message}"
        return
    fault = best_match(Draft202012Validator(schema).iter_errors(output))
    if fault is not None:
        yield f"output does not fit: {fault.json_path}: {cut(fault.message)}"


def unequal(expected: JsonValue, found: JsonValue, place: str) -> Iterator[str]:
    """Give every place in which two values differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                yield f"{place}.{name} is missing"
            elif name not in expected:
                yield f"{place}.{name} was not expected: {_shown(found[name])}"
            else:
                yield from unequal(expected[name], found[name], f"{place}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (wanted, item) in enumerate(zip(expected, found, strict=True)):
            yield from unequal(wanted, item, f"{place}[{number}]")
    elif not same(expected, found):
        yield f"{place} is {_shown(found)}, not {_shown(expected)}"


def missing(expected: object, found: object, place: str) -> Iterator[str]:
    """Give everything of `expected` that is not in `found`."""
    if isinstance(expected, Mapping):
        if not isinstance(found, dict):
            yield f"{place} is {_shown(found)}, not an object"
            return
        given = cast("dict[str, object]", found)
        for name, value in cast("Mapping[str, object]", expected).items():
            if name in given:
                yield from missing(value, given[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is missing"
    elif isinstance(expected, list):
        yield from _missing_items(cast("list[object]", expected), found, place)
    elif not same(expected, found):
        yield f"{place} is {_shown(found)}, not {_shown(expected)}"


def _missing_items(expected: list[object], found: object, place: str) -> Iterator[str]:
    if not isinstance(found, list):
        yield f"{place} is {_shown(found)}, not a list"
        return
    left = iter(cast("list[object]", found))
    for wanted in expected:
        # Items are looked for in order; what lies between them does not matter.
        if not any(not any(missing(wanted, item, place)) for item in left):
            yield f"{place} has no {_shown(wanted)} (in this order)"
            return


def same(one: object, other: object) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def _shown(value: object) -> str:
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def cut(text: str) -> str:
    """Shorten what is told of a value."""
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
