"""Answers to a gate's form: `name=value` from the command line, typed by the form's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from penstock_cli.client import Json
from penstock_cli.faults import CliFault, ExitCode

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def answers_from(given: Sequence[str], form: Json) -> Json:
    """Read answers; whether they fit the form as a whole is for the gate to say.

    Raises:
        CliFault: one is not `name=value`, the form has no such field, or its type is another.
    """
    answers: Json = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CliFault(f"{text!r} is not name=value", "", ExitCode.USAGE)
        answers[name] = answer_of(name, value, form)
    return answers


def answer_of(name: str, text: str, form: Json) -> object:
    """Read the answer to one field of the form.

    Raises:
        CliFault: as above.
    """
    fields = fields_of(form)
    if name not in fields and form.get("additionalProperties") is False:
        known = ", ".join(fields) or "none at all"
        raise CliFault(f"the gate asks for no {name!r}", f"it asks for {known}", ExitCode.USAGE)
    schema = fields.get(name, {})
    choices = schema.get("enum")
    if isinstance(choices, list):
        return _chosen(name, text, cast("list[object]", choices))
    wanted = schema.get("type")
    kinds = cast("list[str]", wanted) if isinstance(wanted, list) else [str(wanted or "")]
    value = _typed(text, [kind for kind in kinds if kind in _TYPES])
    if value is not None:
        return value[0]
    if "string" in kinds or not wanted:
        return text
    raise CliFault(f"{name}: {text!r} is not of type {' or '.join(kinds)}", "", ExitCode.USAGE)


def fields_of(form: Json) -> dict[str, Json]:
    """Give the schema of each field of the form."""
    found = form.get("properties")
    fields = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    return {
        name: cast("Json", schema) if isinstance(schema, dict) else {}
        for name, schema in fields.items()
    }


def asked_for(form: Json, given: Json, ask: Callable[[str], str]) -> Json:
    """Ask for the required answers that were not given."""
    required = form.get("required")
    names = cast("Iterable[object]", required) if isinstance(required, list) else ()
    lacking = [str(name) for name in names if name not in given]
    return {**given, **{name: answer_of(name, ask(name), form) for name in lacking}}


def _chosen(name: str, text: str, choices: Sequence[object]) -> object:
    for choice in choices:
        if text == (choice if isinstance(choice, str) else json.dumps(choice)):
            return choice
    shown = ", ".join(c if isinstance(c, str) else json.dumps(c) for c in choices)
    raise CliFault(f"{name}: {text!r} is none of {shown}", "", ExitCode.USAGE)


def _typed(text: str, kinds: Sequence[str]) -> tuple[object] | None:
    """Read JSON of one of the types; None if it is of none of them."""
    try:
        value = cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None
    for kind in kinds:
        is_bool = isinstance(value, bool)
        if isinstance(value, _TYPES[kind]) and is_bool == (kind == "boolean"):
            return (value,)
    return None
