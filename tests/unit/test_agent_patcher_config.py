"""Keys of YAML, TOML and JSON: set, created, deleted, with every other byte as it was."""

from collections.abc import Callable

import pytest

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.json_config import change_json
from penstock_agent_patcher.models import ConfigChange
from penstock_agent_patcher.toml_config import change_toml
from penstock_agent_patcher.yaml_config import change_yaml

Change = Callable[[str, ConfigChange], str]
ABSENT = object()


def task(key: object, value: object = None, action: str = "set") -> ConfigChange:
    given = {"type": "config", "file": "f", "key": key, "action": action, "value": value}
    return ConfigChange.model_validate(given)


def changed(change: Change, text: str, key: object, value: object) -> str:
    if value is ABSENT:
        return change(text, task(key, action="delete"))
    return change(text, task(key, value))


YAML_TEXT = """\
# the stack
version: "3"   # quoted

services:
    web:           # four blanks here
        image: 'nginx:1.25'   # pinned
        ports: [80, 443]  # flow
        env: {A: 1, B: two}
        command:
        - run
        - --fast   # quickly
        deploy:
    # about the database
    db:
        image: postgres
        note: |
            two
            lines

        on: yes
list:
  - name: a
    size: 1
  - name: b
last: end"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("version", "4", 'version: "3"   #', 'version: "4"   #'),
        ("services.web.image", "nginx:1.27", "'nginx:1.25'", "'nginx:1.27'"),
        ("services.db.image", "postgres:16", "image: postgres\n", "image: postgres:16\n"),
        ("services.db.image", "yes", "image: postgres\n", 'image: "yes"\n'),
        ("services.db.image", "a: b # c", "image: postgres\n", 'image: "a: b # c"\n'),
        ("services.db.image", "1.20", "image: postgres\n", 'image: "1.20"\n'),
        ("services.db.image", 1.5, "image: postgres\n", "image: 1.5\n"),
        ("services.db.image", None, "image: postgres\n", "image: null\n"),
        ("services.db.image", True, "image: postgres\n", "image: true\n"),
        ("services.db.image", "a\nb", "image: postgres\n", 'image: "a\\nb"\n'),
        ("services.web.ports.0", 8080, "[80, 443]", "[8080, 443]"),
        ("services.web.ports.2", 8443, "[80, 443]", "[80, 443, 8443]"),
        ("services.web.ports", [1], "[80, 443]", "[1]"),
        ("services.web.env.B", "a, b", "B: two", 'B: "a, b"'),
        ("services.web.env.C", [1, {"x": None}], "B: two}", "B: two, C: [1, {x: null}]}"),
        ("services.web.command.1", "--slow", "- --fast   #", '- "--slow"   #'),
        ("services.web.command.2", "more", "# quickly\n", "# quickly\n        - more\n"),
        ("services.web.deploy", "x", "deploy:\n", "deploy: x\n"),
        ("services.web.deploy", {"replicas": 2}, "deploy:\n",
         "deploy:\n          replicas: 2\n"),
        ("services.web.user", "www", "deploy:\n", "deploy:\n        user: www\n"),
        ("services.db.note", "one", "|\n            two\n            lines\n", "one\n"),
        ("services.db.extra", {"a": [1, {"b": "c"}], "e": {}}, "on: yes\n",
         "on: yes\n        extra:\n          a:\n          - 1\n          - b: c\n"
         "          e: {}\n"),
        ("list.0.size", 2, "size: 1", "size: 2"),
        ("list.1.size", 3, "- name: b\n", "- name: b\n    size: 3\n"),
        ("list.2", {"name": "c", "size": 1}, "- name: b\n",
         "- name: b\n  - name: c\n    size: 1\n"),
        ("last", "stop", "last: end", "last: stop"),
        ("new", 1, "last: end", "last: end\nnew: 1"),
        ("new.a.b", "c", "last: end", "last: end\nnew:\n  a:\n    b: c"),
        (["a.b", "c d"], 1, "last: end", "last: end\na.b:\n  c d: 1"),
        ("version", ABSENT, 'version: "3"   # quoted\n', ""),
        ("services.web.image", ABSENT, "        image: 'nginx:1.25'   # pinned\n", ""),
        ("services.web.deploy", ABSENT, "        deploy:\n", ""),
        ("services.web.env.A", ABSENT, "A: 1, ", ""),
        ("services.web.env.B", ABSENT, ", B: two", ""),
        ("services.web.ports.1", ABSENT, ", 443", ""),
        ("services.web.command.0", ABSENT, "        - run\n", ""),
        ("list.0.name", ABSENT, "- name: a\n    size", "- size"),
        ("list.0", ABSENT, "  - name: a\n    size: 1\n", ""),
        ("list.1.name", ABSENT, "- name: b", "- {}"),
        ("last", ABSENT, "\nlast: end", ""),
    ],
)  # fmt: skip
def test_yaml(key: object, value: object, old: str, new: str | None):
    if new is None:
        with pytest.raises(Unfit):
            changed(change_yaml, YAML_TEXT, key, value)
        return
    assert YAML_TEXT.count(old) == 1
    assert changed(change_yaml, YAML_TEXT, key, value) == YAML_TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ("", "a.b", 1, "a:\n  b: 1\n"),
        ("# only this\n", "a", "x", "# only this\na: x\n"),
        ("{}\n", "a", 1, "{a: 1}\n"),
        ("a: {}\n", "a.b", 1, "a: {b: 1}\n"),
        ("a: []\n", "a.0", "x", "a: [x]\n"),
        ("a:\n  b: 1\n", "a.b", ABSENT, "a: {}\n"),
        ("a:\n- b\n", "a.0", ABSENT, "a: []\n"),
        ("a:\n- b\n", "a.1", "c", "a:\n- b\n- c\n"),
        ("- a\n- b\n", [0], "c", "- c\n- b\n"),
        ("a: 1\n", "b.c", {"d": [[1, 2], []]},
         "a: 1\nb:\n  c:\n    d:\n      - - 1\n        - 2\n      - []\n"),
        ("---\na: 1\n...\n", "a", 2, "---\na: 2\n...\n"),
        ("a: x y\n   z\nb: 1\n", "a", "q", "a: q\nb: 1\n"),
        ("8080: x\n", "8080", "z", "8080: z\n"),
        ("? a\n: 1\nb: 2\n", "b", 3, "? a\n: 1\nb: 3\n"),
        ("a: !!str 1\n", "b", 3, "a: !!str 1\nb: 3\n"),
        ("a: 2026-01-01\n", "b", 3, "a: 2026-01-01\nb: 3\n"),
        ("- a\n- b\n", [0], {"x": 1, "k": [2]}, "- x: 1\n  k:\n    - 2\n- b\n"),
        ("- a: 1\n  b: 2\n- c\n", [0], "z", "- z\n- c\n"),
        ("- a: 1\n  b: 2\n- c\n", [0], {"q": 1, "r": 2}, "- q: 1\n  r: 2\n- c\n"),
        ("a: 1\nb: 2", "b", ABSENT, "a: 1"),
        ("a: 1", "a", ABSENT, "{}"),
        ("{a: 1}\n", "a", ABSENT, "{}\n"),
        ("{a: 1, b: 2}\n", "b", ABSENT, "{a: 1}\n"),
        ("a:\n  - - 1\n    - 2\n", "a.0.1", 3, "a:\n  - - 1\n    - 3\n"),
        ("a:\nb: 1\n", "a", ABSENT, "b: 1\n"),
        ("a: >-\n  x\n  y\n\nb: 1\n", "a", "z", "a: z\n\nb: 1\n"),
        ('a: "x"\n', "a", "it's \u2713", 'a: "it\'s \u2713"\n'),
        ("a: 'x'\n", "a", "it's", "a: 'it''s'\n"),
        ("a: 'x'\n", "a", "b\nc", 'a: "b\\nc"\n'),
        ("a: x\n", "a", [], "a: []\n"),
        ("a: x\n", "a", {"b": {"c": [{"d": 1}, [2]]}},
         "a:\n  b:\n    c:\n      - d: 1\n      - - 2\n"),
    ],
)  # fmt: skip
def test_yaml_shapes(text: str, key: object, value: object, after: str):
    assert changed(change_yaml, text, key, value) == after


@pytest.mark.parametrize(
    ("text", "key", "value", "reason"),
    [
        ("a: &x {b: 1}\nc: *x\n", "c.b", 2, "cannot be changed without touching"),
        ("a: &x 1\nc: *x\n", "c", 2, "anchor or an alias"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "c.b", ABSENT, "touching"),
        ("a: 1\n---\nb: 2\n", "a", 2, "not one YAML document"),
        ("a: [1\n", "a", 2, "not one YAML document"),
        ("a: 1\na: 2\n", "a", 3, "not one YAML document"),
        ("a: 1\n", "a.b", 2, "single value"),
        ("a: [1]\n", "a.5", 2, "1 entries"),
        ("a: [1]\n", "a.x", 2, "no position"),
        ("a: 1\n", "b", ABSENT, "not there"),
        ("a:\n", "a.b", 1, "single value"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + "".join(
            f"d{n}: &d{n} [*{'c' if n == 0 else f'd{n - 1}'}, *{'c' if n == 0 else f'd{n - 1}'}]\n"
            for n in range(20)), "a", 1, "more than"),
    ],
)  # fmt: skip
def test_yaml_that_cannot_be_changed(text: str, key: object, value: object, reason: str):
    with pytest.raises(Unfit) as caught:
        changed(change_yaml, text, key, value)
    assert reason in str(caught.value)


TOML_TEXT = """\
# tools
title = 'shop'  # literal

[tool.ruff]  # style
line-length = 88
select = [
    "E",  # errors
    "F",
]

# about types
[tool.mypy]
strict = true
[tool.mypy.deep]
x = { a = 1, b = "two" }

[[servers]]
name = "a"
[[servers]]
name = "b"

[text]
body = \"\"\"
[not.a.table]
key = 1
\"\"\"
"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("title", "store", "'shop'", "'store'"),
        ("title", "it's", "'shop'", '"it\'s"'),
        ("tool.ruff.line-length", 100, "= 88", "= 100"),
        ("tool.ruff.select.1", "W", '"F"', '"W"'),
        ("tool.ruff.fix", True, '    "F",\n]\n', '    "F",\n]\nfix = true\n'),
        ("tool.mypy.strict", False, "strict = true", "strict = false"),
        ("tool.mypy.pretty", "yes", "strict = true\n", 'strict = true\npretty = "yes"\n'),
        ("tool.mypy.deep.x.a", 2, "a = 1", "a = 2"),
        ("tool.mypy.deep.y", [1, {"z": "q"}], '"two" }\n', '"two" }\ny = [1, { z = "q" }]\n'),
        ("servers.1.name", "c", 'name = "b"', 'name = "c"'),
        ("top", 1, "# literal\n", "# literal\ntop = 1\n"),
        ("tool.black.line-length", 100, 'key = 1\n"""\n',
         'key = 1\n"""\n\n[tool.black]\nline-length = 100\n'),
        (["tool", "a.b"], {"c": 1}, 'key = 1\n"""\n', 'key = 1\n"""\n\n[tool."a.b"]\nc = 1\n'),
        ("text.more", 1, 'key = 1\n"""\n', 'key = 1\n"""\nmore = 1\n'),
        ("tool.ruff.line-length", ABSENT, "line-length = 88\n", ""),
        ("title", ABSENT, "title = 'shop'  # literal\n", ""),
        ("tool.mypy.deep.x.a", ABSENT, "{ a = 1, b", "{  b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("final", ["\n", ""])
def test_toml(key: object, value: object, old: str, new: str, final: str):
    text = TOML_TEXT.removesuffix("\n") + final
    assert TOML_TEXT.count(old) == 1
    after = TOML_TEXT.replace(old, new).removesuffix("\n") + final
    assert changed(change_toml, text, key, value) == after


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ("", "a", 1, "a = 1\n"),
        ("", "a.b", 1, "[a]\nb = 1\n"),
        ("[a]\nb = 1\n", "c", 2, "c = 2\n\n[a]\nb = 1\n"),
        ("# licence\n\n# about a\n[a]\nb = 1\n", "c", 2,
         "# licence\n\nc = 2\n\n# about a\n[a]\nb = 1\n"),
        ("[a]\n\n[b]\n", "a.x", 1, "[a]\nx = 1\n\n[b]\n"),
        ("[a]\n  x = 1\n", "a.y", 2, "[a]\n  x = 1\n  y = 2\n"),
        ("a.b = 1\n", "a.b", 2, "a.b = 2\n"),
        ('["a.b"]\nc = 1\n', ["a.b", "d"], 2, '["a.b"]\nc = 1\nd = 2\n'),
        ("d = 2026-01-01\n", "e", 1, "d = 2026-01-01\ne = 1\n"),
    ],
)  # fmt: skip
def test_toml_shapes(text: str, key: object, value: object, after: str):
    assert changed(change_toml, text, key, value) == after


@pytest.mark.parametrize(
    ("text", "key", "value", "reason"),
    [
        ("a = 1\n", "a", None, "no null"),
        ("a = 1\n", "a", {"b": [None]}, "no null"),
        ("a = \n", "a", 1, "not TOML"),
        ("a = 1\n", "b", ABSENT, "not there"),
        ("a = 1\n", "a.b", 1, "single value"),
        ("[[a]]\nb = 1\n[a.c]\nd = 1\n[[a]]\n", "a.0", 1, "a.0"),
        ("[[a]]\nb = 1\n", "a.1", [1], "a.1"),
    ],
)
def test_toml_that_cannot_be_changed(text: str, key: object, value: object, reason: str):
    with pytest.raises(Unfit) as caught:
        changed(change_toml, text, key, value)
    assert reason in str(caught.value)


JSON_TEXT = """\
{
    "name" : "shop",
    "numbers": [1, 2.50, 1e3],
    "deep": {
        "a": true,
        "b": "caf\\u00e9 \\/"
    },
    "one": {"x": 1, "y": {"z": []}},
    "empty": {},
    "list": [
        {"k": 1},
        {"k": 2}
    ]
}
"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("name", "store", '"shop"', '"store"'),
        ("numbers.1", 2.5, "2.50", "2.5"),
        ("numbers.3", 4, "1e3]", "1e3, 4]"),
        ("deep.a", None, "true", "null"),
        ("deep.a", {"n": [1]}, "true",
         '{\n            "n" : [\n                1\n            ]\n        }'),
        ("deep.c", "\u00e9", '\\/"\n', '\\/",\n        "c": "\u00e9"\n'),
        ("one.w", 2, "[]}}", '[]}, "w": 2}'),
        ("one.y.z.0", "q", "[]}", None),
        ("empty.k", 1, "{},", '{\n        "k" : 1\n    },'),
        ("list.1.k", 3, '"k": 2', '"k": 3'),
        ("top", [], "    ]\n}", '    ],\n    "top" : []\n}'),
        ("top.inner", 1, "    ]\n}",
         '    ],\n    "top" : {\n        "inner" : 1\n    }\n}'),
        ("name", ABSENT, '"name" : "shop",\n    ', ""),
        ("list", ABSENT, ',\n    "list": [\n        {"k": 1},\n        {"k": 2}\n    ]', ""),
        ("one.x", ABSENT, '"x": 1, ', ""),
        ("one.y", ABSENT, ', "y": {"z": []}', ""),
        ("list.0.k", ABSENT, '{"k": 1}', "{}"),
        ("list.1", ABSENT, ',\n        {"k": 2}', ""),
    ],
)  # fmt: skip
def test_json(key: object, value: object, old: str, new: str | None):
    assert JSON_TEXT.count(old) == 1
    made = changed(change_json, JSON_TEXT, key, value)
    if new is not None:
        assert made == JSON_TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ('{"a":1,"b":[1,2]}', "c", {"d": [1, 2]}, '{"a":1,"b":[1,2],"c":{"d":[1,2]}}'),
        ("{}", "a", 1, '{\n  "a": 1\n}'),
        ("{}\n", "a", 1, '{\n  "a": 1\n}\n'),
        ("[1]", [0], 2, "[2]"),
        ('{\n\t"a": {}\n}', "a.b", 1, '{\n\t"a": {\n\t\t"b": 1\n\t}\n}'),
        ('// c\n{\n  // why\n  "a": 1, // this\n}\n', "a", 2,
         '// c\n{\n  // why\n  "a": 2, // this\n}\n'),
        ('{"a": {"b": 1}}', "a.b", ABSENT, '{"a": {}}'),
    ],
)  # fmt: skip
def test_json_shapes(text: str, key: object, value: object, after: str):
    assert changed(change_json, text, key, value) == after


@pytest.mark.parametrize(
    ("text", "key", "value", "reason"),
    [
        ('{"a": 1', "a", 2, "not JSON"),
        ('{"a": 1} x', "a", 2, "not JSON"),
        ('{"a": 01}', "a", 2, "not JSON"),
        ('{"a": 1, "a": 2}', "a", 2, "twice"),
        ('{"a": 1}', "a.b", 2, "single value"),
        ('{"a": 1}', "b", ABSENT, "not there"),
        ("[" * 500 + "]" * 500, [0], 2, "too deeply"),
    ],
)
def test_json_that_cannot_be_changed(text: str, key: object, value: object, reason: str):
    with pytest.raises(Unfit) as caught:
        changed(change_json, text, key, value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [(change_json, '{"a": 1}'), (change_toml, "a = 1\n"), (change_yaml, "a: 1\n")],
)
def test_create_refuses_what_is_there(change: Change, text: str):
    with pytest.raises(Unfit, match="there already"):
        change(text, task("a", 2, "create"))
    assert change(text, task("b", 2, "create")) != text
    assert change(text, task("a", 1)) == text
