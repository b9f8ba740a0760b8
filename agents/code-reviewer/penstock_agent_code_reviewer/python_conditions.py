"""Conditions that cannot mean what they say."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    PythonFile,
    bound_names,
    constant,
    has_call,
    len_of,
    same,
)
from penstock_agent_code_reviewer.rules import Found, rule

_ALWAYS_TEXT = "The condition is always {}: {}."


def truthy_operand(file: PythonFile) -> Iterator[Found]:
    """`x == "a" or "b"`: the second operand alone makes the condition true."""
    for test in _tests(file):
        if not (isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)):
            continue
        compares = any(isinstance(one, ast.Compare) for one in test.values)
        for operand in test.values:
            value = constant(operand)
            if compares and isinstance(value, str | int | float) and bool(value):
                shown = _ALWAYS_TEXT.format("true", f"`{ast.unparse(operand)[:40]}` alone is true")
                yield Found(rule("always-true"), test.lineno, message=shown)
                break


def contradiction(file: PythonFile) -> Iterator[Found]:
    """`x != 1 or x != 2` is always true, `x == 1 and x == 2` and `x > 9 and x < 5` never."""
    for node in file.nodes:
        if not isinstance(node, ast.BoolOp):
            continue
        if isinstance(node.op, ast.Or) and _distinct(node, ast.NotEq):
            shown = _ALWAYS_TEXT.format("true", "no value equals both")
            yield Found(rule("always-true"), node.lineno, message=shown)
        elif isinstance(node.op, ast.And) and (_distinct(node, ast.Eq) or _empty_range(node)):
            shown = _ALWAYS_TEXT.format("false", "no value fulfils both parts")
            yield Found(rule("always-false"), node.lineno, message=shown)


def _distinct(node: ast.BoolOp, operator: type[ast.cmpop]) -> bool:
    """Whether one plain name is compared with two different literals by `operator`."""
    seen: list[tuple[str, object]] = []
    for part in node.values:
        match part:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, operator):
                value = constant(right)
                if value is None or has_call(left):
                    continue
                text = ast.dump(left)
                if any(text == one and value != other for one, other in seen):
                    return True
                seen.append((text, value))
            case _:
                pass
    return False


def _empty_range(node: ast.BoolOp) -> bool:
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for part in node.values:
        match part:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                value = constant(right)
                if not isinstance(value, int | float) or has_call(left):
                    continue
                text = ast.dump(left)
                if isinstance(op, ast.Gt | ast.GtE):
                    low[text] = max(value, low.get(text, value))
                elif isinstance(op, ast.Lt | ast.LtE):
                    high[text] = min(value, high.get(text, value))
            case _:
                pass
    return any(low[text] > high[text] for text in low.keys() & high.keys())


def repeated_condition(file: PythonFile) -> Iterator[Found]:
    """An elif that asks what was asked before, or one operand twice."""
    for node in file.nodes:
        if isinstance(node, ast.BoolOp):
            for number, one in enumerate(node.values):
                if not has_call(one) and any(same(one, other) for other in node.values[:number]):
                    yield Found(rule("repeated-operand"), one.lineno, end=node.end_lineno or 0)
                    break
        elif isinstance(node, ast.If) and not _is_elif(file, node):
            seen: list[ast.expr] = []
            at: ast.stmt | None = node
            while isinstance(at, ast.If):
                if not has_call(at.test) and any(same(at.test, one) for one in seen):
                    yield Found(rule("repeated-condition"), at.test.lineno)
                seen.append(at.test)
                at = at.orelse[0] if len(at.orelse) == 1 else None


def same_branches(file: PythonFile) -> Iterator[Found]:
    """An if and an else that do the same."""
    for node in file.nodes:
        if isinstance(node, ast.If) and node.orelse and not _is_elif(file, node):
            one, other = ast.Module(node.body, []), ast.Module(node.orelse, [])
            if same(one, other) and not isinstance(node.body[0], ast.Pass):
                yield Found(rule("same-branches"), node.lineno)


def none_used(file: PythonFile) -> Iterator[Found]:
    """`x is None and x.y`, `x is not None or x.y`, and `if x is None: x.y`."""
    for node in file.nodes:
        if isinstance(node, ast.BoolOp):
            wanted = ast.Is if isinstance(node.op, ast.And) else ast.IsNot
            for number, part in enumerate(node.values[:-1]):
                name = _compared_with_none(part, wanted)
                if name and any(_uses(after, name) for after in node.values[number + 1 :]):
                    message = f"`{name}` is None where its attribute is used."
                    yield Found(rule("none-used"), node.lineno, message=message)
                    break
        elif isinstance(node, ast.If):
            for name, block in (
                (_compared_with_none(node.test, ast.Is), node.body),
                (_compared_with_none(node.test, ast.IsNot), node.orelse),
            ):
                line = _first_use(block, name) if name else None
                if line is not None:
                    message = f"`{name}` is None here, so this fails."
                    yield Found(rule("none-used"), line, message=message)


def _compared_with_none(test: ast.expr, operator: type[ast.cmpop]) -> str:
    match test:
        case ast.Compare(
            left=ast.Name(id=name), ops=[op], comparators=[ast.Constant(value=None)]
        ) if isinstance(op, operator):
            return name
        case _:
            return ""


def _uses(node: ast.AST, name: str) -> bool:
    for one in ast.walk(node):
        if isinstance(one, (ast.Lambda, ast.NamedExpr)):
            return False
        part = isinstance(one, (ast.Attribute, ast.Subscript))
        if part and isinstance(one.value, ast.Name) and one.value.id == name:
            return not getattr(one, "attr", "").startswith("__")
    return False


def _first_use(block: list[ast.stmt], name: str) -> int | None:
    """Line where an attribute of `name` is used before anything could have rebound it."""
    for statement in block:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef, ast.Try, ast.With)):
            return None
        compound = isinstance(statement, (ast.If, ast.For, ast.While, ast.Match))
        bound = any(name in bound_names(one) for one in ast.walk(statement))
        if compound:
            return None
        value = getattr(statement, "value", None) if bound else statement
        if value is not None and _uses(value, name) and not _guarded(value, name):
            return statement.lineno
        if bound:
            return None
    return None


def _guarded(node: ast.AST, name: str) -> bool:
    """Whether a part of the expression tests the name itself."""
    return any(
        isinstance(one, (ast.BoolOp, ast.IfExp, ast.ListComp, ast.GeneratorExp))
        and any(isinstance(sub, ast.Name) and sub.id == name for sub in ast.walk(one))
        for one in ast.walk(node)
    )


def length_below_zero(file: PythonFile) -> Iterator[Found]:
    """`len(x) < 0` is never true and `len(x) >= 0` always."""
    for node in file.nodes:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if len_of(left) is not None:
                value = constant(right)
                below = isinstance(op, ast.Lt) and value == 0
                below = below or (isinstance(op, ast.Eq | ast.LtE | ast.Lt) and _negative(value))
                if below:
                    yield Found(rule("always-false"), node.lineno, message=_LENGTH.format("false"))
                elif isinstance(op, ast.GtE) and value == 0 and value is not False:
                    yield Found(rule("always-true"), node.lineno, message=_LENGTH.format("true"))
            case _:
                pass


_LENGTH = "The condition is always {}: a length is never negative."


def _negative(value: object) -> bool:
    return isinstance(value, int) and value < 0


def truthy_function(file: PythonFile) -> Iterator[Found]:
    """`if is_valid:` where is_valid is a function that was to be called; `if s.find(x):`."""
    for test in _tests(file):
        inner = test.operand if isinstance(test, ast.UnaryOp) else test
        for part in inner.values if isinstance(inner, ast.BoolOp) else [inner]:
            part = part.operand if isinstance(part, ast.UnaryOp) else part  # noqa: PLW2901
            if isinstance(part, ast.Name) and part.id in file.top_functions:
                message = f"`{part.id}` is a function: it is always true unless it is called."
                yield Found(rule("always-true"), part.lineno, message=message)
            elif isinstance(part, ast.Attribute) and _own_method(file, part):
                message = f"`{part.attr}` is a method: it is always true unless it is called."
                yield Found(rule("always-true"), part.lineno, message=message)
            elif _is_find(part):
                yield Found(rule("find-as-condition"), part.lineno)


def _own_method(file: PythonFile, node: ast.Attribute) -> bool:
    scope = file.scope(node)
    if not (isinstance(node.value, ast.Name) and node.value.id == "self" and scope is not None):
        return False
    holder = file.class_of(scope)
    if holder is None:
        return False
    assigned = any(
        isinstance(one, ast.Attribute)
        and one.attr == node.attr
        and not isinstance(one.ctx, ast.Load)
        for one in file.nodes
    )
    return not assigned and any(
        isinstance(one, FUNCTIONS) and one.name == node.attr and not one.decorator_list
        for one in holder.body
    )


def _is_find(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="find" | "rfind"), args=[one], keywords=[]):
            return isinstance(constant(one), str) and "/" not in str(constant(one))[:1]
        case _:
            return False


def _tests(file: PythonFile) -> Iterator[ast.expr]:
    for node in file.nodes:
        if isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs
        elif isinstance(node, ast.Assert):
            yield node.test


def _is_elif(file: PythonFile, node: ast.If) -> bool:
    parent = file.parents.get(node)
    return isinstance(parent, ast.If) and len(parent.orelse) == 1 and parent.orelse[0] is node


CHECKS = (
    truthy_operand,
    contradiction,
    repeated_condition,
    same_branches,
    none_used,
    length_below_zero,
    truthy_function,
)
