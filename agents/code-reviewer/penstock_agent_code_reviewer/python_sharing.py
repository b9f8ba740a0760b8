"""What is shared by accident: defaults and attributes of a class."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    Function,
    PythonFile,
    called,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule


def shared_by_all(file: PythonFile) -> Iterator[Found]:
    """A list of the class that methods append to: all instances have the same one."""
    for holder in (node for node in file.nodes if isinstance(node, ast.ClassDef)):
        if holder.decorator_list or holder.bases:
            continue
        shared = {
            target.id: statement.lineno
            for statement in holder.body
            if isinstance(statement, ast.Assign)
            and (
                isinstance(statement.value, (ast.List, ast.Dict, ast.Set))
                or called(statement.value) in ("list", "dict", "set")
            )
            for target in statement.targets
            if isinstance(target, ast.Name) and not target.id.isupper()
        }
        stored = {
            one.attr
            for one in ast.walk(holder)
            if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)
        }
        for name, line in shared.items():
            if name not in stored and name not in _registries(holder) and _mutated(holder, name):
                message = f"`{name}` belongs to the class: every instance changes the same one."
                yield Found(rule("shared-by-instances"), line, end=line, message=message)


def _registries(holder: ast.ClassDef) -> set[str]:
    """Attributes that class methods use: those are shared on purpose."""
    return {
        one.attr
        for one in ast.walk(holder)
        if isinstance(one, ast.Attribute)
        and isinstance(one.value, ast.Name)
        and one.value.id in ("cls", holder.name)
    }


def _mutated(holder: ast.ClassDef, name: str) -> bool:
    own = f"self.{name}"
    for node in ast.walk(holder):
        match node:
            case ast.Call(func=ast.Attribute(value=owner)) if last_name(node) in (
                "append", "add", "extend", "update", "insert", "pop", "setdefault", "remove",
            ):  # fmt: skip
                if ast.unparse(owner) == own:
                    return True
            case ast.Subscript(value=owner, ctx=ast.Store()) if ast.unparse(owner) == own:
                return True
            case _:
                pass
    return False


def changed_default(file: PythonFile) -> Iterator[Found]:
    """A mutable default that the function changes or hands out: calls see each other's data."""
    for function in file.functions:
        for name, default in _defaults(function):
            mutable = isinstance(default, (ast.List, ast.Dict, ast.Set, ast.ListComp)) or called(
                default
            ) in ("list", "dict", "set", "collections.defaultdict", "defaultdict", "bytearray")
            if mutable:
                changed = _changes_argument(function, name)
                yield Found(
                    rule("mutable-default"),
                    default.lineno,
                    severity="critical" if changed else None,
                )


def _defaults(function: Function) -> Iterator[tuple[str, ast.expr]]:
    places = [*function.args.posonlyargs, *function.args.args]
    count = len(function.args.defaults)
    for one, default in zip(places[len(places) - count :], function.args.defaults, strict=True):
        yield one.arg, default
    for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if value is not None:
            yield one.arg, value


def _changes_argument(function: Function, name: str) -> bool:
    rebound = any(
        isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Store)
        for one in within(function.body)
    )
    if rebound:
        return False
    for node in within(function.body):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=method)):
                if owner == name and method in (
                    "append", "add", "extend", "update", "insert", "setdefault", "pop", "remove",
                ):  # fmt: skip
                    return True
            case ast.Subscript(value=ast.Name(id=owner), ctx=ast.Store()) if owner == name:
                return True
            case ast.Assign(targets=[ast.Attribute()], value=ast.Name(id=owner)) if owner == name:
                return True
            case _:
                pass
    return False


CHECKS = (shared_by_all, changed_default)
