"""Find and replace in one text, path patterns, forms of text and syntax checks."""

import re

import pytest

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.models import FindReplace
from penstock_agent_patcher.replacing import SearchTimeout, cpu_bound, pattern_of, replaced
from penstock_agent_patcher.syntax import broken_by, fault
from penstock_agent_patcher.text import decoded, encoded
from penstock_agent_sdk import AgentError
from penstock_agent_sdk.globs import matcher


def task(find: str, replace: str, **fields: object) -> FindReplace:
    return FindReplace.model_validate(
        {"type": "find_replace", "find": find, "replace": replace, **fields}
    )


def after(before: bytes, find: str, replace: str, **fields: object) -> tuple[bytes, int]:
    asked = task(find, replace, **fields)
    return replaced(before, asked, pattern_of(asked))


@pytest.mark.parametrize(
    ("before", "find", "replace", "fields", "result"),
    [
        (b"a.b a.b axb\n", "a.b", "c", {}, (b"c c axb\n", 2)),
        (b"a.b axb\n", "a.b", "c", {"regex": True}, (b"c c\n", 2)),
        (b"x = 1\nxx = 1\n", r"^x\b", "y", {"regex": True}, (b"y = 1\nxx = 1\n", 1)),
        (b"f(a, b)\n", r"f\((\w+), (?P<n>\w+)\)", r"f(\g<n>, \1)", {"regex": True},
         (b"f(b, a)\n", 1)),
        (b"a\n", "a", r"\1 \g<0> \n", {}, (b"\\1 \\g<0> \\n\n", 1)),
        (b"Foo foo\n", "FOO", "x", {"ignore_case": True}, (b"x x\n", 2)),
        (b"a\r\nb\r\n", "a\nb", "c\nd", {}, (b"c\r\nd\r\n", 1)),
        (b"a\r\nb\r\n", "a\r\nb", "c\r\nd\r\ne", {}, (b"c\r\nd\r\ne\r\n", 1)),
        (b"a\r\nb\r\n", r"a$", "x", {"regex": True}, (b"x\r\nb\r\n", 1)),
        (b"a\r\nb\n", "a\n", "c\n", {}, (b"a\r\nb\n", 0)),
        (b"a\r\nb\na", "a", "c", {}, (b"c\r\nb\nc", 2)),
        (b"\xef\xbb\xbfa\nb", "a", "c", {}, (b"\xef\xbb\xbfc\nb", 1)),
        (b"caf\xe9 a", "a", "b", {}, (b"cbf\xe9 b", 2)),
        ("caf\u00e9".encode(), "\u00e9", "e", {}, (b"cafe", 1)),
        (b"a\0a", "a", "b", {}, (b"a\0a", 0)),
        (b"\xff\xfea\0", "a", "b", {}, (b"\xff\xfea\0", 0)),
        (b"aaa", "aa", "b", {}, (b"ba", 1)),
        (b"abc", "x*", "-", {"regex": True}, (b"-a-b-c-", 4)),
        (b"", "a", "b", {}, (b"", 0)),
    ],
)  # fmt: skip
def test_one_content(
    before: bytes, find: str, replace: str, fields: dict[str, object], result: tuple[bytes, int]
):
    assert after(before, find, replace, **fields) == result


@pytest.mark.parametrize(
    ("find", "replace"),
    [("(", "x"), ("a", r"\2"), ("(a)", r"\g<b>"), ("a{99999999999999999999}", "x"), ("[z-a]", "x")],
)
def test_malformed_expressions_are_declared(find: str, replace: str):
    with pytest.raises(AgentError, match="invalid_operation"):
        after(b"a", find, replace, regex=True)


def test_a_search_is_bounded_in_time():
    asked = task("(a+)+$", "x", regex=True)
    with pytest.raises(Unfit, match=r"more than 0\.2 s"):
        replaced(b"a" * 40 + b"!", asked, pattern_of(asked), search_cpu_s=0.2)


def test_the_bound_is_lifted_afterwards():
    with cpu_bound(0.05):
        pass
    with pytest.raises(SearchTimeout), cpu_bound(0.05):
        re.match(r"(a+)+$", "a" * 60 + "!")


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("*.py", "a.py", True),
        ("*.py", "x/y/a.py", True),
        ("*.py", "a.pyi", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/x/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("src/", "src/x/y", True),
        ("src/", "srcx/y", False),
        ("**", "a/b", True),
        ("./a.py", "b/a.py", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].py", "b.py", True),
        ("[!ab].py", "b.py", False),
        ("a[.py", "a[.py", True),
        ("a+b(1).py", "a+b(1).py", True),
    ],
)
def test_path_patterns(pattern: str, path: str, named: bool):
    assert matcher([pattern])(path) is named


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"a\n",
        b"a\r\nb\r\n",
        b"a\r\nb\n",
        b"\r\r\n",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbfa\r\n",
        b"\xe9\n\x80",
        "\u2028\u0085\x0c\n".encode(),
    ],
)
def test_text_and_back(content: bytes):
    assert encoded(*decoded(content)) == content


@pytest.mark.parametrize(
    ("path", "content", "fine"),
    [
        ("a.py", b"x = 1\n", True),
        ("a.py", b"x = \n", False),
        ("a.py", b"return 1\n", False),
        ("a.py", b"# coding: latin-1\nx = '\xe9'\n", True),
        ("a.py", b"x = '\xe9'\n", False),
        ("a.py", b"\xef\xbb\xbfx = 1\r\n", True),
        ("a.py", b"x = '\\d'\n", True),
        ("a.py", b"(" * 5_000 + b")" * 5_000, False),
        ("a.json", b'{"a": [1, 2]}', True),
        ("a.json", b'{"a": [1, 2,]}', False),
        ("a.json", b"[" * 100_000, False),
        (".vscode/settings.json", b"// c\n{}", True),
        ("tsconfig.json", b"// c\n{}", True),
        ("a.toml", b"a = 1\n", True),
        ("a.toml", b"a = 1\na = 2\n", False),
        ("a.yaml", b"a: 1\n---\nb: !x 2\n", True),
        ("a.yml", b"a: [1\n", False),
        ("a.yaml", b"a: \tb: c\n", False),
        ("a.txt", b"a: [1\n", True),
        ("a.rb", b"def (", True),
    ],
)
def test_syntax(path: str, content: bytes, fine: bool):
    assert (fault(path, content) is None) is fine


def test_what_was_broken_before_is_not_held_against_a_change():
    assert broken_by("a.py", b"print 'x'\n", b"print 'y'\n") is None
    assert broken_by("a.py", b"print('x')\n", b"print 'y'\n") is not None
    assert broken_by("a.py", None, b"print 'y'\n") is not None
