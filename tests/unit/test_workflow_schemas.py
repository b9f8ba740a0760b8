"""What schemas say about values: types, fields, and whether one fits another."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_core.workflow.schemas import (
    ALL_TYPES,
    Absent,
    Shape,
    mismatch,
    resolve_ref,
    shape_of,
    step_into,
)

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({}, ALL_TYPES),
        (True, ALL_TYPES),
        ({"type": "string"}, {"string"}),
        ({"type": "number"}, {"number", "integer"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"const": 5}, {"integer"}),
        ({"enum": ["a", None]}, {"string", "null"}),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, {"string", "array"}),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, {"string"}),
        ({"type": "string", "oneOf": [{"minLength": 1}]}, {"string"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, {"boolean"}),
        ({"$ref": "#/$defs/nope"}, ALL_TYPES),
        ({"$ref": "#"}, ALL_TYPES),
    ],
)
def test_types(schema: Any, types: set[str]):
    assert shape_of(schema).types == types


def test_an_endless_schema_says_nothing():
    assert shape_of({"anyOf": [{"$ref": "#/anyOf/0"}]}).types == ALL_TYPES
    loop: Any = {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#"}]}}}
    assert shape_of(loop).types == ALL_TYPES
    assert isinstance(step_into(shape_of(loop), "x"), Shape)


@pytest.mark.parametrize(
    ("schema", "step", "found"),
    [
        (OBJECT, "a", {"type": "string"}),
        ({"type": "array", "items": {"type": "string"}}, 3, {"type": "string"}),
        ({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}, 0, {"type": "null"}),
        ({"type": "object", "additionalProperties": {"type": "null"}}, "x", {"type": "null"}),
        ({"anyOf": [OBJECT, {"type": "null"}]}, "b", {"type": "integer"}),
        ({"type": "object"}, "x", {}),
        ({"anyOf": [OBJECT, {"required": ["x"]}]}, "x", {}),
        ({"type": "array"}, 0, {}),
        ({}, "x", {}),
        ({"properties": {"a": {}}, "additionalProperties": True}, "x", {}),
        ({"properties": {"a": {}}, "patternProperties": {"^x": {}}}, "x", {}),
        ({"anyOf": [OBJECT, OBJECT]}, "a", {}),
        ({**OBJECT, "allOf": [{"properties": {"c": {"const": 1}}}]}, "c", {"const": 1}),
    ],
)
def test_a_step_that_leads_on(schema: Any, step: str | int, found: Any):
    place = step_into(shape_of(schema), step)
    assert isinstance(place, Shape)
    assert place.schema == found


@pytest.mark.parametrize(
    ("schema", "step", "reason", "known"),
    [
        (OBJECT, "c", "has no field 'c'", ("a", "b")),
        ({"additionalProperties": False}, "c", "has no field 'c'", ()),
        (
            {
                "properties": {"a": {}},
                "patternProperties": {"^x": {}},
                "additionalProperties": False,
            },
            "y",
            "has no field 'y'",
            ("a",),
        ),
        ({**OBJECT, "anyOf": [{"required": ["a"]}]}, "c", "has no field 'c'", ("a", "b")),
        (OBJECT, 0, "is object, which has no items", ()),
        ({"type": "string"}, "x", "is string, which has no fields", ()),
        ({"prefixItems": [{}], "items": False}, 1, "has only 1 items", ()),
        ({"anyOf": [OBJECT, {"properties": {"z": {}}}]}, "y", "has no field 'y'", ("a", "b", "z")),
    ],
)
def test_a_step_that_leads_nowhere(schema: Any, step: str | int, reason: str, known: Any):
    place = step_into(shape_of(schema), step)
    assert isinstance(place, Absent)
    assert place.reason == reason
    assert place.known == known


@pytest.mark.parametrize(
    ("producer", "consumer"),
    [
        ({}, {"type": "string"}),
        ({"type": "string"}, {}),
        (True, {"type": "string"}),
        ({"type": "string"}, True),
        ({"type": "integer"}, {"type": "number"}),
        ({"type": "integer"}, {"type": "integer"}),
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        (OBJECT, {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
        ({"type": "object"}, {"type": "object", "required": ["a"]}),
        (OBJECT, {"type": "object", "required": ["a"]}),
    ],
)
def test_what_may_fit(producer: Any, consumer: Any):
    assert mismatch(shape_of(producer), shape_of(consumer)) is None


@pytest.mark.parametrize(
    ("producer", "consumer", "reason"),
    [
        ({"type": "integer"}, {"type": "string"}, "gives integer where string is needed"),
        ({"type": "number"}, {"type": "integer"}, "gives number where integer is needed"),
        ({"type": "string"}, {"type": "number"}, "gives string where number is needed"),
        ({"const": "x"}, {"enum": ["a"]}, "gives none of the values that are allowed"),
        (
            {"type": "array", "items": {"type": "integer"}},
            {"type": "array", "items": {"type": "string"}},
            "gives integer where string is needed (at [])",
        ),
        (OBJECT, {"type": "object", "required": ["c"]}, "without the field 'c' that is needed"),
        (
            {"type": "object", "properties": {"o": OBJECT}},
            {
                "type": "object",
                "required": ["o"],
                "properties": {
                    "o": {
                        "type": "object",
                        "required": ["b"],
                        "properties": {"b": {"type": "string"}},
                    }
                },
            },
            "gives integer where string is needed (at o.b)",
        ),
    ],
)
def test_what_cannot_fit(producer: Any, consumer: Any, reason: str):
    found = mismatch(shape_of(producer), shape_of(consumer))
    assert found is not None
    assert reason in found


def test_deep_schemas_are_compared_down_to_a_bound():
    left: Any = {"type": "integer"}
    right: Any = {"type": "string"}
    for _ in range(40):
        left, right = {"type": "array", "items": left}, {"type": "array", "items": right}
    assert mismatch(shape_of(left), shape_of(right)) is None


def test_references_by_pointer():
    root: Any = {"$defs": {"a/b": {"x": [{"y": 1}]}}}
    assert resolve_ref(root, "#/$defs/a~1b/x/0/y") == 1
    assert resolve_ref(root, "#/$defs/a~1b/x/9") == {}
    assert resolve_ref(root, "elsewhere") == {}
