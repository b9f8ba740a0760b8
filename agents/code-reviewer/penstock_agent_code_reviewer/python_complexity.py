"""How hard a Python function is to follow: paths, cognitive load, nesting, length."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from penstock_agent_code_reviewer.python_tree import FUNCTIONS, SCOPES, Function

_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.Assert)
_NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)
_BREAKS_FLOW = (ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.Match)


@dataclass(frozen=True, slots=True)
class Shape:
    """Measures of one function.

    Attributes:
        name: With the class it is in.
        start: First line, of its `def`.
        end: Last line.
        cyclomatic: Independent paths; 1 for a straight line.
        cognitive: Breaks of the reading flow, each weighted by its nesting (as published by
            SonarSource in 2018); 0 where it is not measured.
        depth: Deepest nesting of blocks.
        lines: Of code: no blanks, comments, docstring.
        parameters: Without self and cls.
    """

    name: str
    start: int
    end: int
    cyclomatic: int
    cognitive: int
    depth: int
    lines: int
    parameters: int


def shapes(tree: ast.Module) -> Iterator[Shape]:
    """Measure every function of a module."""
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
                name = prefix + child.name
                if isinstance(child, FUNCTIONS):
                    yield _shape(child, name)
                pending.append((child, name + "."))
            else:
                pending.append((child, prefix))


def _shape(function: Function, name: str) -> Shape:
    cyclomatic = 1
    statements: set[int] = set()
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, SCOPES):
            if isinstance(node, ast.stmt):
                statements.add(node.lineno)
            continue
        cyclomatic += _paths(node)
        if isinstance(node, ast.stmt) and not _is_docstring(node):
            statements.update(range(node.lineno, _head_end(node) + 1))
        pending.extend(ast.iter_child_nodes(node))
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    depth = _depth(function.body)
    return Shape(
        name=name,
        start=function.lineno,
        end=function.end_lineno or function.lineno,
        cyclomatic=cyclomatic,
        cognitive=_cognitive(function.body, 0),
        depth=depth,
        lines=len(statements),
        parameters=sum(1 for one in every if one.arg not in ("self", "cls")),
    )


def _paths(node: ast.AST) -> int:
    if isinstance(node, _BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return 1 if isinstance(node, ast.match_case) else 0


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _head_end(node: ast.stmt) -> int:
    """Last line of a statement without the blocks in it."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return max(node.lineno, body[0].lineno - 1)
    return node.end_lineno or node.lineno


def _depth(block: list[ast.stmt]) -> int:
    deepest = 0
    pending: list[tuple[ast.AST, int]] = [(one, 0) for one in block]
    while pending:
        node, depth = pending.pop()
        if isinstance(node, SCOPES):
            continue
        if isinstance(node, _NESTING):
            depth += 1
            deepest = max(deepest, depth)
        for child in ast.iter_child_nodes(node):
            chained = (
                isinstance(node, ast.If)
                and isinstance(child, ast.If)
                and len(node.orelse) == 1
                and node.orelse[0] is child
            )
            pending.append((child, depth - 1 if chained else depth))
    return deepest


def _cognitive(block: list[ast.stmt], nesting: int) -> int:
    """Sum over a block; recursion is bounded by the parser's own nesting limit."""
    return sum(_cost(one, nesting) for one in block)


def _cost(node: ast.AST, nesting: int) -> int:
    if isinstance(node, ast.If):
        return _if_cost(node, nesting, 1 + nesting)
    if isinstance(node, ast.BoolOp):
        return 1 + sum(_cost(one, nesting) for one in node.values)
    if isinstance(node, (*FUNCTIONS, ast.Lambda)):
        inner = node.body if isinstance(node.body, list) else [node.body]
        return sum(_cost(one, nesting + 1) for one in inner)
    own, deeper = (1 + nesting, nesting + 1) if isinstance(node, _BREAKS_FLOW) else (0, nesting)
    if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        own += 1 if node.orelse else 0
    return own + sum(_cost(one, deeper) for one in ast.iter_child_nodes(node))


def _if_cost(node: ast.If, nesting: int, own: int) -> int:
    """An elif or else costs one, wherever it stands."""
    total = own + _cost(node.test, nesting) + _cognitive(node.body, nesting + 1)
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        return total + _if_cost(node.orelse[0], nesting, 1)
    return total + (1 + _cognitive(node.orelse, nesting + 1) if node.orelse else 0)
