"""Methods and functions that can only fail: no self, misspelt attributes, endless recursion."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    Function,
    PythonFile,
    called,
    decorator_names,
    ends,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule
from penstock_agent_code_reviewer.spelling import misspelt

_DECISIONS = (ast.If, ast.IfExp, ast.Try, ast.BoolOp, ast.For, ast.While, ast.Match, ast.Raise,
              ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.Yield, ast.With, ast.Await,
              ast.Assert, ast.AsyncFor, ast.DictComp, ast.SetComp)  # fmt: skip
_DYNAMIC = frozenset({"__getattr__", "__getattribute__", "__setattr__"})


def without_self(file: PythonFile) -> Iterator[Found]:
    """A method without any parameter."""
    for function in file.functions:
        holder = file.class_of(function)
        if holder is None or function.decorator_list or holder.bases or holder.keywords:
            continue
        taken = function.args
        if not (taken.args or taken.posonlyargs or taken.vararg) and not holder.decorator_list:
            used = {one.id for one in ast.walk(holder) if isinstance(one, ast.Name)}
            if function.name not in used:
                yield Found(rule("no-self"), function.lineno)


def misspelt_attribute(file: PythonFile) -> Iterator[Found]:
    """`self.cuont += 1` where the class knows `count`."""
    if file.is_test:
        return  # fixtures and patches set attributes from outside
    for holder in (node for node in file.nodes if isinstance(node, ast.ClassDef)):
        methods = {one.name for one in holder.body if isinstance(one, FUNCTIONS)}
        if holder.bases or holder.keywords or methods & _DYNAMIC or holder.decorator_list:
            continue
        if any(called(one) in ("setattr", "vars") for one in ast.walk(holder)):
            continue
        known = methods | _class_names(holder) | _stored(holder)
        for node in ast.walk(holder):
            if not (isinstance(node, ast.Attribute) and _on_self(node)) or node.attr in known:
                continue
            grown = isinstance(file.parents[node], ast.AugAssign)
            if isinstance(node.ctx, ast.Load) or grown:
                near = misspelt(node.attr, known)
                if near is not None:
                    message = f"`{node.attr}` is never set; `{near}` is."
                    yield Found(rule("unknown-attribute"), node.lineno, message=message)


def _on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _class_names(holder: ast.ClassDef) -> set[str]:
    return {
        one.id
        for statement in holder.body
        for one in ast.walk(statement)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    } | {one.name for one in ast.walk(holder) if isinstance(one, ast.ClassDef)}


def _stored(holder: ast.ClassDef) -> set[str]:
    """Attributes that are set anywhere in the class, other than by growing."""
    grown = {id(one.target) for one in ast.walk(holder) if isinstance(one, ast.AugAssign)}
    return {
        one.attr
        for one in ast.walk(holder)
        if isinstance(one, ast.Attribute)
        and isinstance(one.ctx, ast.Store)
        and id(one) not in grown
    }


def endless_recursion(file: PythonFile) -> Iterator[Found]:
    """A function that calls itself before it could decide anything."""
    for function in file.functions:
        if decorator_names(function) or any(
            isinstance(one, _DECISIONS) for one in within(function.body)
        ):
            continue
        method = file.class_of(function) is not None
        name = f"self.{function.name}" if method else function.name
        top = file.top_functions.get(function.name) is function
        for node in within(function.body):
            if isinstance(node, ast.Call) and called(node) == name and (method or top):
                yield Found(rule("endless-recursion"), node.lineno)
                break


def used_though_none(file: PythonFile) -> Iterator[Found]:
    """`find(x).name` where find returns nothing on some path."""
    partly = {name for name, one in file.top_functions.items() if _partly_none(one)}
    for node in file.nodes:
        if isinstance(node, (ast.Attribute, ast.Subscript)) and called(node.value) in partly:
            name = called(node.value)
            message = f"`{name}()` returns None on some path, and its result is used at once."
            yield Found(rule("may-be-none"), node.lineno, message=message)


def _partly_none(function: Function) -> bool:
    if isinstance(function, ast.AsyncFunctionDef) or function.decorator_list:
        return False
    inside = list(within(function.body))
    if any(isinstance(one, (ast.Yield, ast.YieldFrom, ast.Match, ast.With)) for one in inside):
        return False
    returns = [one for one in inside if isinstance(one, ast.Return)]
    valued = [one for one in returns if one.value is not None and not _is_none(one.value)]
    nothing = [one for one in returns if one.value is None or _is_none(one.value)]
    last = function.body[-1]
    falls = not ends(function.body) and isinstance(last, (ast.For, ast.If))
    endless = isinstance(last, ast.While)
    return bool(valued) and not endless and (bool(nothing) or falls)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


CHECKS = (without_self, misspelt_attribute, endless_recursion, used_though_none)
