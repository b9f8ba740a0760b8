"""The JSON Schema library, seen through the few operations used here; its only importer.

Patterns are matched by RE2 in linear time, references stay inside the schema, and a validation
follows a bounded number of them, so that no schema can hold up whoever checks against it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Protocol, cast

from jsonschema import Draft202012Validator
from jsonschema import validators as _validators
from jsonschema.exceptions import ValidationError
from pydantic import JsonValue
from pydantic_core import from_json, to_json
from referencing import Registry

from penstock_contracts.values import JsonObject
from penstock_core.workflow.cel_engine import EngineError, Program

SCHEMAS_KEPT = 1_024  # compiled validators that are remembered
PATTERNS_KEPT = 1_024  # compiled patterns that are remembered
MAX_REFERENCES_FOLLOWED = 20_000  # `$ref` steps in one validation


class TooComplexError(Exception):
    """A validation followed more references than it may."""


class Fault(Protocol):
    """The parts of the library's error that are read."""

    absolute_path: Iterable[str | int]
    validator: str
    validator_value: JsonValue
    instance: JsonValue
    schema: JsonValue
    message: str


class Validator(Protocol):
    """The parts of the library's validator that are used."""

    format_checker: object

    def iter_errors(self, instance: JsonValue) -> Iterator[Fault]:
        """Give every fault of a value."""
        ...

    def evolve(self, **changes: object) -> "Validator":
        """Give the same validator with another schema of the same root, or another budget."""
        ...

    def descend(
        self, instance: JsonValue, schema: JsonValue, path: str, schema_path: str
    ) -> Iterator[Fault]:
        """Give every fault of a part of the value."""
        ...


class _Budget:
    """References that one validation may still follow; travels as its format checker."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_REFERENCES_FOLLOWED


_Keyword = Callable[[Validator, JsonValue, JsonValue, JsonValue], "Iterable[object] | None"]


@lru_cache(maxsize=PATTERNS_KEPT)
def compile_pattern(pattern: str) -> Program:
    """Compile a regular expression of RE2.

    Raises:
        EngineError: it is none; look-around and back references are not.
    """
    program = Program("text.matches(pattern)", ("text", "pattern"))
    program.evaluate({"text": "", "pattern": pattern})
    return Program(f"text.matches({_quoted(pattern)})", ("text",))


def _quoted(text: str) -> str:
    """Give a CEL string literal; JSON's escapes are a part of CEL's, but for the slash's."""
    return to_json(text).decode()


def _found(pattern: str, text: str) -> bool:
    try:
        return compile_pattern(pattern).evaluate({"text": text}) is True
    except EngineError:
        return False


def _pattern(
    _validator: Validator, pattern: JsonValue, instance: JsonValue, _schema: JsonValue
) -> Iterator[object]:
    if isinstance(instance, str) and isinstance(pattern, str) and not _found(pattern, instance):
        yield ValidationError("does not match")


def _pattern_properties(
    validator: Validator, patterns: JsonValue, instance: JsonValue, _schema: JsonValue
) -> Iterator[object]:
    if not isinstance(instance, dict) or not isinstance(patterns, dict):
        return
    for pattern, subschema in patterns.items():
        for key, value in instance.items():
            if _found(pattern, key):
                yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Validator, rule: JsonValue, instance: JsonValue, schema: JsonValue
) -> Iterator[object]:
    if not isinstance(instance, dict) or not isinstance(schema, dict):
        return
    extra = extra_keys(schema, instance)
    if rule is False:
        if extra:
            yield ValidationError("unknown")
        return
    for key in extra:
        yield from validator.descend(instance[key], rule, path=key, schema_path=key)


def extra_keys(schema: JsonObject, keys: Iterable[str]) -> list[str]:
    """Give those of `keys` that neither `properties` nor `patternProperties` name."""
    properties = schema.get("properties")
    patterns = schema.get("patternProperties")
    named = properties if isinstance(properties, dict) else {}
    matching = patterns if isinstance(patterns, dict) else {}
    return [
        key
        for key in keys
        if key not in named and not any(_found(pattern, key) for pattern in matching)
    ]


def _ref(
    validator: Validator, ref: JsonValue, instance: JsonValue, schema: JsonValue
) -> Iterable[object] | None:
    budget = validator.format_checker
    if isinstance(budget, _Budget):
        budget.left -= 1
        if budget.left < 0:
            raise TooComplexError
    return _LIBRARY_REF(validator, ref, instance, schema)


def check_metaschema(schema: JsonValue) -> Iterator[Fault]:
    """Give what makes `schema` no JSON Schema of 2020-12."""
    metaschema = cast("JsonObject", Draft202012Validator.META_SCHEMA)
    return _stock(metaschema).iter_errors(schema)


def _stock(schema: JsonValue) -> Validator:
    return cast("Callable[[JsonValue], Validator]", Draft202012Validator)(schema)


def _library_keyword(name: str) -> _Keyword:
    keywords = cast("Mapping[str, _Keyword]", Draft202012Validator.VALIDATORS)
    return keywords[name]


_LIBRARY_REF = _library_keyword("$ref")
# Nothing asserts formats; a format checker is only the vehicle of the budget.
_KEYWORDS: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "$ref": _ref,
    "format": lambda _validator, _format, _instance, _schema: None,
}
_NewValidator = Callable[..., Validator]
_Extend = Callable[[object, Mapping[str, _Keyword]], _NewValidator]
_NEW_VALIDATOR = cast("_Extend", getattr(_validators, "extend"))(  # noqa: B009 - it has no types
    Draft202012Validator, _KEYWORDS
)
_REGISTRY = cast("Callable[[], object]", Registry)()


@lru_cache(maxsize=SCHEMAS_KEPT)
def _compiled(schema: bytes) -> Validator:
    value = from_json(schema)
    if isinstance(value, dict):
        # `$schema` would bring the library's own class back at a reference to the root.
        value = {key: item for key, item in cast("JsonObject", value).items() if key != "$schema"}
    return _NEW_VALIDATOR(value, registry=_REGISTRY)


def validator_of(schema: JsonValue) -> Validator:
    """Give the compiled validator of a schema, with a fresh budget.

    Nothing is fetched: a reference that leaves the schema raises `Unresolvable` when it is met.
    """
    return _compiled(to_json(schema)).evolve(format_checker=_Budget())
