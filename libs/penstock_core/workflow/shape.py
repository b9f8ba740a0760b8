"""The form of a document: pydantic's faults as problems, and what can still be read of it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from penstock_contracts.approval.v1 import Approvers
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import (
    Gate,
    Node,
    Problem,
    Retry,
    Timeouts,
    TriggerRule,
    WorkflowDefinition,
)
from penstock_core.workflow.problems import ProblemCode, did_you_mean, pointer_of, problem

Place = tuple[str | int, ...]
_PLACEHOLDER_NAME = "unnamed"
_OWN_NAMES = {"with": "with_", "apiVersion": "api_version"}


@dataclass(frozen=True, slots=True)
class Form:
    """What a document says, as far as it can be read.

    Attributes:
        definition: the document without its faulty parts; None: too little is left of it.
        problems: faults of form.
        names: every node that the document names, faulty ones as well.
        doubtful: nodes with a faulty part; what is said about them may follow from that fault.
    """

    definition: WorkflowDefinition | None
    problems: tuple[Problem, ...]
    names: frozenset[str]
    doubtful: frozenset[str]


def read_form(document: JsonObject) -> Form:
    """Read a document."""
    names = _node_names(document)
    try:
        definition = WorkflowDefinition.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
        places = [_place(document, detail["loc"]) for detail in details]
        problems = dict.fromkeys(
            _told(document, place, detail) for place, detail in zip(places, details, strict=True)
        )
        doubtful = frozenset(
            str(place[1]) for place in places if len(place) > 1 and place[0] == "nodes"
        )
        rest = _without(document, places)
        return Form(_read_rest(rest), tuple(problems), names, doubtful)
    return Form(definition, (), names, frozenset())


def _read_rest(document: JsonObject) -> WorkflowDefinition | None:
    try:
        return WorkflowDefinition.model_validate(document)
    except ValidationError:
        return None


def _node_names(document: JsonObject) -> frozenset[str]:
    nodes = document.get("nodes")
    return frozenset(nodes) if isinstance(nodes, dict) else frozenset()


def _place(document: JsonObject, loc: Sequence[str | int]) -> Place:
    """Give the place in the document: what the model adds to it (`[key]`) is left out.

    A field under an alias and under its own name are the same to the model; the document's
    spelling is the one to be shown.
    """
    place = tuple(token for token in loc if token != "[key]")  # noqa: S105 - pydantic's marker
    at = _value_at(document, place[:-1])
    if place and isinstance(at, dict) and place[-1] not in at:
        other = _OWN_NAMES.get(str(place[-1]))
        if other in at:
            return (*place[:-1], other)
    return place


def _value_at(document: JsonValue, place: Place) -> JsonValue:
    value = document
    for token in place:
        match value, token:
            case dict(), str() if token in value:
                value = value[token]
            case list(), int() if token < len(value):
                value = value[token]
            case _:
                return None
    return value


def _told(document: JsonObject, place: Place, detail: ErrorDetails) -> Problem:
    pointer = pointer_of(*place)
    name = str(place[-1]) if place else "the document"
    context = cast("Mapping[str, object]", detail.get("ctx", {}))
    match detail["type"]:
        case "extra_forbidden":
            fields = _fields_at(place[:-1])
            hint = did_you_mean(name, fields - _keys_at(document, place[:-1]))
            return problem(pointer, ProblemCode.UNKNOWN_FIELD, f"unknown field {name!r}", hint)
        case "missing":
            return problem(pointer, ProblemCode.MISSING_FIELD, f"{name!r} is missing", _hint(name))
        case "string_pattern_mismatch":
            return problem(pointer, ProblemCode.INVALID_VALUE, *_bad_name(place, context))
        case "too_short" if name == "nodes":
            return problem(pointer, ProblemCode.MISSING_FIELD, "there are no nodes", _hint(name))
        case "model_type" | "dict_type" | "model_attributes_type":
            message = f"{name}: fields are expected here"
            return problem(pointer, ProblemCode.INVALID_VALUE, message)
        case "tuple_type":
            message = f"{name}: a list is expected here"
            return problem(pointer, ProblemCode.INVALID_VALUE, message, f"write `{name}: [...]`")
        case "value_error":
            message = str(context.get("error", detail["msg"]))
            return problem(pointer, ProblemCode.INVALID_VALUE, message)
        case _:
            message = f"{name}: {_lowered(detail['msg'])}"
            return problem(pointer, ProblemCode.INVALID_VALUE, message)


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _hint(name: str) -> str:
    hints = {
        "name": "give the workflow a name: `name: my-workflow`",
        "nodes": "a workflow has at least one node: `nodes: {scan: {agent: security-scanner}}`",
        "on": "say which triggers: `on: nats.scan.*`",
    }
    return hints.get(name, "")


def _bad_name(place: Place, context: Mapping[str, object]) -> tuple[str, str]:
    if len(place) == 2 and place[0] == "nodes":
        given = str(place[1])
        meant = given.lower().replace("-", "_")
        hint = f"write `{meant}`" if meant != given else ""
        return f"{given!r} is no name for a node: a-z, 0-9 and _, beginning with a letter", hint
    if len(place) == 4 and place[2] == "needs":
        return "no name of a node: a-z, 0-9 and _, beginning with a letter", ""
    if place and place[-1] in ("name", "agent", "pool"):
        return f"{place[-1]}: a-z, 0-9, - and _ only, at most 63 characters", ""
    return f"does not match {context.get('pattern', 'the pattern')}", ""


_MODELS: dict[str, type[BaseModel]] = {
    "retry": Retry,
    "timeout": Timeouts,
    "approval": Gate,
    "approvers": Approvers,
}


def _fields_at(place: Place) -> frozenset[str]:
    """Give the fields that a document may have at a place."""
    model: type[BaseModel]
    if not place:
        model = WorkflowDefinition
    elif place[0] == "triggers":
        model = TriggerRule
    elif len(place) == 2:
        model = Node
    else:
        model = _MODELS.get(str(place[-1]), Node)
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _keys_at(document: JsonObject, place: Place) -> frozenset[str]:
    value = _value_at(document, place)
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _without(document: JsonObject, places: Sequence[Place]) -> JsonObject:
    """Give the document without the parts at `places`, with a name if it had none."""
    rest = copy.deepcopy(document)
    for place in sorted(places, key=_backwards, reverse=True):
        holder = _value_at(rest, place[:-1]) if place else None
        match holder, place[-1] if place else None:
            case dict(), str() as key:
                holder.pop(key, None)
            case list(), int() as index if index < len(holder):
                holder.pop(index)
            case _:
                continue
    rest.setdefault("name", _PLACEHOLDER_NAME)
    return rest


def _backwards(place: Place) -> list[tuple[int, str]]:
    """Sort so that of a list's positions the last is taken away first."""
    return [(token, "") if isinstance(token, int) else (-1, token) for token in place]
