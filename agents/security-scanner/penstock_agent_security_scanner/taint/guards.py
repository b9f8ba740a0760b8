"""What a condition says about the names in it."""

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from penstock_agent_security_scanner.taint.scopes import Scope
from penstock_agent_security_scanner.taint.values import HOLE, UNKNOWN, Value, constant

if TYPE_CHECKING:
    from penstock_agent_security_scanner.taint.expressions import Expressions

_PREDICATES: Final = re.compile(
    r"^(?:is|has)_?(?:safe|valid|allowed|trusted|local|whitelisted|permitted|internal|relative)|"
    r"valid(?:ate|ated)?_|^(?:validate|allowed|check)_|_(?:allowed|valid|safe|is_safe)$|"
    r"url_has_allowed_host_and_scheme|is_safe_url|^allowed_file$|^validate$|is_valid"
)
_REFUSING: Final = re.compile(
    r"^_?(?:validate|check|ensure|assert|require|verify|enforce|guard|must|refuse|reject)_\w+|^_?validate$"
)
_TEXT_TESTS: Final = frozenset(
    {
        "isalnum", "isdigit", "isdecimal", "isnumeric", "isalpha", "isidentifier",
    }
)  # fmt: skip
_BELOW: Final = frozenset({"is_relative_to", "relative_to", "commonpath", "commonprefix"})
_RESOLVERS: Final = frozenset({"realpath", "resolve", "abspath", "normpath"})
_MATCHERS: Final = frozenset({"match", "fullmatch"})
# A pattern made of these matches nothing that could do harm.
_HARMLESS: Final = re.compile(
    r"^\^?(?:\(\?:)?(?:[\w@-]|\\[wdA-Z.-]|\[(?:[\w-]|\\[wd.-]|\.)+\]|[+*?(){},|])+\$?(?:\\Z)?$"
)


def narrowed(machine: "Expressions", test: ast.expr, scope: Scope, *, holds: bool) -> None:
    """Mark as harmless what a condition has checked; the scope is changed in place.

    Args:
        machine: Evaluates parts of the condition.
        test: The condition.
        scope: Where it was evaluated.
        holds: Whether it is true from here on.
    """
    machine.machine.silent += 1
    try:
        for name, weaknesses, value in _facts(machine, test, scope, holds):
            _apply(name, weaknesses, value, machine, scope)
    finally:
        machine.machine.silent -= 1


def refused(machine: "Expressions", call: ast.Call, scope: Scope) -> None:
    """A call for its effect alone, to something that says it refuses what is bad."""
    if not _REFUSING.search(_called_name(call)):
        return
    machine.machine.silent += 1
    try:
        if machine.value(call.func, scope).target is None:  # one in sight was gone through
            for argument in call.args:
                _apply(argument, ("*",), None, machine, scope)
    finally:
        machine.machine.silent -= 1


_Fact = tuple[ast.expr, tuple[str, ...], Value | None]


def _facts(machine: "Expressions", test: ast.expr, scope: Scope, holds: bool) -> Iterator[_Fact]:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _facts(machine, operand, scope, not holds)
        case ast.BoolOp(op=ast.And(), values=values) if holds:
            for value in values:
                yield from _facts(machine, value, scope, holds)
        case ast.BoolOp(op=ast.Or(), values=values) if not holds:
            for value in values:
                yield from _facts(machine, value, scope, holds)
        case ast.NamedExpr(value=value):
            yield from _facts(machine, value, scope, holds)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from _compared(machine, left, op, right, scope, holds)
        case ast.Attribute(attr="netloc" | "hostname" | "host") if not holds:
            yield test, ("url", "host"), None
        case ast.Call():
            yield from _called(machine, test, scope, holds)
        case ast.Name(id=name) if name in scope.origins:
            origin = scope.origins[name]
            if isinstance(origin, ast.Compare | ast.Call | ast.BoolOp | ast.UnaryOp):
                yield from _facts(machine, origin, scope, holds)
        case _:
            return


def _compared(
    machine: "Expressions",
    left: ast.expr,
    op: ast.cmpop,
    right: ast.expr,
    scope: Scope,
    holds: bool,
) -> Iterator[_Fact]:
    if isinstance(right, ast.Constant) and right.value is None:  # re.match(...) is None
        if isinstance(op, ast.Is | ast.IsNot) and isinstance(left, ast.Call):
            yield from _called(machine, left, scope, holds != isinstance(op, ast.Is))
        return
    if isinstance(op, ast.In | ast.NotIn):
        inside = holds == isinstance(op, ast.In)
        if isinstance(left, ast.Constant):  # '..' in name
            if not inside and isinstance(left.value, str):
                is_inner = isinstance(right, ast.Subscript) and isinstance(right.slice, ast.Slice)
                yield right, _without(left.value, is_inner), None
        elif inside and isinstance(right, ast.Attribute) and right.attr == "parents":
            yield right.value, ("path",), None
        elif inside and _is_trusted(machine.value(right, scope), right):
            yield left, ("*",), None
        return
    if isinstance(op, ast.Eq | ast.NotEq) and holds == isinstance(op, ast.Eq):
        for subject, other in ((left, right), (right, left)):
            given = machine.value(other, scope)
            if given.known:
                yield subject, (), given
            elif given.fixed:
                yield subject, ("*",), None
            elif _called_name(subject) in _BELOW | {"dirname"}:
                yield subject, ("path",), None
    if _called_name(left) in _BELOW and holds == isinstance(op, ast.Eq):
        yield left, ("path",), None


def _called(machine: "Expressions", test: ast.Call, scope: Scope, holds: bool) -> Iterator[_Fact]:
    name = _called_name(test)
    if not holds:
        return
    owner = test.func.value if isinstance(test.func, ast.Attribute) else None
    if name in _TEXT_TESTS and owner is not None:
        yield owner, ("*",), None
    elif name in _BELOW and owner is not None:
        yield owner, ("path",), None
    elif name == "startswith" and owner is not None and test.args:
        prefix = machine.value(test.args[0], scope)
        if prefix.whole() == Value().taint or prefix.fixed:
            yield owner, _prefixed(_is_resolved(owner, scope), prefix), None
    elif name == "endswith" and owner is not None:
        return
    elif name in _MATCHERS and test.args:
        yield from _matched(machine, test, owner, name, scope)
    elif name == "isinstance" and len(test.args) == 2:
        kinds = {node.id for node in ast.walk(test.args[1]) if isinstance(node, ast.Name)}
        if kinds and kinds <= {"int", "float", "bool"}:
            yield test.args[0], ("*",), None
    elif name == "all" and test.args and isinstance(test.args[0], ast.GeneratorExp):
        yield from _all(machine, test.args[0], scope)
    elif _PREDICATES.search(name):
        for argument in test.args:
            yield argument, ("*",), None


def _all(machine: "Expressions", node: ast.GeneratorExp, scope: Scope) -> Iterator[_Fact]:
    """`all(c in ALLOWED for c in text)`."""
    elements = node.elt
    inner = Scope(parent=scope)
    if isinstance(elements, ast.Compare | ast.Call | ast.BoolOp | ast.UnaryOp):
        for fact in _facts(machine, elements, inner, holds=True):
            if "*" in fact[1]:
                yield node.generators[0].iter, ("*",), None


def _matched(
    machine: "Expressions", test: ast.Call, owner: ast.expr | None, name: str, scope: Scope
) -> Iterator[_Fact]:
    receiver = machine.value(owner, scope) if owner is not None else Value()
    if receiver.kind == "re" and len(test.args) >= 2:
        pattern, subject = machine.value(test.args[0], scope), test.args[1]
    else:
        pattern, subject = receiver, test.args[0]
    text = pattern.const if isinstance(pattern.const, str) else pattern.text
    anchored = name == "fullmatch" or text.endswith(("$", r"\Z"))
    if not text or HOLE in text:
        yield subject, ("*",), None  # a pattern out of sight: somebody thought of something
    elif anchored and _HARMLESS.match(text):
        yield subject, ("*",), None
    elif anchored:
        yield subject, ("sql", "shell", "path", "html") if "." not in text else (), None


def _without(part: str, is_inner: bool) -> tuple[str, ...]:
    """What a text is safe for that does not contain a part, at least not between its ends."""
    if ".." in part:
        return ("path",)
    if part in ("'", '"'):
        return ("xpath", "code") if is_inner else ("xpath",)
    if part == "/":
        return ("path", "url")
    return ("log", "header") if part in ("\n", "\r", "\r\n") else ()


def _prefixed(is_resolved: bool, prefix: Value) -> tuple[str, ...]:
    text = prefix.const if isinstance(prefix.const, str) else ""
    if "://" in text and text.count("/") >= 3:
        return ("host", "url")
    if is_resolved:
        return ("path",)
    return ("url", "host") if text.startswith("/") and len(text) > 1 else ()


def _is_resolved(node: ast.expr, scope: Scope, depth: int = 3) -> bool:
    """Whether a path went through a function that takes its `..` and links out."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and _called_name(part) in _RESOLVERS:
            return True
        origin = scope.origins.get(part.id) if isinstance(part, ast.Name) else None
        if origin is not None and depth and _is_resolved(origin, scope, depth - 1):
            return True
    return False


def _is_trusted(group: Value, node: ast.expr) -> bool:
    """Whether being in a group says something: one that this program decides on."""
    if group.reach("") is not None and group.reach("") != 0:
        return False
    if group.kind == "str" and group.known:
        return False
    return not isinstance(node, ast.Constant)


def _called_name(node: ast.expr) -> str:
    if not isinstance(node, ast.Call):
        return ""
    func = node.func
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def _apply(
    node: ast.expr,
    weaknesses: tuple[str, ...],
    value: Value | None,
    machine: "Expressions",
    scope: Scope,
) -> None:
    """A name, or every name in an expression such as `os.path.realpath(name)`."""
    if value is not None and isinstance(node, ast.Name | ast.Attribute):
        machine.assign(node, value, scope)
        return
    if not weaknesses:
        return
    for part in list(_subjects(node, scope)):
        known = machine.value(part, scope)
        if known.known:
            continue
        if isinstance(part, ast.Name):  # not an assignment: it is still made of what it was made of
            scope.set(part.id, known.cleaned(*weaknesses))
        else:
            machine.assign(part, known.cleaned(*weaknesses), scope)


def _subjects(node: ast.expr, scope: Scope, depth: int = 6) -> Iterator[ast.expr]:
    """What was really looked at: through `x.lower()`, `str(x)`, `urlparse(x).netloc`."""
    if depth == 0:
        return
    match node:
        case ast.Name(id=name):
            yield node
            origin = scope.origins.get(name)
            if isinstance(origin, ast.Call | ast.Attribute | ast.BinOp | ast.Subscript):
                yield from _subjects(origin, scope, depth - 1)
        case ast.Attribute(value=value):
            if isinstance(value, ast.Name) and value.id == "self":
                yield node
            yield from _subjects(value, scope, depth - 1)
        case ast.Call(func=func, args=arguments):
            for argument in arguments[:4]:
                yield from _subjects(argument, scope, depth - 1)
            if isinstance(func, ast.Attribute):
                yield from _subjects(func.value, scope, depth - 1)
        case ast.Subscript(value=value):
            yield node
            yield from _subjects(value, scope, depth - 1)
        case ast.BinOp(left=left, right=right):
            yield from _subjects(left, scope, depth - 1)
            yield from _subjects(right, scope, depth - 1)
        case _:
            return


__all__ = ["UNKNOWN", "constant", "narrowed"]
