"""YAML with positions: values, places, refusals, and how problems are shown."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_adapters.yaml import (
    Document,
    DocumentError,
    read_document,
    read_documents,
    render_problems,
)
from penstock_adapters.yaml.reader import MAX_DOCUMENTS, MAX_TEXT_BYTES
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.validation import validate

TEXT = """\
name: w
on: yes
nodes:
  scan:
    agent: x
    with: {a: 1, b: [1, two]}
  tell:
    needs:
      - scan
    agnt: y
shared: &s {k: v}
used: *s
empty: {}
a/b: {"c~d": 1}
"""


def test_scalars_are_those_of_yaml_1_2():
    text = (
        "yes: yes\noctal: 0o14\nhex: 0x1F\nold: 012\nfloat: 1.5e3\ndot: .5\nneg: -3\n"
        "date: 2001-01-01\nnothing: ~\nblank:\nt: true\nf: False\nu: 1_000\n"
        "quoted: '5'\nforced: !!str 5\nblock: |\n  two\n  lines\nplain: a b\n"
    )
    assert read_document(text, "t").value == {
        "yes": "yes", "octal": 12, "hex": 31, "old": 12, "float": 1500.0, "dot": 0.5, "neg": -3,
        "date": "2001-01-01", "nothing": None, "blank": None, "t": True, "f": False,
        "u": "1_000", "quoted": "5", "forced": "5", "block": "two\nlines\n", "plain": "a b",
    }  # fmt: skip


def test_json_is_yaml():
    text = '{\n\t"a": 1,\n\t"b": {"c/d": [1, true, null, "x\\u00e9\\ud83d\\ude00"]}\n}'
    assert read_document(text, "t").value == {"a": 1, "b": {"c/d": [1, True, None, "xé😀"]}}


@pytest.fixture(name="document")
def document_fixture() -> Document:
    return read_document(TEXT, "w.yaml")


@pytest.mark.parametrize(
    ("pointer", "place", "at_key"),
    [
        ("", (1, 1), (1, 1)),
        ("/name", (1, 7), (1, 1)),
        ("/nodes/scan", (4, 3), (4, 3)),
        ("/nodes/scan/agent", (5, 12), (5, 5)),
        ("/nodes/scan/with", (6, 11), (6, 5)),
        ("/nodes/scan/with/b/1", (6, 25), (6, 25)),
        ("/nodes/tell/needs/0", (9, 9), (9, 9)),
        ("/nodes/tell/agnt", (10, 11), (10, 5)),
        ("/used/k", (11, 16), (11, 13)),
        ("/empty", (13, 8), (13, 1)),
        ("/a~1b/c~0d", (14, 14), (14, 7)),
        ("/nodes/tell/nope/deeper", (7, 3), (7, 3)),
        ("/nope", (1, 1), (1, 1)),
    ],
)
def test_places(document: Document, pointer: str, place: Any, at_key: Any):
    assert document.locate(pointer) == place
    assert document.locate(pointer, at_key=True) == at_key


def test_columns_are_characters():
    assert read_document("é: ü\n", "t").locate("/é") == (1, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "t:2:1: the field 'a' is written twice"),
        ("a: [1\n", "t:2:1: expected"),
        ("- x\n", "t:1:1: a document is an object"),
        ("", "t:1:1: one document is expected, not 0"),
        ("a: 1\n---\nb: 2\n", "t:1:1: one document is expected, not 2"),
        ("a: .inf", "t:1:4: .inf is no number of JSON"),
        ("a: -.INF", "t:1:4"),
        ("a: 1e999", "t:1:4: 1e999 is too large"),
        ("a: " + "9" * 50, "t:1:4: a number of over"),
        ("1: x", "t:1:1: a field's name is a text"),
        ("true: x", "t:1:1: a field's name is a text"),
        ("? [a]\n: b", "t:1:3: a field's name is a text"),
        ("a: !foo x", "t:1:4: unknown tag !foo"),
        ("a: !!python/object:os.system x", "t:1:4"),
        ("a: !!binary x", "t:1:4: !!binary is not a type of JSON"),
        ("a: !!null x", "t:1:4: not null"),
        ("<<: {a: b}", "t:1:1: `<<` is not a part of YAML 1.2"),
        ("a: &a [*a]", "t:1:4: nested over 64 deep"),
        ("a: *nope", "t:1:4: found undefined alias"),
        ("a: " + "[" * 3_000 + "]" * 3_000, "t:1:1: nested over 64 deep"),
        ("a:\n\tb: 1", "indent with spaces"),
        ("a: 'x", "t:1:6: found unexpected end"),
        ("a: \x00", "t:1:"),
        ('a: "\\ud800"', "half of a surrogate pair"),
        ("a: \ud800", "t:1:"),
        ("x" * (MAX_TEXT_BYTES + 1), "t:1:1: the text is over 1024 KiB"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(DocumentError) as caught:
        read_document(text, "t")
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.name, caught.value.line >= 1, caught.value.column >= 1) == (
        "t",
        True,
        True,
    )


def test_odd_forms_of_typed_scalars_stay_text():
    assert read_document("a: !!bool maybe\nb: !!int x\nc: !!float y\n", "t").value == {
        "a": "maybe",
        "b": "x",
        "c": "y",
    }


def test_a_small_text_cannot_become_large():
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for number in range(9):
        name, before = chr(98 + number), chr(97 + number)
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    with pytest.raises(DocumentError, match="aliases resolved"):
        read_document("\n".join(lines), "t")


def test_many_documents():
    found = read_documents("---\na: 1\n---\n---\nb: 2\n...\n", "t")
    assert [document.value for document in found] == [{"a": 1}, {"b": 2}]
    assert found[1].locate("/b") == (5, 4)
    assert read_documents("", "t") == []
    with pytest.raises(DocumentError, match="documents"):
        read_documents("---\na: 1\n" * (MAX_DOCUMENTS + 1), "t")


def test_problems_are_shown_in_the_order_of_the_text(document: Document):
    problems = [
        Problem(
            pointer="/nodes/tell/agnt",
            code="unknown_field",
            message="unknown field 'agnt'",
            suggestion="did you mean `agent`?",
        ),
        Problem(pointer="/nodes/scan/with/b/1", code="type_mismatch", message="not a number"),
    ]
    assert render_problems(document, problems) == (
        "w.yaml:6:25: not a number\n"
        "      with: {a: 1, b: [1, two]}\n"
        "                          ^\n"
        "w.yaml:10:5: unknown field 'agnt'\n"
        "      agnt: y\n"
        "      ^\n"
        "  suggestion: did you mean `agent`?"
    )


def test_a_caret_follows_tabs():
    document = read_document('{\n\t"a": 1\n}', "t")
    shown = render_problems(document, [Problem(pointer="/a", code="x", message="m")])
    assert shown.splitlines()[1:] == ['  \t"a": 1', "  \t     ^"]


def test_validation_and_places_together():
    text = (
        "name: w\nnodes:\n  ask:\n    approval: {}\n    needs: [scna]\n  scan:\n    approval: {}\n"
    )
    document = read_document(text, "w.yaml")
    shown = render_problems(document, validate(document.value, {}))
    assert shown.splitlines()[0] == "w.yaml:5:13: there is no node 'scna'"
    assert shown.splitlines()[-1] == "  suggestion: did you mean `scan`?"
