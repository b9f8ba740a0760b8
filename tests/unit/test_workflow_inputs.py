"""Values against schemas, and schemas against what can be used."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_core.workflow.inputs import check_inputs, with_defaults
from penstock_core.workflow.schema_check import DIALECT, check_schema

SCHEMA: dict[str, Any] = {
    "$schema": DIALECT,
    "type": "object",
    "required": ["repo", "mode"],
    "additionalProperties": False,
    "properties": {
        "repo": {"type": "string", "pattern": "^/"},
        "mode": {"enum": ["full", "quick"]},
        "count": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "kind": {"const": "x"},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "nullable": {"type": ["string", "null"]},
        "same": {"$ref": "#/properties/count"},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "$defs": {"tag": {"type": "string"}},
}
GOOD = {"repo": "/srv", "mode": "full"}


@pytest.mark.parametrize(
    "inputs",
    [
        GOOD,
        {**GOOD, "count": 1, "tags": ["a"], "kind": "x", "either": 1, "nullable": None},
        {**GOOD, "count": 2.0, "x-note": "kept"},
    ],
)
def test_what_fits_passes(inputs: Any):
    assert check_inputs(SCHEMA, inputs) is None


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"mode": "full"}, "'repo' is required"),
        ({"repo": "/srv"}, "'mode' is required"),
        ({**GOOD, "repo": 1}, "repo: must be of type string, not integer"),
        ({**GOOD, "repo": "secret"}, "repo: does not match the pattern ^/"),
        ({**GOOD, "mode": "secret"}, 'mode: must be one of "full", "quick"'),
        ({**GOOD, "count": 0}, "count: does not keep to minimum: 1"),
        ({**GOOD, "tags": ["a", 2]}, "tags[1]: must be of type string, not integer"),
        ({**GOOD, "kind": "secret"}, 'kind: must be "x"'),
        ({**GOOD, "either": None}, "either: fits none"),
        ({**GOOD, "nullable": 1.5}, "must be of type string or of type null, not number"),
        ({**GOOD, "extra": 1}, "unknown: 'extra'"),
        ({**GOOD, "x-note": 1}, "x-note: must be of type string"),
        ({**GOOD, "same": True}, "same: must be of type integer, not boolean"),
        ({**GOOD, "tags": {}}, "not object"),
        ({**GOOD, "repo": []}, "not array"),
        ([], "must be of type object, not array"),
    ],
)
def test_the_first_fault_is_one_sentence_without_the_value(inputs: Any, words: str):
    fault = check_inputs(SCHEMA, inputs)
    assert fault is not None
    assert words in fault
    assert "secret" not in fault


def test_the_fault_nearest_to_the_root_is_told():
    assert check_inputs(SCHEMA, {"tags": [1], "mode": "full"}) == "'repo' is required"


def test_an_empty_schema_takes_anything():
    assert check_inputs({}, {"a": 1}) is None


def test_additional_properties_may_have_a_schema():
    schema: Any = {"additionalProperties": {"type": "integer"}, "properties": {"a": {}}}
    assert check_inputs(schema, {"a": "x", "b": 1}) is None
    assert check_inputs(schema, {"b": "x"}) == "b: must be of type integer, not string"
    assert check_inputs({"additionalProperties": False, "patternProperties": 5}, []) is None
    assert check_inputs({"patternProperties": {"a": {}}, "pattern": "a"}, 5) is None


def test_long_schema_words_are_cut():
    fault = check_inputs({"const": "y" * 500}, {})
    assert fault is not None
    assert len(fault) < 200


def test_a_nested_false_is_told():
    assert check_inputs({"properties": {"a": False}}, {"a": 1}) is not None


def test_references_are_bounded():
    schema: Any = {
        "$ref": "#/$defs/t",
        "$defs": {
            "t": {
                "type": "array",
                "items": {"anyOf": [{"$ref": "#/$defs/t"}, {"$ref": "#/$defs/t"}]},
            }
        },
    }
    value: Any = 1
    for _ in range(60):
        value = [value]
    assert check_schema(schema) == ()
    assert check_inputs(schema, value) == (
        "the schema's references cannot be followed in reasonable time"
    )


def test_an_unsound_schema_gives_a_fault_and_no_crash():
    assert "outside" in str(check_inputs({"$ref": "http://localhost/x"}, {}))
    assert check_inputs({"$ref": "#"}, {}) is not None
    assert check_inputs({"pattern": "("}, "x") is not None


def test_a_pattern_takes_linear_time():
    assert check_inputs({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 5_000 + "!"})


def test_defaults_fill_what_is_missing_only():
    schema: Any = {"properties": {"a": {"default": 1}, "b": {"default": 2}, "c": {}, "d": True}}
    given: Any = {"a": 5}
    assert with_defaults(schema, given) == {"a": 5, "b": 2}
    assert given == {"a": 5}
    assert with_defaults({}, given) is given
    assert with_defaults({"properties": {"a": {"default": 1}}}, given) is given


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        SCHEMA,
        {"$ref": "#/$defs/e", "$defs": {"e": {}}},
        {"properties": {"child": {"$ref": "#"}}},
        {"properties": {"a": {"x-note": 1}}},
        {"$ref": "#/$defs/list/allOf/0", "$defs": {"list": {"allOf": [{"type": "string"}]}}},
    ],
)
def test_a_usable_schema_has_no_fault(schema: Any):
    assert check_schema(schema) == ()


def deep(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def doubled(levels: int) -> Any:
    definitions: Any = {"d0": {"type": "string"}}
    for level in range(1, levels):
        ref = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"anyOf": [ref, ref]}
    return {"$ref": f"#/$defs/d{levels - 1}", "$defs": definitions}


@pytest.mark.parametrize(
    ("schema", "pointer", "words"),
    [
        (5, "", "has object or boolean here"),
        ({"type": "strin"}, "/type", "not a type of JSON Schema"),
        ({"properties": []}, "/properties", "has object here"),
        ({"minimum": "x"}, "/minimum", "has number here"),
        ({"minLength": -1}, "/minLength", "not a JSON Schema"),
        ({"repo": {"type": "string"}}, "/repo", "no keyword"),
        ({"properties": {"a/b": {"nope": 1}}}, "/properties/a~1b/nope", "no keyword"),
        ({"$id": "x"}, "/$id", "no keyword"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "2020-12"),
        ({"items": {"$ref": "#/$defs/x"}}, "/items/$ref", "not a place"),
        ({"$ref": "http://localhost/x"}, "/$ref", "not a place"),
        ({"allOf": [{"$ref": "#/allOf/7"}]}, "/allOf/0/$ref", "not a place"),
        ({"pattern": "(?=a)"}, "/pattern", "not a pattern"),
        ({"patternProperties": {"[": {}}}, "/patternProperties/[", "not a pattern"),
        ({"$ref": "#"}, "", "without end"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "", "end"),
        (doubled(20), "", "apply to the same value"),
        (deep(60), "", "deep"),
    ],
)
def test_an_unusable_schema_is_told_with_its_place(schema: Any, pointer: str, words: str):
    fault = check_schema(schema)[0]
    assert fault.pointer == pointer
    assert words in fault.message
