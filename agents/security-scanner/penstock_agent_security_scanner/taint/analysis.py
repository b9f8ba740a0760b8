"""One file from its tree to its result."""

import ast
import contextlib
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from penstock_agent_security_scanner.taint import sources
from penstock_agent_security_scanner.taint.machine import (
    MAX_IMPORT_STEPS,
    Machine,
    OutOfSteps,
    Result,
)
from penstock_agent_security_scanner.taint.scopes import Function, Scope
from penstock_agent_security_scanner.taint.statements import Statements
from penstock_agent_security_scanner.taint.values import Value

# Visitors call each other several times for one level of nesting in the source.
RECURSION_LIMIT: Final = 12_000
_WEB_BASE: Final = re.compile(r"View|Handler|Resource|Endpoint|Controller|Consumer")
_ROUTERS: Final = frozenset(
    {
        "add_url_rule", "add_route", "add_get", "add_post", "add_put", "add_delete", "path",
        "re_path", "url", "Route", "route", "add_api_route", "add_resource", "add_handler",
    }
)  # fmt: skip


def analyse(
    tree: ast.Module,
    worthwhile: list[int],
    module: str = "",
    loader: Callable[[str], Scope | None] | None = None,
) -> Result:
    """Follow every value of a file.

    Args:
        tree: The parsed file.
        worthwhile: Numbers of the lines for whose sake it is done, in order.
        module: Its dotted name below the repository.
        loader: Gives the global scope of another module of the repository.
    """
    machine = Machine(module=module, loader=loader, handlers=registered(tree), tree=tree)
    runner = Statements(machine)
    scope = Scope()
    with _deeper():
        try:
            runner.body(tree.body, scope)
            _enter_all(runner, worthwhile)
        except (OutOfSteps, RecursionError):
            machine.result.whole = False
    return machine.finish()


def global_scope(
    tree: ast.Module, module: str, loader: Callable[[str], Scope | None] | None
) -> Scope:
    """What a module binds, for those that import it; nothing is reported."""
    machine = Machine(module=module, loader=loader, silent=1, budget=MAX_IMPORT_STEPS)
    scope = Scope()
    with _deeper(), contextlib.suppress(OutOfSteps, RecursionError):
        Statements(machine).body(tree.body, scope)
    return scope


@contextlib.contextmanager
def _deeper() -> Iterator[None]:
    """Allow more calls within calls, for as long as a file is read."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _enter_all(runner: Statements, worthwhile: list[int]) -> None:
    """Every function nobody called, with what it may be given; makers of objects first.

    One without a word that could matter is left out, nested functions excepted: it may define some.
    """
    machine = runner.machine
    while machine.pending:
        batch, machine.pending = machine.pending, []
        # Those that only callers in this file matter for come last: by then they were called.
        batch.sort(key=lambda function: (function.name != "__init__", _is_private(function)))
        for function in batch:
            if id(function.node) in machine.entered:
                continue
            machine.entered.add(id(function.node))
            if not _matters(function, worthwhile, machine.handlers):
                continue
            if _is_private(function) and function.calls:
                continue
            machine.depth = 0
            machine.running = [function.node]
            inner = Scope(parent=function.scope, function=function)
            inner.names.update(sources.parameters(function, machine.handlers, machine.imports))
            if function.owner is not None and function.parameters():
                first = function.parameters()[0].arg
                inner.names[first] = Value(kind=f"{function.owner.name}()", target=function.owner)
            runner.run_function(function, inner)


def _matters(function: Function, worthwhile: list[int], handlers: dict[str, str]) -> bool:
    if function.name == "__init__" or function.name in handlers:
        return True
    if function.owner is not None and _WEB_BASE.search(" ".join(function.owner.all_bases())):
        return True
    if function.decorators():  # a framework may call it
        return True
    first = function.node.lineno
    at = bisect_left(worthwhile, first)
    return at < len(worthwhile) and worthwhile[at] <= (function.node.end_lineno or first)


def _is_private(function: Function) -> bool:
    """Only callers in this file matter: underscore or nested, and not handed to a framework."""
    if function.decorators():
        return False
    return function.name.startswith("_") or function.scope.function is not None


def registered(tree: ast.Module) -> dict[str, str]:
    """Names of functions that are registered with a router, with the route's text."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or sources.last(node.func) not in _ROUTERS:
            continue
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        texts = [
            a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
        for argument in arguments:
            if isinstance(argument, ast.Name | ast.Attribute):
                found[sources.last(argument)] = texts[0] if texts else "/"
    return found
