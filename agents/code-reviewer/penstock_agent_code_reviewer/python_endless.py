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


def endless(file: PythonFile) -> Iterator[Found]:
    """A while loop whose condition nothing in the loop can change."""
    for node in file.nodes:
        if not isinstance(node, ast.While):
            continue
        idle = isinstance(constant(node.test), bool | int) and bool(constant(node.test))
        if idle and all(isinstance(one, (ast.Pass, ast.Continue)) for one in node.body):
            yield Found(rule("endless-loop"), node.lineno, end=node.end_lineno or 0)
        if not _only_numbers(node.test):
            continue
        scope = file.scope(node)
        if scope is None:
            continue
        inside = list(ast.walk(ast.Module(node.body, [])))
        leaves = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.Await, ast.YieldFrom)
        stops = ("exit", "_exit", "abort", "execv", "fail", "skip")
        if any(isinstance(one, leaves) or last_name(one) in stops for one in inside):
            continue
        wanted = {one.id for one in ast.walk(node.test) if isinstance(one, ast.Name)}
        bound = {name for one in inside for name in bound_names(one)}
        shared = any(isinstance(one, ast.Nonlocal | ast.Global) for one in within(scope))
        shared = shared or any(
            isinstance(one, ast.Nonlocal) for one in ast.walk(scope) if one is not scope
        )
        local = {name for one in within(scope) for name in bound_names(one)}
        settled = all(name in local or name.isupper() for name in wanted)
        still = not wanted & bound or _moves_away(node, wanted & bound)
        if wanted & local and settled and still and not shared:
            yield Found(rule("endless-loop"), node.lineno, end=node.end_lineno or 0)


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
