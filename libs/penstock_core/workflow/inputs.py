"""Values against JSON Schemas (2020-12): inputs of workflows and agents, outputs of agents.

Messages name places and rules, never the values that broke them.
"""

from collections.abc import Iterable

from pydantic import JsonValue
from pydantic_core import to_json
from referencing.exceptions import Unresolvable

from penstock_contracts.values import JsonObject
from penstock_core.workflow.schema_engine import (
    Fault,
    TooComplexError,
    Validator,
    extra_keys,
    validator_of,
)

MAX_SHOWN_CHARS = 120  # of a schema's own words in a message


def check_inputs(schema: JsonObject, inputs: JsonValue) -> str | None:
    """Say the first fault of `inputs` as one sentence with its place; None: they fit.

    An empty schema takes anything. Deterministic: among several faults the one nearest to the
    root is told, and among those the first by place.
    """
    if not schema:
        return None
    faults = faults_of(validator_of(schema), inputs)
    if not faults:
        return None
    path, rule = faults[0]
    return f"{place_of(path)}: {rule}" if path else rule


def faults_of(
    validator: Validator, value: JsonValue
) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """Give every fault of a value: its place and what is wrong; nearest to the root first."""
    try:
        found = [(tuple(fault.absolute_path), fault) for fault in validator.iter_errors(value)]
    except TooComplexError:
        return (((), "the schema's references cannot be followed in reasonable time"),)
    except RecursionError:
        return (((), "the value or the schema is nested too deeply"),)
    except Unresolvable:
        return (((), "the schema refers to something outside of itself"),)
    found.sort(key=lambda item: (len(item[0]), [str(step) for step in item[0]]))
    return tuple((path, _rule(fault)) for path, fault in found)


def place_of(path: Iterable[str | int]) -> str:
    """Give a place as people write it: `channels[0].url`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _rule(fault: Fault) -> str:
    wanted = fault.validator_value
    match fault.validator:
        case "type":
            return f"must be {_types(wanted)}, not {kind_of(fault.instance)}"
        case "required" if isinstance(wanted, list) and isinstance(fault.instance, dict):
            missing = [str(name) for name in wanted if name not in fault.instance]
            named = next((name for name in missing if f"'{name}'" in fault.message), missing[0])
            return f"{named!r} is required"
        case "additionalProperties" if isinstance(fault.instance, dict):
            schema = fault.schema if isinstance(fault.schema, dict) else {}
            extra = ", ".join(repr(key) for key in extra_keys(schema, fault.instance))
            return f"unknown: {extra}"[:MAX_SHOWN_CHARS]
        case "enum" if isinstance(wanted, list):
            return f"must be one of {', '.join(_shown(item) for item in wanted)}"
        case "const":
            return f"must be {_shown(wanted)}"
        case "pattern":
            return f"does not match the pattern {wanted}"
        case "anyOf" | "oneOf":
            return "fits none, or more than one, of the forms that are allowed"
        case keyword:
            return f"does not keep to {keyword}: {_shown(wanted)}"


def _shown(value: JsonValue) -> str:
    text = to_json(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _types(wanted: JsonValue) -> str:
    names = wanted if isinstance(wanted, list) else [wanted]
    return " or ".join(f"of type {name}" for name in names)


def kind_of(value: JsonValue) -> str:
    """Give the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"


def with_defaults(schema: JsonObject, inputs: JsonObject) -> JsonObject:
    """Give `inputs` with the schema's top-level defaults filled in; neither is changed."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return inputs
    missing = {
        name: rule["default"]
        for name, rule in properties.items()
        if name not in inputs and isinstance(rule, dict) and "default" in rule
    }
    return {**inputs, **missing} if missing else inputs
