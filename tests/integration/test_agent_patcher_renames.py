"""Renames in Python: what is followed, what is left alone and named, what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock_agent_patcher.models import Proposal
from tests.integration.patcher_repository import Bare, Entry, bare


@dataclass(frozen=True)
class Case:
    """Files with `@name@` wherever the new name has to stand afterwards."""

    name: str
    symbol: str
    new: str
    files: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def file(self) -> str:
        return next(iter(self.files))


CASES = [
    Case(
        "function across modules",
        "load",
        "fetch",
        {
            "pkg/a.py": "def @load@(x):\n    'load it'\n    return x  # load\nS = 'load'\n",
            "pkg/__init__.py": "from .a import @load@\n__all__ = ['load']\n",
            "b.py": (
                "import pkg.a\nfrom pkg.a import @load@\nfrom pkg.a import @load@ as other\n"
                "import pkg\nimport pkg.a as pa\n"
                "@load@(1); pkg.a.@load@(2); pkg.@load@(3); other(4); pa.@load@(5)\n"
                "def f():\n    load = 3\n    return load\ndef g(load): return load\n"
                "f'{@load@(1)}'\nd = dict(load=1)\n"
            ),
        },
        ("in b.py:8, b.py:9, b.py:10, b.py:12", "strings and comments: pkg/__init__.py:2"),
    ),
    Case(
        "method of a hierarchy, short name",
        "A.go",
        "run",
        {
            "m.py": (
                "class A:\n    def @go@(self): return 1\n    def x(self): return self.@go@()\n"
                "class B(A):\n    def @go@(self): return super().@go@()\n"
                "class C:\n    def go(self): return 3\n"
            ),
            "n.py": (
                "from m import A, B, C\nA().@go@()\nB().@go@()\nC().go()\n"
                "def f(a: A, c: C):\n    a.@go@(); c.go()\n"
            ),
        },
    ),
    Case(
        "parameter and keywords",
        "f.size",
        "length",
        {
            "m.py": (
                "def f(@size@, other=1):\n    @size@ = @size@ + 1\n"
                "    def inner(size): return size\n    return @size@\n"
                "f(@size@=3)\nsize = 4\nf(size, other=size)\n"
            ),
            "n.py": "from m import f\nf(@size@=1)\ndict(size=2)\n",
        },
    ),
    Case(
        "global and nonlocal",
        "count",
        "total",
        {
            "m.py": (
                "@count@ = 0\ndef bump():\n    global @count@\n    @count@ += 1\n"
                "def out():\n    count = 1\n    def inner():\n        nonlocal count\n"
                "        count += 1\n    return [count for count in range(3)]\n"
            ),
            "n.py": "import m\nm.@count@ = 5\nprint(m.@count@)\n",
        },
    ),
    Case(
        "attribute set on self",
        "A.size",
        "length",
        {
            "m.py": (
                "class A:\n    def __init__(self):\n        self.@size@ = 1\n"
                "    def get(self): return self.@size@\n"
                "class Z:\n    def __init__(self): self.size = 2\n"
            ),
            "n.py": "from m import A, Z\na = A()\na.@size@\nZ().size\n",
        },
    ),
    Case(
        "field of a dataclass",
        "P.size",
        "length",
        {
            "m.py": (
                "from dataclasses import dataclass\n@dataclass\nclass P:\n    @size@: int = 0\n"
                "    def area(self): return self.@size@\np = P(@size@=3)\np.@size@\n"
            )
        },
    ),
    Case(
        "star import",
        "load",
        "fetch",
        {"m.py": "def @load@(): pass\n", "n.py": "from m import *\n@load@()\n"},
    ),
    Case(
        "class, with annotations as text left alone",
        "User",
        "Person",
        {
            "m.py": (
                "from __future__ import annotations\nclass @User@:\n"
                "    def copy(self) -> 'User': return @User@()\n"
                "    def me(self: @User@) -> @User@: return self\n"
            ),
            "n.py": (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from m import @User@\n"
                "def f(u: 'User') -> list['User']: return [u]\n"
            ),
        },
        ("strings and comments: m.py:3, n.py:4",),
    ),
    Case(
        "a broken file beside",
        "load",
        "fetch",
        {
            "m.py": "def @load@(): pass\n",
            "bad.py": "def (:\n",
            "n.py": "from m import @load@\n@load@()\n",
        },
    ),
    Case(
        "line ends, marks and form feeds",
        "load",
        "fetch",
        {
            "m.py": "\ufeffdef @load@(): pass\r\n\x0c\r\n@load@()\r\n",
            "n.py": "from m import @load@\r\n@load@()",
            "o.py": "from m import @load@\r\n'\u00e9'; @load@()\n",
        },
    ),
    Case(
        "source folder",
        "load",
        "fetch",
        {
            "src/shop/a.py": "def @load@(): pass\n",
            "src/shop/__init__.py": "",
            "src/shop/b.py": "from shop.a import @load@\n@load@()\n",
            "tests/test_a.py": (
                "from shop.a import @load@\nfrom shop import a\ndef test(): @load@(); a.@load@()\n"
            ),
        },
    ),
    Case(
        "property",
        "K.v",
        "w",
        {
            "m.py": (
                "class K:\n    @property\n    def @v@(self): return 1\n    @@v@.setter\n"
                "    def @v@(self, x): pass\nK().@v@ = 3\n"
            )
        },
    ),
    Case(
        "inferred instances",
        "A.total",
        "amount",
        {
            "m.py": (
                "class A:\n    def @total@(self): return 1\ndef make() -> A: return A()\n"
                "def make2(): return A()\n"
            ),
            "n.py": (
                "from m import make, make2\nmake().@total@()\nmake2().@total@()\n"
                "for x in [make()]: x.@total@()\ny = {1: make()}[1]\ny.@total@()\n"
            ),
        },
    ),
    Case(
        "packages below several folders",
        "Agent.plans",
        "proposes",
        {
            "libs/kinds/agent.py": "class Agent:\n    @property\n    def @plans@(self): return 1\n",
            "libs/kinds/__init__.py": "",
            "services/one/service/__init__.py": "",
            "services/one/service/main.py": (
                "from kinds.agent import Agent\ndef f(a: Agent) -> int: return a.@plans@\n"
            ),
        },
    ),
    Case(
        "redefined",
        "load",
        "fetch",
        {"m.py": "def @load@(): pass\n@load@ = wrap(@load@)\n@load@()\n"},
    ),
    Case(
        "receiver of unknown type",
        "A.total",
        "amount",
        {
            "m.py": "class A:\n    def @total@(self): return 1\n",
            "n.py": "def f(a): return a.total()\n",
        },
        ("not told apart, in n.py:1",),
    ),
]


def rename(repository: Bare, case: Case) -> Proposal:
    operation = {
        "type": "rename", "file": case.file, "symbol": case.symbol, "new_name": case.new
    }  # fmt: skip
    made = repository.plan(operations=[operation])
    assert isinstance(made, Proposal), made
    return made


def with_names(text: str, old: str, new: str) -> bytes:
    return text.replace(f"@{old}@", new).encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_renames(case: Case, tmp_path: Path):
    old = case.symbol.rpartition(".")[2]
    files: dict[str, Entry] = {
        path: with_names(text, old, old) for path, text in case.files.items()
    }
    repository = bare(tmp_path / "c.git", files)
    made = rename(repository, case)
    after = {
        each.path: repository.git("cat-file", "blob", each.blob)
        for each in made.files
        if each.blob is not None
    }
    wanted = {path: with_names(text, old, case.new) for path, text in case.files.items()}
    assert {**files, **after} == wanted
    assert [note for note in case.notes if note not in made.summary] == []


@pytest.mark.parametrize(
    ("files", "symbol", "new", "reason"),
    [
        ({"m.py": b"def load(): pass\nfetch = 1\n"}, "load", "fetch", "means something there"),
        ({"m.py": b"def load(fetch): return load(fetch)\n"}, "load", "fetch",
         "means something there"),
        ({"m.py": b"def load(): pass\n", "n.py": b"from m import load\nfetch = load\n"}, "load",
         "fetch", "means something there"),
        ({"m.py": b"class A:\n    def a(self): self.b = 1\n    def c(self): pass\n"}, "A.c", "b",
         "self.b is used"),
        ({"m.py": b"x = 1\nclass A:\n    x = x\n    y = [x for _ in range(3)]\n"}, "x", "z",
         "would be missed"),
        ({"m.py": b"def load(): pass\n"}, "store", "fetch", "not defined in this file"),
        ({"m.py": b"def load(): pass\n"}, "load.x.y", "fetch", "no class or function"),
        ({"m.py": b"from os import path\n"}, "path", "fetch", "not defined in this file"),
        ({"m.py": b"def load(): pass\n"}, "load", "class", "keyword"),
        ({"m.py": b"def load(): pass\n"}, "load", "a-b", "identifier"),
        ({"m.py": b"def load(): pass\n"}, "load", "print", "builtin"),
        ({"m.py": b"def load(): pass\n"}, "load", "load", "its name already"),
        ({"m.py": b"def (:\n"}, "load", "fetch", "cannot be read as Python"),
        ({"m.py": b"# coding: latin-1\ndef load(): '\xe9'\n"}, "load", "fetch", "not UTF-8"),
        ({"n.py": b"def load(): pass\n"}, "load", "fetch", "no such Python file"),
        ({"m.py": ("120000", b"n.py"), "n.py": b"def load(): pass\n"}, "load", "fetch",
         "no such Python file"),
    ],
)  # fmt: skip
def test_renames_that_are_refused(
    tmp_path: Path, files: dict[str, Entry], symbol: str, new: str, reason: str
):
    operation = {"type": "rename", "file": "m.py", "symbol": symbol, "newName": new}
    found = bare(tmp_path / "c.git", files).refusal(operations=[operation])
    assert len(found) == 1
    assert reason in found[0][1]


def test_nothing_of_the_repository_runs(tmp_path: Path):
    trace = tmp_path / "trace"
    evil = f"open({str(trace)!r}, 'w')\n".encode()
    repository = bare(
        tmp_path / "c.git",
        {
            "m.py": evil + b"def load(): pass\n",
            "n.py": b"from m import load\nload()\n" + evil,
            "conftest.py": evil,
            "sitecustomize.py": evil,
            "setup.py": evil + b"import sys; sys.path.insert(0, 'x')\n",
            ".ropeproject/config.py": evil + b"def set_prefs(prefs): pass\n",
            "pyproject.toml": b"[tool.rope]\n",
        },
    )
    operation = {"type": "rename", "file": "m.py", "symbol": "load", "new_name": "fetch"}
    assert set(repository.changed(operations=[operation])) == {"m.py", "n.py"}
    assert not trace.exists()
