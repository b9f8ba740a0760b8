"""Tests that cannot fail."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    Function,
    PythonFile,
    called,
    constant,
    decorator_names,
    last_name,
    same,
)
from penstock_agent_code_reviewer.rules import Found, rule

_CHECKING = ("assert", "check", "verify", "expect", "should", "raises", "warns", "fail", "ensure",
             "validate", "compare", "match", "approx", "must", "require", "diff", "test",
             "benchmark", "snapshot", "given", "run_", "then", "reject", "refus", "problem",
             "accept", "denied", "raise", "stale", "wait_for", "until")  # fmt: skip


def without_assert(file: PythonFile) -> Iterator[Found]:
    """A test function that checks nothing, not even through something it calls."""
    if not file.is_test:
        return
    for function in file.functions:
        if not function.name.startswith("test") or decorator_names(function) & {"fixture", "skip"}:
            continue
        if file.scope(function) is not None or not _is_collected(file, function):
            continue
        if not _checks(file, function, depth=2):
            severity = "minor" if _calls_shared(file, function) else None
            yield Found(
                rule("test-without-assert"),
                function.lineno,
                end=function.end_lineno or 0,
                severity=severity,
            )


def _is_collected(file: PythonFile, function: Function) -> bool:
    holder = file.class_of(function)
    return holder is None or holder.name.startswith("Test") or bool(holder.bases)


def _checks(file: PythonFile, function: Function, depth: int) -> bool:
    for node in ast.walk(function):
        if isinstance(node, (ast.Assert, ast.Raise)):
            return True
        if isinstance(node, ast.Call):
            name = last_name(node).lower()
            if any(word in name for word in _CHECKING):
                return True
            target = file.top_functions.get(called(node))
            if depth and target is not None and _checks(file, target, depth - 1):
                return True
    return False


def _calls_shared(file: PythonFile, function: Function) -> bool:
    """Whether it calls what tests share: that may check."""
    shared = {
        (each.asname or each.name)
        for node in file.nodes
        if isinstance(node, ast.ImportFrom)
        and (node.level or "test" in (node.module or "") or "conftest" in (node.module or ""))
        for each in node.names
    }
    return any(called(one).split(".")[0] in shared for one in ast.walk(function))


def always_passes(file: PythonFile) -> Iterator[Found]:
    """`assert True`, `assert x == x`, `assertTrue(x, 3)`."""
    for node in file.nodes:
        match node:
            case ast.Assert(test=ast.Constant(value=value)) if value is True or (
                isinstance(value, int | str) and value
            ):
                yield Found(rule("always-passes"), node.lineno)
            case ast.Assert(
                test=ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[one])
            ):
                calls = any(isinstance(each, ast.Call) for each in ast.walk(left))
                if same(left, one) and not calls and not _equality_test(file, node):
                    yield Found(rule("always-passes"), node.lineno)
            case ast.Call(func=ast.Attribute(attr=name), args=[one, other]) if file.is_test:
                value = constant(other)
                if name in ("assertTrue", "assertFalse") and isinstance(value, int | float):
                    yield Found(rule("assert-true-with-value"), node.lineno)
                calls = any(isinstance(each, ast.Call) for each in ast.walk(one))
                if name in ("assertEqual", "assertEquals") and same(one, other) and not calls:
                    yield Found(rule("always-passes"), node.lineno)
            case ast.Call(func=ast.Attribute(attr="assertTrue"), args=[ast.Constant(value=True)]):
                yield Found(rule("always-passes"), node.lineno)
            case _:
                pass


def _equality_test(file: PythonFile, node: ast.AST) -> bool:
    """`assert x == x` is how a test of __eq__ is written."""
    scope = file.scope(node)
    name = getattr(scope, "name", "")
    return any(
        word in name.lower() for word in ("eq", "equal", "hash", "identity", "reflex", "same")
    )


def sleeps(file: PythonFile) -> Iterator[Found]:
    """A test that waits for a time instead of for an event."""
    if not file.is_test:
        return
    for node in file.nodes:
        if called(node) in ("time.sleep", "asyncio.sleep") and isinstance(node, ast.Call):
            span = constant(node.args[0]) if node.args else None
            if isinstance(span, int | float) and span >= 0.5:
                yield Found(rule("test-sleeps"), node.lineno)


def skipped(file: PythonFile) -> Iterator[Found]:
    """A test that is switched off without a reason."""
    for function in file.functions if file.is_test else []:
        for one in function.decorator_list:
            bare = not isinstance(one, ast.Call) or not (one.args or one.keywords)
            if last_name(one) == "skip" and bare:
                yield Found(rule("skipped-test"), one.lineno)


CHECKS = (without_assert, always_passes, sleeps, skipped)
