"""Templates: what a reference gives, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_core.workflow.templating import (
    MAX_TEMPLATE_DEPTH,
    TemplateError,
    compile_template,
    compile_with_faults,
)

SCOPE: dict[str, Any] = {
    "scan": {
        "status": "succeeded",
        "output": {
            "count": 5,
            "score": 1.5,
            "passed": True,
            "nothing": None,
            "title": "hé",
            "findings": [{"rule": "x"}, {"rule": "y"}],
            "odd key": {"a/b": 1},
            "2fa": "on",
        },
    },
    "inputs": {"repo": "/srv/app"},
}


def render(value: Any, scope: dict[str, Any] = SCOPE) -> Any:
    return compile_template(value).render(scope)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{scan.output.count}}", 5),
        ("{{ scan.output.count }}", 5),
        ("{{scan.output.score}}", 1.5),
        ("{{scan.output.passed}}", True),
        ("{{scan.output.nothing}}", None),
        ("{{scan.output.findings}}", [{"rule": "x"}, {"rule": "y"}]),
        ("{{scan.output.findings[1].rule}}", "y"),
        ('{{scan.output["odd key"]["a/b"]}}', 1),
        ("{{scan.output.2fa}}", "on"),
        ("{{scan.output.findings[ 0 ]}}", {"rule": "x"}),
        ("{{inputs}}", {"repo": "/srv/app"}),
    ],
)
def test_a_reference_alone_passes_the_typed_value(template: str, value: Any):
    result = render(template)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{scan.output.count}} findings", "5 findings"),
        (" {{scan.output.count}}", " 5"),
        ("{{scan.output.title}}{{scan.output.title}}", "héhé"),
        ("p={{scan.output.passed}} n={{scan.output.nothing}}", "p=true n=null"),
        ("s={{scan.output.score}}", "s=1.5"),
        ("f={{scan.output.findings}}", 'f=[{"rule":"x"},{"rule":"y"}]'),
    ],
)
def test_inside_a_string_values_are_rendered(template: str, text: str):
    assert render(template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{{{scan}}", "{{scan}}"),
        ("{{{{", "{{"),
        ("a }} b", "a }} b"),
        ("{{{{{{scan.output.count}}", "{{5"),
        ("{single} {", "{single} {"),
        ("", ""),
    ],
)
def test_four_braces_are_two(template: str, text: str):
    assert render(template) == text


def test_structures_are_rendered_through_and_keys_are_left_alone():
    source = {
        "{{key}}": ["{{scan.output.count}}", 7, {"deep": "{{inputs.repo}}"}, None, True],
        "fixed": {"a": [1, "{{{{"]},
    }
    assert render(source) == {
        "{{key}}": [5, 7, {"deep": "/srv/app"}, None, True],
        "fixed": {"a": [1, "{{"]},
    }


def test_a_value_without_references_is_given_as_it_is():
    source = {"a": [1, {"b": "c"}]}
    assert render(source) is source


def test_references_are_listed_with_their_places():
    template = compile_template({"a/b": ["x", "{{scan.output.findings[0].rule}}!"], "c": "{{run}}"})
    first, second = template.references
    assert (first.root, first.path) == ("scan", ("output", "findings", 0, "rule"))
    assert (first.pointer, first.alone) == ("/a~1b/1", False)
    assert str(first) == "scan.output.findings[0].rule"
    assert (second.root, second.path, second.pointer, second.alone) == ("run", (), "/c", True)


def test_an_odd_key_is_shown_as_it_has_to_be_written():
    (reference,) = compile_template('{{scan["odd key"]}}').references
    assert str(reference) == 'scan["odd key"]'


def test_templates_are_compared_by_source():
    assert compile_template(["{{a}}"]) == compile_template(["{{a}}"])
    assert compile_template("{{a}}") != compile_template("{{b}}")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{", "write `{{{{` for two braces"),
        ("a {{scan", "write `{{{{` for two braces"),
        ("{{}}", "empty reference"),
        ("{{ }}", "empty reference"),
        ("{{9}}", "does not begin with a name"),
        ("{{.a}}", "does not begin with a name"),
        ("{{{a}}", "does not begin with a name"),
        ("{{a.}}", "unexpected `.`"),
        ("{{a..b}}", "unexpected `..b`"),
        ("{{a[b]}}", "unexpected `[b]`"),
        ("{{a[-1]}}", "unexpected `[-1]`"),
        ('{{a["\\q"]}}', "not a quoted key"),
        ("{{a.b | upper}}", "conditions belong in `when`"),
        ("{{len(a)}}", "conditions belong in `when`"),
        ("{{" + "a" * 600 + "}}", "over 512 characters"),
    ],
)
def test_a_malformed_template_is_refused(template: str, words: str):
    with pytest.raises(TemplateError) as caught:
        compile_template({"k": [template]})
    assert words in caught.value.message
    assert caught.value.pointer == "/k/0"
    assert str(caught.value).startswith("/k/0: ")


def test_every_malformed_string_is_told():
    template, faults = compile_with_faults(["{{", "{{scan.output.count}}", "{{}}"])
    assert [fault.pointer for fault in faults] == ["/0", "/2"]
    assert len(template.references) == 1


def test_nesting_is_bounded():
    value: Any = "x"
    for _ in range(MAX_TEMPLATE_DEPTH + 1):
        value = [value]
    with pytest.raises(TemplateError, match="deep"):
        compile_template(value)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{nope}}", "there is no `nope` here"),
        ("{{scan.output.nope}}", "`scan.output` has no field 'nope'"),
        ("{{scan.output.findings[2]}}", "has only 2 items"),
        ("{{scan.output.findings.rule}}", "is a list"),
        ("{{scan.output[0]}}", "is an object"),
        ("{{scan.output.count.x}}", "is a number"),
        ("{{scan.output.passed.x}}", "is a boolean"),
        ("{{scan.output.title.upper}}", "is a string"),
        ("{{scan.output.nothing.x}}", "is null"),
        ("in text {{scan.output.nope}}", "has no field"),
    ],
)
def test_a_reference_without_a_value_fails(template: str, words: str):
    with pytest.raises(TemplateError, match=r"scan|nope") as caught:
        render([template])
    assert words in caught.value.message
    assert caught.value.pointer == "/0"


def test_nothing_of_python_can_be_reached():
    for template in ("{{scan.__class__}}", "{{scan.output.findings.append}}", "{{inputs.keys}}"):
        with pytest.raises(TemplateError):
            render(template)


def test_a_rendering_is_bounded_in_size():
    scope = {"a": {"output": {"x": "y" * 10_000}}}
    for source in (["{{a.output.x}} "] * 200, ["{{a.output.x}}"] * 200, ["{{a.output}}"] * 200):
        with pytest.raises(TemplateError, match="too large"):
            render(source, scope)


def test_a_value_nested_too_deeply_is_refused_as_a_whole():
    value: Any = 1
    for _ in range(2_000):
        value = [value]
    for template in ("{{a}}", "x{{a}}"):
        with pytest.raises(TemplateError, match="nested too deeply"):
            render(template, {"a": value})


def test_an_error_at_the_root_has_no_place():
    with pytest.raises(TemplateError) as caught:
        render("{{nope}}")
    assert str(caught.value) == "there is no `nope` here"
