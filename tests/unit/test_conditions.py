"""Conditions: what they give, what they read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_core.workflow.cel_names import reads_of
from penstock_core.workflow.conditions import (
    MAX_CONDITION_CHARS,
    ConditionError,
    compile_condition,
)

SCOPE: dict[str, Any] = {
    "scan": {
        "status": "succeeded",
        "output": {"count": 5, "score": 1.5, "findings": [{"severity": "high"}], "none": None},
    },
    "inputs": {"limit": 3, "repo": "/srv/app", "pattern": "(", "key": "hidden"},
}


def holds(text: str, scope: dict[str, Any] = SCOPE) -> bool:
    return compile_condition(text).evaluate(scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("scan.status == 'succeeded'", True),
        ("scan.status in ['failed', 'skipped']", False),
        ("scan.output.count > inputs.limit && scan.output.score < 2.0", True),
        ("scan.output.count > 4.5", True),
        ("scan.output.findings.exists(f, f.severity == 'high')", True),
        ("scan.output.findings.all(f, f.severity == 'low')", False),
        ("size(scan.output.findings) == 1", True),
        ("has(scan.output.count)", True),
        ("has(scan.output.nope)", False),
        ("has(scan.error)", False),
        ("scan.output.none == null", True),
        ("inputs.repo.startsWith('/srv') && inputs.repo.matches('^/s')", True),
        ("!(scan.output.count == 5)", False),
        ("true || scan.output.nope", True),
        ("'count' in scan.output", True),
        ("scan['status'] == 'succeeded'", True),
        ("inputs == inputs", True),
        ("true", True),
    ],
)
def test_a_condition_is_true_or_false(text: str, value: bool):
    assert holds(text) is value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it ends too early"),
        ("scan..x", "at column 6"),
        ("now()", "undeclared reference to 'now'"),
        ("scan.status.shout()", "undeclared reference to 'shout'"),
        ("1 + 1", "type int"),
        ("'x'", "type string"),
        ("1 == 'x'", "no matching overload"),
        ("(" * 40 + "true" + ")" * 40, "nested too deeply"),
        ("x" * (MAX_CONDITION_CHARS + 1), "longer than"),
        ("package == 1", "reserved"),
        ("list.status == 1", "select"),
    ],
)
def test_a_bad_expression_is_refused_when_it_is_compiled(text: str, words: str):
    with pytest.raises(ConditionError, match=r"[a-z]") as caught:
        compile_condition(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scan.output.nope == 1", "there is no 'nope'"),
        ("ghost.status == 'x'", "there is no 'ghost' here"),
        ("scan.output.count", "neither true nor false"),
        ("scan.output.count + 1.0 > 1.0", "operands' types do not fit"),
        ("scan.output.count && true", "operands' types do not fit"),
        ("scan.output.findings[3].severity == 'x'", "no such position"),
        ("scan.output.count.x == 1", "no fields"),
        ("scan.output.count / 0 == 1", "division by zero"),
        ("scan.output.count * 9223372036854775807 > 0", "overflowed"),
        ("inputs[inputs.key] == 1", "a key is missing"),
        ("inputs.repo.matches(inputs.pattern)", "could not be evaluated"),
    ],
)
def test_an_evaluation_that_fails_says_why_without_values(text: str, words: str):
    with pytest.raises(ConditionError) as caught:
        holds(text)
    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_steps_are_bounded():
    ten = "[1,2,3,4,5,6,7,8,9,10]"
    loops = "".join(f"{ten}.all(x{number}, " for number in range(6))
    with pytest.raises(ConditionError, match="too many steps"):
        holds(f"{loops}true{')' * 6}")


def test_a_number_beyond_64_bits_is_refused():
    with pytest.raises(ConditionError):
        holds("a.b > 1", {"a": {"b": 2**70}})


def test_a_root_that_is_no_object_is_handed_over_whole():
    assert holds("flag == true", {"flag": True})
    with pytest.raises(ConditionError):
        holds("flag.x == true", {"flag": True})


def test_names_and_status_reads():
    condition = compile_condition(
        "scan.status == 'failed' || review.output.score > inputs.limit && has(scan.output)"
    )
    assert condition.names == {"scan", "review", "inputs"}
    assert condition.status_reads == {"scan"}
    assert condition.text.startswith("scan.status")


def test_the_same_text_is_compiled_once():
    assert compile_condition("a.b == 1") is compile_condition("a.b == 1")


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("a.b.c == 1", {("a", "b", "c")}),
        ("a . b == c", {("a", "b"), ("c",)}),
        ("f(a.b)", {("a", "b")}),
        ("a.b.size() > 1", {("a", "b")}),
        ("a.size() > 1", {("a",)}),
        ("a[0].b == c['d.e']", {("a",), ("c",)}),
        ("'a.b' == \"c.d\" // e.f", set()),
        ("'''a\n'b''' == x", {("x",)}),
        ('r"\\" == x', {("x",)}),
        ("r'\\' == x && b'y' == z", {("x",), ("z",)}),
        ("a.`odd-key`.c", {("a", "odd-key", "c")}),
        ("l.exists(x, x.y == z)", {("l",), ("z",)}),
        ("[q].exists(q, q.y) || q.y", {("q",), ("q", "y")}),
        ("m.map(a, a.all(b, b > a && z)) == a", {("m",), ("a",), ("z",)}),
        ("type(x) == int && true != null", {("x",)}),
        ("x in ['y'] ? p : q", {("x",), ("p",), ("q",)}),
        (".a.b == 1.5e3 + .5 + 0x1F + 2u", {("a", "b")}),
        ("(a).b", {("a",)}),
        ("a.", {("a",)}),
        ("l.all(5, x)", {("l",), ("x",)}),
    ],
)
def test_reads_are_found_by_the_tokens(text: str, reads: set[tuple[str, ...]]):
    assert reads_of(text) == reads
