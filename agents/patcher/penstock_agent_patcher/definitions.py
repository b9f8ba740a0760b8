"""Where a module defines a name, given by its dotted path."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from penstock_agent_patcher.conflicts import Unfit

_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a name is defined first.

    Attributes:
        offset: Index of its first character in the text.
        member: It belongs to a class.
    """

    offset: int
    member: bool


def definition_of(text: str, symbol: str) -> Definition:
    """Find `load`, `Cart.total`, `Cart.size` (set on self) or `load.path` in a module's text.

    Raises:
        Unfit: The text is not Python (of this interpreter's version), or defines no such thing.
    """
    try:
        scope: ast.Module | _Scope = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unfit("the file cannot be read as Python") from error
    *outer, name = symbol.split(".")
    for part in outer:
        scope = _inner(scope, part, symbol)
    at = min(
        (_offset(text, node) for node in _named(text, scope, name)),
        default=None,
    )
    if at is None:
        raise Unfit(f"{symbol} is not defined in this file")
    return Definition(at, isinstance(scope, ast.ClassDef))


def _inner(scope: ast.Module | _Scope, part: str, symbol: str) -> _Scope:
    for node in _own(scope):
        if isinstance(node, _SCOPES) and node.name == part:
            return node
    raise Unfit(f"{symbol} is not defined in this file: {part} is no class or function")


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything inside a scope; of an inner scope only the node itself."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, (*_SCOPES, ast.Lambda)):
            yield from _own(node)


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    column: int


def _named(text: str, scope: ast.Module | _Scope, name: str) -> Iterator[_Place]:
    """The places inside a scope that define a name (columns are UTF-8 bytes, as in `ast`)."""
    lines = text.split("\n")
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        given = scope.args
        single = [each for each in (given.vararg, given.kwarg) if each is not None]
        for each in [*given.posonlyargs, *given.args, *given.kwonlyargs, *single]:
            if each.arg == name:
                yield _Place(each.lineno, each.col_offset)
    for node in _own(scope):
        if isinstance(node, _SCOPES) and node.name == name:
            line = lines[node.lineno - 1].encode()
            found = re.compile(rb"(?:async\s+)?(?:def|class)\s+").match(line, node.col_offset)
            if found is not None:
                yield _Place(node.lineno, found.end())
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            yield _Place(node.lineno, node.col_offset)
        if isinstance(scope, ast.ClassDef) and isinstance(node, _SCOPES):
            yield from _set_on_self(node, name)


def _set_on_self(method: ast.AST, name: str) -> Iterator[_Place]:
    for node in ast.walk(method):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and node.attr == name
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and node.end_lineno is not None
            and node.end_col_offset is not None
        ):
            yield _Place(node.end_lineno, node.end_col_offset - len(name.encode()))


def _offset(text: str, place: _Place) -> int:
    lines = text.split("\n")
    before = sum(len(line) + 1 for line in lines[: place.line - 1])
    column = len(lines[place.line - 1].encode()[: place.column].decode())
    return before + column
