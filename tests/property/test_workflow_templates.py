"""Laws of templates and conditions, on random JSON."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_core.workflow.cel_names import reads_of
from penstock_core.workflow.conditions import ConditionError, compile_condition
from penstock_core.workflow.templating import TemplateError, compile_template

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def escaped(value: Any) -> Any:
    """The template that renders to `value`."""
    match value:
        case str():
            return value.replace("{{", "{{{{")
        case list():
            return [escaped(item) for item in value]
        case dict():
            return {key: escaped(item) for key, item in value.items()}
        case _:
            return value


@given(JSON)
def test_a_reference_alone_gives_the_very_value(value: Any):
    assert compile_template("{{node.output}}").render({"node": {"output": value}}) is value


@given(JSON)
def test_an_escaped_value_renders_to_itself(value: Any):
    template = compile_template(escaped(value))
    assert template.references == ()
    assert template.render({}) == value


@given(st.text(max_size=30), JSON, st.text(max_size=30))
def test_inside_a_string_the_value_stands_as_text(before: str, value: Any, after: str):
    # A brace that touches the reference would be read as a part of it.
    before, after = before + " ", " " + after
    source = f"{escaped(before)}{{{{a}}}}{escaped(after)}"
    rendered = compile_template([source]).render({"a": value})
    assert isinstance(rendered, list)
    text = rendered[0]
    assert isinstance(text, str)
    middle = text[len(before) : len(text) - len(after)]
    assert text == f"{before}{middle}{after}"
    assert middle == value if isinstance(value, str) else json.loads(middle) == value


@given(st.lists(st.text(min_size=1, max_size=8), max_size=5), JSON)
def test_any_key_can_be_reached(keys: list[str], value: Any):
    whole = value
    for key in reversed(keys):
        whole = {key: whole}
    path = "".join(f"[{json.dumps(key)}]" for key in keys)
    try:
        template = compile_template(f"{{{{a{path}}}}}")
    except TemplateError:
        assert any("}}" in key for key in keys)
        return
    if "}}" not in path:
        assert template.render({"a": whole}) == value


@given(st.text(max_size=60), JSON)
def test_any_string_compiles_and_renders_or_is_refused(text: str, value: Any):
    with contextlib.suppress(TemplateError):
        compile_template(text).render({"a": value})


@settings(max_examples=60)
@given(st.text(alphabet="abc.()[]{}'\"`&|!=<>,? 1\\r\n", max_size=30), JSON)
def test_any_text_is_a_condition_or_is_refused(text: str, value: Any):
    reads_of(text)
    try:
        result = compile_condition(text).evaluate({"a": value, "b": {"c": value}})
    except ConditionError:
        return
    assert isinstance(result, bool)
