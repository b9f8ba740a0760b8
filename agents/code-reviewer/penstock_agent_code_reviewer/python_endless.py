"""Loops that never end."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    PythonFile,
    bound_names,
    constant,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_LEAVES = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.Await, ast.YieldFrom)
_STOPS = ("exit", "_exit", "abort", "execv", "fail", "skip")


def endless(file: PythonFile) -> Iterator[Found]:
    """A while loop whose condition nothing in the loop can change."""
    for node in file.nodes:
        if isinstance(node, ast.While) and (_idle(node) or _unmoved(file, node)):
            yield Found(rule("endless-loop"), node.lineno, end=node.end_lineno or 0)


def _idle(loop: ast.While) -> bool:
    """`while True: pass`."""
    true = isinstance(constant(loop.test), bool | int) and bool(constant(loop.test))
    return true and all(isinstance(one, (ast.Pass, ast.Continue)) for one in loop.body)


def _unmoved(file: PythonFile, loop: ast.While) -> bool:
    scope = file.scope(loop)
    if scope is None or not _only_numbers(loop.test):
        return False
    inside = list(ast.walk(ast.Module(loop.body, [])))
    if any(isinstance(one, _LEAVES) or last_name(one) in _STOPS for one in inside):
        return False
    wanted = {one.id for one in ast.walk(loop.test) if isinstance(one, ast.Name)}
    bound = {name for one in inside for name in bound_names(one)}
    local = {name for one in within(scope) for name in bound_names(one)}
    if not wanted & local or not all(name in local or name.isupper() for name in wanted):
        return False
    if any(isinstance(one, ast.Nonlocal | ast.Global) for one in ast.walk(scope)):
        return False  # another function may change it
    return not wanted & bound or _moves_away(loop, wanted & bound)


def _only_numbers(test: ast.expr) -> bool:
    """A single comparison of local names and numbers by size."""
    match test:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(
            op, ast.Lt | ast.LtE | ast.Gt | ast.GtE
        ):
            sides = (left, right)
            return all(
                isinstance(one, ast.Name) or isinstance(constant(one), int | float) for one in sides
            )
        case _:
            return False


def _moves_away(loop: ast.While, bound: set[str]) -> bool:
    """Whether the one name that changes only ever moves away from the end: `n > 0`, `n += 1`."""
    match loop.test:
        case ast.Compare(left=ast.Name(id=name), ops=[op]) if bound == {name}:
            away = ast.Add if isinstance(op, ast.Gt | ast.GtE) else ast.Sub
        case _:
            return False
    changes = [one for one in ast.walk(loop) if name in bound_names(one)]
    steps = [
        one
        for one in ast.walk(loop)
        if isinstance(one, ast.AugAssign)
        and isinstance(one.target, ast.Name)
        and one.target.id == name
        and isinstance(one.op, away)
    ]
    values = [constant(one.value) for one in steps]
    return len(changes) == len(steps) and all(isinstance(n, int) and n > 0 for n in values)


CHECKS = (endless,)
