"""JSON Schemas of agents, compiled once a digest; faults name the place and never the value."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic import JsonValue
from referencing import Registry

_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "title", "description"})
_MAX_TEXT = 300
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
        return None if found is None else f"{found.json_path}: {_what(found)}"


def _what(error: ValidationError) -> str:
    rule, asked = str(error.validator), error.validator_value
    if rule in _SAFE:
        return error.message[:_MAX_TEXT]
    if rule == "type":
        return f"is not of type {asked}"
    return f"does not fit `{rule}: {str(asked)[:_MAX_TEXT]}`"
