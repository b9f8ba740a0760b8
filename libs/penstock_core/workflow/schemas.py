"""What a JSON Schema says about a value: its types, its fields, whether another one fits it.

Unknown is always allowed: a fault is told only where the two schemas contradict each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from penstock_contracts.values import JsonObject
from penstock_core.workflow.inputs import kind_of
from penstock_core.workflow.schema_engine import extra_keys

MAX_REF_STEPS = 32  # `$ref` to `$ref`
MAX_MATCH_DEPTH = 16  # levels down to which two schemas are compared
ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_ARRAY, _OBJECT = frozenset({"array"}), frozenset({"object"})
_IN_PLACE = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Shape:
    """A place in a schema: the schema there, and the root that its references start from."""

    root: JsonValue
    schema: JsonValue

    def at(self, schema: JsonValue) -> "Shape":
        """Give another place of the same schema."""
        return Shape(self.root, schema)

    @property
    def rules(self) -> JsonObject:
        """The schema with its `$ref` followed; empty: anything goes."""
        schema = self.schema
        for _ in range(MAX_REF_STEPS):
            if not isinstance(schema, dict):
                return {}
            ref = schema.get("$ref")
            if not isinstance(ref, str):
                return schema
            schema = resolve_ref(self.root, ref)
        return {}

    @property
    def types(self) -> frozenset[str]:
        """JSON types that the value may have; an integer counts as itself, not as a number."""
        return _types_of(self, 0)


ANYTHING = Shape({}, {})


def shape_of(schema: JsonValue) -> Shape:
    """Give the shape of a whole schema."""
    return Shape(schema, schema)


def resolve_ref(root: JsonValue, ref: str) -> JsonValue:
    """Follow a reference inside a schema; `{}` when it leads nowhere (told elsewhere)."""
    if not ref.startswith("#"):
        return {}
    value = root
    for token in ref[1:].split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        match value:
            case dict() if key in value:
                value = value[key]
            case list() if key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            case _:
                return {}
    return value


def _types_of(shape: Shape, depth: int) -> frozenset[str]:
    rules = shape.rules
    if depth > MAX_MATCH_DEPTH:
        return ALL_TYPES
    found = _stated_types(rules)
    for sub in _list_of(rules, "allOf"):
        found &= _types_of(shape.at(sub), depth + 1)
    for keyword in ("anyOf", "oneOf"):
        branches = _list_of(rules, keyword)
        if branches:
            found &= frozenset().union(*(_types_of(shape.at(b), depth + 1) for b in branches))
    return found


def _stated_types(rules: JsonObject) -> frozenset[str]:
    found = ALL_TYPES
    stated = rules.get("type")
    if isinstance(stated, str):
        found = _widened({stated})
    elif isinstance(stated, list):
        found = _widened({item for item in stated if isinstance(item, str)})
    if "const" in rules:
        found &= _widened({kind_of(rules["const"])})
    if enum := _list_of(rules, "enum"):
        found &= _widened({kind_of(item) for item in enum})
    return found


def _widened(types: set[str]) -> frozenset[str]:
    return frozenset(types | {"integer"}) if "number" in types else frozenset(types)


def _list_of(rules: JsonObject, keyword: str) -> list[JsonValue]:
    value = rules.get(keyword)
    return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Absent:
    """A step that leads nowhere.

    Attributes:
        reason: what is wrong, to be read after the name of the place.
        known: the names that would have led on.
    """

    reason: str
    known: tuple[str, ...] = ()


def step_into(shape: Shape, step: str | int) -> Shape | Absent:
    """Go to a field or a list position.

    A field that `properties` does not name is absent unless the schema says that there may be
    others (`additionalProperties: true` or a schema, `patternProperties`).
    """
    wanted = "object" if isinstance(step, str) else "array"
    types = shape.types
    if wanted not in types:
        kinds = " or ".join(sorted(types)) or "nothing"
        return Absent(f"is {kinds}, which has no {'fields' if wanted == 'object' else 'items'}")
    return _into(shape, step, 0) or ANYTHING


def _into(shape: Shape, step: str | int, depth: int) -> Shape | Absent | None:
    """Look in the schema itself, then in its branches: one that knows the step is enough.

    None: nothing is said about it.
    """
    if depth > MAX_MATCH_DEPTH:
        return None
    rules = shape.rules
    own = _own_field(shape, rules, step) if isinstance(step, str) else _own_item(shape, rules, step)
    if isinstance(own, Shape):
        return own
    kind = "object" if isinstance(step, str) else "array"
    branches = [shape.at(sub) for keyword in _IN_PLACE for sub in _list_of(rules, keyword)]
    # A branch for values of another type (often null) neither knows the step nor forbids it.
    found = [_into(branch, step, depth + 1) for branch in branches if kind in branch.types]
    places = [place for place in found if isinstance(place, Shape)]
    if places:
        return places[0] if len(places) == 1 else ANYTHING
    absent = [item for item in (own, *found) if isinstance(item, Absent)]
    if not absent or (own is None and None in found):
        return None
    known = tuple(dict.fromkeys(name for item in absent for name in item.known))
    return Absent(absent[0].reason, known)


def _own_field(shape: Shape, rules: JsonObject, name: str) -> Shape | Absent | None:
    """None: the schema itself says nothing about fields."""
    properties = rules.get("properties")
    named = properties if isinstance(properties, dict) else {}
    if name in named:
        return shape.at(named[name])
    others = rules.get("additionalProperties")
    if isinstance(others, dict):
        return shape.at(others)
    if others is True or (rules.get("patternProperties") and not extra_keys_closed(rules, name)):
        return ANYTHING
    if named or others is False:
        return Absent(f"has no field {name!r}", tuple(named))
    return None


def extra_keys_closed(rules: JsonObject, name: str) -> bool:
    """Tell whether a closed schema leaves no place for `name`."""
    return rules.get("additionalProperties") is False and bool(extra_keys(rules, (name,)))


def _own_item(shape: Shape, rules: JsonObject, index: int) -> Shape | Absent | None:
    prefix = _list_of(rules, "prefixItems")
    if index < len(prefix):
        return shape.at(prefix[index])
    if "items" not in rules:
        return None
    if rules["items"] is False:
        return Absent(f"has only {len(prefix)} items")
    return shape.at(rules["items"])


def mismatch(producer: Shape, consumer: Shape) -> str | None:
    """Say why no value of the producer fits the consumer; None: some value may.

    An integer fits a number; a number does not fit an integer.
    """
    return next(_mismatches(producer, consumer, "", 0), None)


def _mismatches(producer: Shape, consumer: Shape, place: str, depth: int) -> Iterator[str]:
    if depth > MAX_MATCH_DEPTH or producer.types == ALL_TYPES:
        return
    gives, takes = _without_integer(producer.types), consumer.types
    where = f" (at {place})" if place else ""
    if gives and not gives & takes:
        yield f"gives {_named(gives)} where {_named(_without_integer(takes))} is needed{where}"
        return
    given, allowed = _values_of(producer.rules), _values_of(consumer.rules)
    if given is not None and allowed is not None and not any(item in allowed for item in given):
        yield f"gives none of the values that are allowed{where}"
        return
    common = gives & takes
    if common == _ARRAY:
        items = (producer.rules.get("items"), consumer.rules.get("items"))
        if isinstance(items[0], dict) and isinstance(items[1], dict):
            inner = (producer.at(items[0]), consumer.at(items[1]))
            yield from _mismatches(*inner, f"{place}[]", depth + 1)
    elif common == _OBJECT:
        yield from _field_mismatches(producer, consumer, place, depth)


def _field_mismatches(producer: Shape, consumer: Shape, place: str, depth: int) -> Iterator[str]:
    required = consumer.rules.get("required")
    properties = consumer.rules.get("properties")
    for name in required if isinstance(required, list) else []:
        field = _own_field(producer, producer.rules, str(name))
        where = f" (at {place})" if place else ""
        if isinstance(field, Absent):
            yield f"gives an object without the field {name!r} that is needed{where}"
        elif isinstance(field, Shape) and isinstance(properties, dict) and name in properties:
            inner = consumer.at(properties[str(name)])
            below = f"{place}.{name}" if place else str(name)
            yield from _mismatches(field, inner, below, depth + 1)


def _values_of(rules: JsonObject) -> list[JsonValue] | None:
    """Give the values that a schema lists, or None."""
    if "const" in rules:
        return [rules["const"]]
    enum = rules.get("enum")
    return enum if isinstance(enum, list) else None


def _without_integer(types: frozenset[str]) -> frozenset[str]:
    """Leave the integers out of the numbers: `number` alone stands for both."""
    return types - {"integer"} if "number" in types else types


def _named(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "nothing"
