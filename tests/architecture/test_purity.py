"""The core is a function of its arguments: no clock, chance, environment, log or await."""

from __future__ import annotations

import ast

from tests.architecture.tree import Source, imports_of, sources

BANNED_MODULES = frozenset(
    {
        "asyncio",
        "concurrent",
        "logging",
        "multiprocessing",
        "os",
        "random",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
    }
)
BANNED_CALLS = frozenset(
    {
        "date.today",
        "datetime.now",
        "datetime.today",
        "datetime.utcnow",
        "input",
        "open",
        "print",
        "uuid.uuid1",
        "uuid.uuid4",
        "uuid1",
        "uuid4",
    }
)


def core() -> list[Source]:
    return [source for source in sources() if source.package == "penstock_core"]


def dotted(node: ast.expr) -> str:
    """`datetime.now` for the expression `datetime.now`, else an empty string."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return ""


def test_core_imports_nothing_that_acts():
    strays = [
        f"{source.path}:{line}: {name}"
        for source in core()
        for name, line in imports_of(source.tree)
        if name in BANNED_MODULES or name.split(".")[0] in BANNED_MODULES
    ]
    assert strays == []


def test_core_calls_no_clock_chance_or_file():
    strays = [
        f"{source.path}:{node.lineno}: {name}"
        for source in core()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        for name in [dotted(node.func)]
        if any(name == banned or name.endswith(f".{banned}") for banned in BANNED_CALLS)
    ]
    assert strays == []


def test_core_never_awaits():
    strays = [
        f"{source.path}:{node.lineno}"
        for source in core()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert strays == []
