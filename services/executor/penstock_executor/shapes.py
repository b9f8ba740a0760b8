"""JSON Schemas of agents, compiled once a digest; faults name the place and never the value."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic import JsonValue
from referencing import Registry

_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "title", "description"})
_MAX_TEXT = 300
_ALTERNATIVES = frozenset({"oneOf", "anyOf"})
# These messages speak of the schema or of names only.
_SAFE = frozenset({"required", "additionalProperties", "minProperties", "dependentRequired"})


class Shape:
    """A compiled schema.

    Raises:
        ValueError: the schema itself is not valid.
    """

    def __init__(self, schema: Mapping[str, JsonValue]) -> None:
        asked = {name: value for name, value in schema.items() if name not in _ANNOTATIONS}
        self._anything = not asked
        self._any_object = asked == {"type": "object"}
        self._validator: Any = None
        if not self._anything and not self._any_object:
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise ValueError(f"{error.json_path}: {error.message[:_MAX_TEXT]}") from None
            # An empty registry: a reference is never fetched from anywhere.
            self._validator = Draft202012Validator(schema, registry=Registry())

    def fault(self, value: JsonValue) -> str | None:
        """Say the most telling fault as `place: what is wrong`, or None if the value fits."""
        if self._anything:
            return None
        if self._any_object:
            return None if isinstance(value, dict) else "$: is not an object"
        found: ValidationError | None = best_match(self._validator.iter_errors(value))
        while found is not None and isinstance(found.parent, ValidationError):
            found = found.parent  # which alternative is meant is told by their constants
        return None if found is None else _told(found)


def _told(error: ValidationError) -> str:
    if error.validator in _ALTERNATIVES and error.context:
        return _of_alternatives(error)
    return f"{error.json_path}: {_what(error)}"


def _of_alternatives(error: ValidationError) -> str:
    """Tell what is wrong with the alternative that a constant field says is meant."""
    alternatives: dict[object, list[ValidationError]] = {}
    for each in error.context or ():
        alternatives.setdefault(each.relative_schema_path[0], []).append(each)
    meant = [
        faults for faults in alternatives.values() if all(f.validator != "const" for f in faults)
    ]
    if len(meant) == 1:
        error = best_match(meant[0]) or error
        return _told(error) if error in meant[0] else f"{error.json_path}: {_what(error)}"
    constants = [f for faults in alternatives.values() for f in faults if f.validator == "const"]
    if not meant and len({fault.json_path for fault in constants}) == 1:
        known = ", ".join(str(fault.validator_value) for fault in constants)
        return f"{constants[0].json_path}: is none of {known}"[:_MAX_TEXT]
    deepest = best_match([error]) or error
    return f"{deepest.json_path}: {_what(deepest)}"


def _what(error: ValidationError) -> str:
    rule, asked = str(error.validator), error.validator_value
    if rule in _SAFE:
        return error.message[:_MAX_TEXT]
    if rule == "type":
        return f"is not of type {asked}"
    return f"does not fit `{rule}: {str(asked)[:_MAX_TEXT]}`"
