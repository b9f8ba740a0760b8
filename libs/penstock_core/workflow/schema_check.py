"""Whether a JSON Schema that somebody wrote can be used: sound, closed in itself, and bounded."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from penstock_contracts.values import JsonObject
from penstock_core.workflow.cel_engine import EngineError
from penstock_core.workflow.schema_engine import check_metaschema, compile_pattern
from penstock_core.workflow.schemas import resolve_ref
from penstock_core.workflow.templating import escape_token

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_DEPTH = 48  # levels of nesting
MAX_IN_PLACE = 1_000  # subschemas that apply to one and the same value

KEYWORDS = frozenset(
    {
        *("$schema", "$ref", "$defs", "$comment", "title", "description", "default"),
        *("examples", "deprecated", "readOnly", "writeOnly", "type", "enum", "const", "allOf"),
        *("anyOf", "oneOf", "not", "if", "then", "else", "properties", "patternProperties"),
        *("additionalProperties", "propertyNames", "required", "minProperties"),
        *("maxProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
        *("items", "prefixItems", "contains", "minContains", "maxContains", "minItems"),
        *("maxItems", "uniqueItems", "unevaluatedItems", "minLength", "maxLength", "pattern"),
        *("format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("contentEncoding", "contentMediaType"),
    }
)
"""What a schema may say; `$id`, anchors and dynamic references are left out on purpose."""
_ONE = ("not", "if", "then", "else", "additionalProperties", "propertyNames", "items", "contains")
_ONE_MORE = ("unevaluatedProperties", "unevaluatedItems")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """One fault of a schema, with its RFC 6901 pointer inside it."""

    pointer: str
    message: str
    suggestion: str = ""


def check_schema(schema: JsonValue) -> tuple[SchemaFault, ...]:
    """Give every fault of a schema; none: it may be compiled and used."""
    if _depth_over(schema, MAX_SCHEMA_DEPTH):
        return (SchemaFault("", f"the schema is nested over {MAX_SCHEMA_DEPTH} deep"),)
    unsound = (
        SchemaFault(
            "".join(f"/{escape_token(str(step))}" for step in fault.absolute_path),
            _metaschema_message(fault.validator, fault.validator_value),
        )
        for fault in check_metaschema(schema)
    )
    if told := tuple(dict.fromkeys(unsound)):
        return told
    found = tuple(
        fault for pointer, sub in subschemas(schema, "") for fault in _faults(schema, sub, pointer)
    )
    return found or tuple(_endless(schema))


def _metaschema_message(keyword: str, wanted: JsonValue) -> str:
    match keyword, wanted:
        case "type", str() | list():
            names = wanted if isinstance(wanted, list) else [wanted]
            return f"a JSON Schema has {' or '.join(str(name) for name in names)} here"
        case "anyOf", _:
            return "not a type of JSON Schema (string, number, integer, boolean, object, ...)"
        case _:
            return f"not a JSON Schema of 2020-12 (rule {keyword})"


def subschemas(schema: JsonValue, pointer: str) -> Iterator[tuple[str, JsonObject]]:
    """Give a schema and all that are written inside it, with their pointers."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for place, sub in _children(schema):
        yield from subschemas(sub, f"{pointer}{place}")


def _children(schema: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    for keyword in (*_ONE, *_ONE_MORE):
        if keyword in schema:
            yield f"/{keyword}", schema[keyword]
    for keyword in _LISTS:
        value = schema.get(keyword)
        if isinstance(value, list):
            for index, sub in enumerate(value):
                yield f"/{keyword}/{index}", sub
    for keyword in _MAPS:
        value = schema.get(keyword)
        if isinstance(value, dict):
            for name, sub in value.items():
                yield f"/{keyword}/{escape_token(name)}", sub


def _faults(root: JsonValue, schema: JsonObject, pointer: str) -> Iterator[SchemaFault]:
    for keyword in schema:
        if keyword not in KEYWORDS and not keyword.startswith("x-"):
            hint = "fields of an object stand under `properties`"
            message = f"{keyword!r} is no keyword of JSON Schema that is known here"
            yield SchemaFault(f"{pointer}/{escape_token(keyword)}", message, hint)
    if schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        hint = f"leave it out, or write {DIALECT}"
        yield SchemaFault(f"{pointer}/$schema", "only JSON Schema 2020-12 is known here", hint)
    ref = schema.get("$ref")
    if isinstance(ref, str) and not _leads_somewhere(root, ref):
        hint = "write `#/$defs/name` and put the schema under `$defs`"
        yield SchemaFault(f"{pointer}/$ref", f"{ref!r} is not a place in this schema", hint)
    yield from _pattern_faults(schema, pointer)


def _leads_somewhere(root: JsonValue, ref: str) -> bool:
    if ref == "#":
        return True
    missing = resolve_ref(root, ref) == {}
    return ref.startswith("#/") and (not missing or _is_empty_schema(root, ref))


def _is_empty_schema(root: JsonValue, ref: str) -> bool:
    """Tell an empty schema that is there from a place that is not."""
    parent, _, last = ref.rpartition("/")
    holder = resolve_ref(root, parent)
    return isinstance(holder, dict) and last.replace("~1", "/").replace("~0", "~") in holder


def _pattern_faults(schema: JsonObject, pointer: str) -> Iterator[SchemaFault]:
    hint = "patterns are RE2: no look-around, no back references"
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _compiles(pattern):
        yield SchemaFault(f"{pointer}/pattern", f"not a pattern: {pattern[:80]}", hint)
    keys = schema.get("patternProperties")
    for key in keys if isinstance(keys, dict) else ():
        if not _compiles(key):
            place = f"{pointer}/patternProperties/{escape_token(key)}"
            yield SchemaFault(place, f"not a pattern: {key[:80]}", hint)


def _compiles(pattern: str) -> bool:
    try:
        compile_pattern(pattern)
    except EngineError:
        return False
    return True


def _endless(schema: JsonValue) -> Iterator[SchemaFault]:
    """Find schemas that apply to one value without end, or too often.

    Follows what applies to the same value (`$ref`, `allOf` and their like), depth first.
    """
    sizes: dict[int, int | None] = {}

    def size(sub: JsonValue) -> int | None:
        """Count what applies with `sub`; None: it comes back to itself."""
        if not isinstance(sub, dict):
            return 1
        known = sizes.get(id(sub), 0)
        if known != 0:
            return known
        sizes[id(sub)] = None
        total = 1
        for child in _in_place(schema, sub):
            count = size(child)
            if count is None:
                return None
            total += count
        sizes[id(sub)] = total
        return total

    for pointer, sub in subschemas(schema, ""):
        count = size(sub)
        if count is None:
            yield SchemaFault(pointer, "the schema refers to itself without end")
            return
        if count > MAX_IN_PLACE:
            yield SchemaFault(pointer, f"over {MAX_IN_PLACE} schemas apply to the same value")
            return


def _in_place(root: JsonValue, schema: JsonObject) -> Iterator[JsonValue]:
    ref = schema.get("$ref")
    if isinstance(ref, str):
        yield resolve_ref(root, ref) if ref != "#" else root
    for place, sub in _children(schema):
        if place.split("/")[1] in _IN_PLACE:
            yield sub


def _depth_over(value: JsonValue, left: int) -> bool:
    if left < 0:
        return True
    match value:
        case dict():
            return any(_depth_over(item, left - 1) for item in value.values())
        case list():
            return any(_depth_over(item, left - 1) for item in value)
        case _:
            return False
