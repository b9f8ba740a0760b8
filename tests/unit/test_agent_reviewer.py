"""The code reviewer's rules, one by one, and what holds for all of them."""
# ruff: noqa: E501 (a sample is one line)

from pathlib import Path
from typing import Any, get_args

import pytest

from penstock_agent_code_reviewer import ruff_program
from penstock_agent_code_reviewer.changes import compared
from penstock_agent_code_reviewer.coverage_report import of_file, read
from penstock_agent_code_reviewer.duplicates import duplicates
from penstock_agent_code_reviewer.file_review import review
from penstock_agent_code_reviewer.foreign_rules import patterns
from penstock_agent_code_reviewer.models import Category, ReviewInput, Severity
from penstock_agent_code_reviewer.python_tree import is_test_name
from penstock_agent_code_reviewer.rules import Found, own_rules
from penstock_agent_code_reviewer.scoring import score
from penstock_agent_sdk.repository import SourceFile

PURE = """
def pure(values):
    values.strip()
    return values
"""


def found(text: str, name: str = "shop.py") -> list[Found]:
    """What is found without ruff, so that nothing is started."""
    return review(SourceFile(name, Path(name), text.encode()), ()).found


def told(text: str, name: str = "shop.py") -> set[tuple[str, int]]:
    return {(one.rule.name, one.line) for one in found(text, name)}


def severe(text: str, name: str = "shop.py") -> set[str]:
    return {one.rule.name for one in found(text, name) if one.weight in ("blocker", "critical")}


@pytest.mark.parametrize("rules", [own_rules(), ruff_program.rules()], ids=["own", "ruff"])
def test_every_rule_is_of_a_known_kind(rules: dict[str, Any]) -> None:
    for rule in rules.values():
        assert rule.category in get_args(Category), rule
        assert rule.severity in get_args(Severity), rule
        assert rule.suggestion.endswith("."), rule
        assert rule.category != "style" or rule.severity == "minor", rule


def test_patterns_name_rules_and_languages() -> None:
    assert all(one.languages and one.reading in ("code", "text", "raw") for one in patterns())


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("async def f():\n    pass\n\nasync def g():\n    f()\n", "missing-await", 5),
        ("import asyncio\nasync def g():\n    asyncio.sleep(1)\n", "missing-await", 3),
        ("async def f():\n    yield 1\n\ndef g():\n    for x in f():\n        x()\n", "missing-async", 5),
        ("def f():\n    pass\nasync def g():\n    await f()\n", "awaits-nothing", 4),
        ("def f(a):\n    if a == 1 or 2:\n        return a\n    return a\n", "always-true", 2),
        ("def f(a):\n    return len(a) < 0\n", "always-false", 2),
        ("def ok():\n    return 1\ndef f():\n    if ok:\n        f()\n", "always-true", 4),
        ("def f(s):\n    if s.find('x'):\n        f(s)\n", "find-as-condition", 2),
        ("def f(s):\n    return s in ('abc')\n", "text-membership", 2),
        ("def f(a):\n    if a is None:\n        a.b()\n", "none-used", 3),
        ("def f(a):\n    return a.x == 1 and a.x == 1\n", "repeated-operand", 2),
        ("def f(a):\n    if a:\n        f(1)\n    else:\n        f(1)\n", "same-branches", 2),
        ("def f(a, b):\n    return a\ndef g():\n    return f(1)\n", "wrong-arguments", 4),
        ("def f(a):\n    return a\ndef g():\n    return f(1, c=2)\n", "wrong-arguments", 4),
        ("class A:\n    def f(self, a):\n        return a\n    def g(self):\n        self.f()\n", "wrong-arguments", 5),
        (PURE, "unused-result", 3),
        ("def f():\n    a = [2, 1]\n    return a.sort()\n", "result-is-none", 3),
        ("def f(a):\n    return 'n: ' + len(a)\n", "text-plus-number", 2),
        ("import re\nA = re.compile('(')\n", "broken-pattern", 2),
        ("import re\nA = re.compile('(a+)+b')\n", "exponential-pattern", 2),
        ("def w():\n    print(1)\ndef f(T):\n    T(target=w())\n", "called-too-early", 4),
        ("import subprocess\nsubprocess.run('ls -l')\n", "text-program", 2),
        ("import hashlib\nA = hashlib.sha256('a')\n", "text-not-bytes", 2),
        ("a, b = 1, 2, 3\n", "wrong-unpacking", 1),
        ("A = [\n    'one',\n    'two'\n    'three',\n    'four',\n]\n", "missing-comma", 3),
        ("def f():\n    x = open('a')\n    return len(x.read())\n", "leak", 2),
        ("def f(p):\n    with open(p) as x:\n        x.write('')\n", "wrong-mode", 3),
        ("def f(lock, n):\n    lock.acquire()\n    n += 1\n    return n\n", "lock-kept", 2),
        ("class A:\n    all = []\n    def f(self):\n        self.all.append(1)\n", "shared-by-instances", 2),
        ("def f(x):\n    for a in x:\n        x.remove(a)\n", "changed-while-iterated", 3),
        ("def f(x):\n    return x[len(x)]\n", "index-beyond-end", 2),
        ("def f(x):\n    for i in range(len(x) - 1):\n        print(x[i])\n", "last-left-out", 2),
        ("def f(x):\n    i = 0\n    while i <= len(x):\n        print(x[i])\n        i += 1\n", "index-beyond-end", 4),
        ("def f(x):\n    for i in len(x):\n        print(i)\n", "iterates-number", 2),
        ("def f(n):\n    i = 0\n    while i < n:\n        print(n)\n", "endless-loop", 3),
        ("def f():\n    return 1\n    print(2)\n", "unreachable", 3),
        ("def f(a):\n    for x in a:\n        print(x)\n        return x\n", "single-turn", 4),
        ("class A:\n    @property\n    def f(self):\n        self.x\n", "property-without-return", 3),
        ("import contextlib\n@contextlib.contextmanager\ndef f():\n    print(1)\n", "context-without-yield", 3),
        ("def f(n):\n    return n * f(n - 1)\n", "endless-recursion", 2),
        ("class A:\n    def f():\n        return 1\n", "no-self", 2),
        ("class A:\n    def __init__(self):\n        self.count = 0\n    def f(self):\n        self.cuont += 1\n", "unknown-attribute", 5),
        ("def f(a):\n    for x in a:\n        if x:\n            return x\ndef g(a):\n    return f(a).b\n", "may-be-none", 6),
        ("def f(n):\n    while n > 0:\n        n += 1\n", "endless-loop", 2),
        ("import os\ndef f(a):\n    os.system('ls ' + a)\n", "shell-injection", 3),
        ("import logging\ndef f(password):\n    logging.info('%s', password)\n", "secret-logged", 3),
        ("<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> b\n", "conflict-marker", 1),
    ],
)  # fmt: skip
def test_a_python_rule_finds_its_defect(text: str, rule: str, line: int) -> None:
    assert (rule, line) in told(text)


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasync def f():\n    pass\nasync def g():\n    t = asyncio.create_task(f())\n    await t\n",
        "async def f():\n    pass\nasync def g(f):\n    f()\n",  # another f
        "def f(a):\n    return (a == 1 or a == 2) and (a or 'none')\n",
        "def f(a, b):\n    return a.next() == 1 and a.next() == 1\n",  # calls may differ
        "def f(a):\n    if a is None:\n        a = b()\n        a.c()\n",
        "def f(a, *rest, **named):\n    return a\ndef g(x):\n    return f(*x), f(1, 2, c=3)\n",
        "def f(a, /, b=1, *, c=2):\n    return a\ndef g():\n    return f(1), f(1, 2, c=3), f(1, b=2)\n",
        "from pathlib import Path\ndef f(a):\n    Path(a).replace('b')\n",
        "def f(df):\n    df = df.append(1)\n    return df.sort('a')\n",
        "import re\nA = re.compile(r'\\w+(?:,\\w+)*')\n",
        "def f(p):\n    x = open(p)\n    return x\n",
        "def f(p, s):\n    x = open(p)\n    s.push(x)\n",
        "def f(x):\n    for a in x:\n        if a:\n            x.remove(a)\n            break\n",
        "def f(x):\n    for a in list(x):\n        x.remove(a)\n",
        "def f(work):\n    for job in work:\n        work.append(job.next)\n",  # a work list
        "def f(x):\n    for i in range(len(x)):\n        if i + 1 < len(x):\n            print(x[i + 1])\n",
        "def f(n):\n    i = 0\n    while i < n:\n        i = step(i)\n",
        "def f(q):\n    while q < 3:\n        if done():\n            break\n",
        "def f():\n    return\n    yield\n",
        "class A:\n    def __eq__(self, other):\n        return NotImplemented\n",
        "PASSWORD_FIELD = 'password'\nTOKEN_URL = 'https://a.example/token'\nsecret_name = 'db-credentials'\n",
        "import subprocess\nsubprocess.run(['ls', '-l'])\nsubprocess.run('ls')\n",
        "def f(cursor, n):\n    cursor.execute(f'SELECT a FROM {TABLE} LIMIT {int(n)}')\n",
        "def f(self):\n    self.lock.acquire()\ndef g(self):\n    self.lock.release()\n",
    ],
)  # fmt: skip
def test_what_only_looks_wrong_is_not_called_critical(text: str) -> None:
    assert severe(text) == set()


@pytest.mark.parametrize(
    ("name", "text", "rule", "line"),
    [
        ("a.js", "if (a = 1) {\n}\n", "assignment-in-condition", 1),
        ("a.js", "try { x() } catch (e) {}\n", "empty-catch", 1),
        ("a.js", "if (typeof a === 'undefned') {}\n", "bad-typeof", 1),
        ("a.js", "if (a && b);\n{\n  c()\n}\n", "empty-body", 1),
        ("a.ts", "const t = cond !== null || cond.x\n", "null-used", 1),
        ("a.test.js", "it('adds', () => {\n  add(1)\n})\n", "test-without-assert", 1),
        ("a.go", "package a\nfunc f(c Conf) {\n\tc.T = &tls.Config{InsecureSkipVerify: true}\n}\n", "unverified-tls", 3),
        ("a.go", "package a\nfunc f() {\n\tresp, err := http.Get(u)\n\tif err != nil {\n\t\treturn\n\t}\n\tuse(resp.Status)\n}\n", "body-not-closed", 3),
        ("A.java", "class A {\n  public boolean equals(Object o) { return true; }\n}\n", "equals-without-hash", 2),
        ("A.java", "class A {\n  void f() {\n    for (int i = 0; i <= a.length; i++) {\n      b(a[i]);\n    }\n  }\n}\n", "index-beyond-end", 3),
        ("a.js", "async function f() {}\nfunction g() {\n  const a = f();\n  use(a.b);\n}\n", "missing-await", 3),
        ("a.js", "function f(a) {\n  if (!a) {\n    return a.b;\n  }\n}\n", "none-used", 3),
        ("a.js", "function f() {\n  return\n  {\n    a: 1\n  };\n}\n", "return-cut-off", 2),
        ("a.js", "switch (a) {\n  case 1:\n    b();\n  case 2:\n    c();\n}\n", "falls-through", 2),
        ("a.go", "package a\nfunc f() {\n\tvar m map[string]int\n\tm[k] = 1\n}\n", "nil-map", 4),
        ("A.java", "class A {\n  boolean f(String a, String b) {\n    return a == b;\n  }\n}\n", "text-compared-by-identity", 3),
        ("A.java", "class A {\n  void f() {\n    new Thread(r).run();\n  }\n}\n", "thread-not-started", 3),
        ("A.java", 'class A {\n  Cipher c = Cipher.getInstance("DES");\n}\n', "weak-cipher", 2),
    ],
)  # fmt: skip
def test_a_rule_of_another_language_finds_its_defect(
    name: str, text: str, rule: str, line: int
) -> None:
    assert (rule, line) in told(text, name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.js", "async function f() {}\nfunction g() {\n  const a = f();\n  a.then(use);\n}\n"),
        ("a.js", "function f(a) {\n  if (!a) {\n    a = {};\n    a.b = 1;\n  }\n}\n"),
        ("a.js", "while (node = node.next) {\n  use(node);\n}\nif ((m = re.exec(s))) {}\n"),
        ("a.go", "package a\nfunc f() {\n\tvar m map[string]int\n\tm = load()\n\tm[k] = 1\n}\n"),
        ("A.java", "class A {\n  boolean f(Kind a, Kind b) {\n    return a == b;\n  }\n}\n"),
        ("A.java", 'class A {\n  // a == "text"\n  String s = "x == \\"y\\"";\n}\n'),
    ],
)
def test_what_only_looks_wrong_in_other_languages_is_not_called_critical(
    name: str, text: str
) -> None:
    assert severe(text, name) == set()


def test_comments_and_strings_of_other_languages_are_no_code() -> None:
    text = "// if (a = 1) {}\n/* x === NaN */\nconst s = 'x === NaN'\nconst t = `if (a = 1)`\n"
    assert told(text, "a.js") == set()


def test_one_line_is_told_once_of_what_means_the_same() -> None:
    text = "def f():\n    try:\n        g()\n    except:\n        pass\n"
    assert {name for name, _ in told(text)} == {"swallowed-exception"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tests/test_a.py", True),
        ("src/a_test.go", True),
        ("src/a.spec.ts", True),
        ("src/test/java/ATest.java", True),
        ("src/contest.py", False),
        ("src/latest/a.py", False),
    ],
)
def test_tests_are_known_by_name(name: str, expected: bool) -> None:
    assert is_test_name(name) is expected


def test_changed_lines_and_their_origin() -> None:
    changes = compared(["one", "two", "three", "four"], ["one", "2", "three", "four", "five"])
    assert changes.lines == {2, 5}
    assert changes.origin == {1: 1, 3: 3, 4: 4}
    assert compared(["a\r", "b\r"], ["a", "b"]).lines == frozenset()


def test_a_text_too_large_to_compare_is_compared_by_its_lines() -> None:
    before = [f"line {n}" for n in range(3_500)]
    after = ["new", *reversed(before), "newer"]
    assert compared(before, after).lines == {1, 3_502}


def test_the_score_never_rises_with_an_issue() -> None:
    assert score({}, 10) == 100
    for lines in (0, 1, 50, 100_000):
        for have in ({}, {"minor": 3}, {"major": 1, "critical": 2}, {"blocker": 1}):
            for more in get_args(Severity):
                worse = {**have, more: have.get(more, 0) + 1}
                assert score(worse, lines) <= score(have, lines) < 101
                assert score(worse, lines) < 100
    assert score({"blocker": 1}, 10**6) == 49
    assert score({"critical": 1}, 10**6) == 74


XML = '<coverage><class filename="a.py"><lines><line number="1" hits="1"/><line hits="0" number="2"/></lines></class></coverage>'
LCOV = "SF:a.py\nDA:1,3\nDA:2,0\nend_of_record\n"
JSON = '{"files": {"a.py": {"executed_lines": [1], "missing_lines": [2]}}}'


@pytest.mark.parametrize(
    ("name", "text"), [("coverage.xml", XML), ("lcov.info", LCOV), ("coverage.json", JSON)]
)
def test_coverage_reports_are_read(name: str, text: str) -> None:
    told_by, report = read({name: SourceFile(name, Path(name), text.encode())})
    assert told_by == name
    assert of_file(report, "src/a.py") == {1: True, 2: False}
    assert of_file(report, "src/b.py") is None


def test_a_damaged_report_tells_nothing() -> None:
    broken = SourceFile("coverage.json", Path("coverage.json"), b'{"files": 3}')
    assert read({"coverage.json": broken}) == (None, {})


def test_lines_that_are_there_twice() -> None:
    block = [f"    total_{n} = compute_something(value_{n}, other_{n})" for n in range(12)]
    texts = {"a.py": block, "b.py": ["def f():", *block]}
    [one] = duplicates(texts, {"a.py": None, "b.py": None})["b.py"]
    assert (one.line, one.end) == (2, 13)
    assert "12 lines" in one.text
    assert duplicates(texts, {"a.py": frozenset(), "b.py": frozenset({2, 3})}) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"changed_files": ["../a.py"]},
        {"changed_files": ["/etc/passwd"]},
        {"baseline": "--upload-pack=x"},
        {"baseline": "a b"},
        {"other": 1},
    ],
)
def test_hostile_input_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ReviewInput.model_validate({"repository_path": "/r", **fields})


def test_input_names_may_be_camel_case() -> None:
    given = {"repositoryPath": "/r", "changedFiles": ["./a.py"], "baselinePath": "b.json"}
    task = ReviewInput.model_validate(given)
    assert (task.changed_files, task.baseline_path) == (("a.py",), "b.json")


def test_no_secret_is_told() -> None:
    value = "tr0ub4dor" + "&3xyz"
    [one] = [one for one in found(f'db_password = "{value}"\n') if one.rule.category == "security"]
    assert one.weight == "critical"
    assert value not in one.text
