"""Tests that show a value to be harmless on one of their sides."""

import re
from typing import TYPE_CHECKING

from penstock_agent_security_scanner.languages.flow.program import (
    Call,
    Const,
    Expr,
    Index,
    Member,
    Name,
    Op,
)
from penstock_agent_security_scanner.languages.flow.values import BIT, CLEAN, ORIGINS, REMOTE, total

if TYPE_CHECKING:
    from penstock_agent_security_scanner.languages.flow.expressions import Expressions

Names = list[tuple[str, int]]
_PLACE = BIT["path"] | BIT["url"] | BIT["redirect"]
_HOLDS = frozenset(
    {"contains", "includes", "has", "indexOf", "containsKey", "hasOwnProperty", "Contains",
     "inArray", "some", "containsValue"}
)  # fmt: skip
_BEGINS = frozenset({"startsWith", "HasPrefix", "startswith"})
_MATCHES = frozenset({"matches", "test", "match", "MatchString", "Match", "fullMatch", "exec"})
_VALID = re.compile(
    r"(?i)(?:is_?|validate|check|verify|ensure)\w*"
    r"(?:valid|safe|allowed|white_?list|permitted|alnum|alpha|numeric|integer|uuid|local|trusted)"
    r"|^validate|^isInt$|^isUUID$|^isNaN$"
)
_EQUAL = frozenset({"==", "===", "equals", "equalsIgnoreCase"})
MAX_TESTS = 40


def judged(test: Expr, machine: "Expressions", depth: int = 0) -> tuple[Names, Names]:
    """Names that are harmless when a test holds, and when it does not."""
    if depth > MAX_TESTS:
        return [], []
    match test:
        case Op(op="!", parts=[inner]):
            yes, no = judged(inner, machine, depth + 1)
            return no, yes
        case Op(op="&&", parts=[one, other]):
            return judged(one, machine, depth + 1)[0] + judged(other, machine, depth + 1)[0], []
        case Op(op="||", parts=[one, other]):
            return [], judged(one, machine, depth + 1)[1] + judged(other, machine, depth + 1)[1]
        case Op(op=op, parts=[one, other]):
            return _compared(op, one, other, machine)
        case Index(of=_, key=Name(id=name)):
            return [(name, CLEAN)], []
        case Call():
            return _called(test, machine)
        case _:
            return [], []


def _compared(op: str, one: Expr, other: Expr, machine: "Expressions") -> tuple[Names, Names]:
    if op == "in" and isinstance(one, Name):
        return [(one.id, CLEAN)], []
    if isinstance(one, Const):
        one, other = other, one
    if not isinstance(other, Const):
        return [], []
    if isinstance(one, Op) and one.op == "typeof":
        names: Names = [(n, BIT["nosql"]) for n in _names(one.parts)]
        fits = other.value in ("string", "number", "boolean")
    elif isinstance(one, Call) and other.value in (-1, 0, None, True, False):
        yes, no = judged(one, machine)
        negative = (op in ("<", "==", "===")) == (other.value not in (-1, True) or op == "<")
        if other.value == -1:
            negative = op in ("==", "===")
        return (no, yes) if negative else (yes, no)
    else:
        names = [(n, CLEAN) for n in _names([one])]
        fits = isinstance(other.value, str) and bool(other.value)
    if not fits:
        return [], []
    if op in ("==", "==="):
        return names, []
    return ([], names) if op in ("!=", "!==") else ([], [])


def _names_a_place(start: object) -> bool:
    """Whether what begins so stays in one folder or on one host."""
    return isinstance(start, str) and re.search(r"[\w.-]/", start.split("://")[-1]) is not None


def _names(parts: list[Expr]) -> list[str]:
    return [part.id for part in parts if isinstance(part, Name)]


def _called(test: Call, machine: "Expressions") -> tuple[Names, Names]:
    callee = test.callee
    if isinstance(callee, Name):
        names = _names(test.args)
        return ([(n, CLEAN) for n in names], []) if _VALID.search(callee.id) else ([], [])
    if not isinstance(callee, Member):
        return [], []
    name, of = callee.name, callee.of
    args, owners = _names(test.args), _names([of])
    first = test.args[0] if test.args else None
    if name in _HOLDS:
        if isinstance(first, Const):  # name.contains("..")
            dots = first.value in ("..", "../", "..\\")
            return [], [(n, BIT["path"]) for n in owners] if dots else []
        if name == "Contains" and len(test.args) == 2:  # Go: strings.Contains(name, "..")
            second = test.args[1]
            dots = isinstance(second, Const) and second.value in ("..", "../")
            return ([], [(n, BIT["path"]) for n in args]) if dots else ([], [])
        held = total(machine.eval(of))
        return ([], []) if held.marks & REMOTE else ([(n, CLEAN) for n in args], [])
    if name in _BEGINS:
        start = test.args[-1] if test.args else None
        if isinstance(start, Const) and not _names_a_place(start.value):
            return [], []
        if owners and owners[0][:1].islower() and owners != ["strings"]:
            return [(n, _PLACE) for n in owners], []
        return [(n, _PLACE) for n in args[:1]], []
    if name in _EQUAL:
        literal = isinstance(first, Const) or (isinstance(of, Const) and first is not None)
        return ([(n, CLEAN) for n in owners + args], []) if literal else ([], [])
    if name in _MATCHES:
        pattern = machine.eval(of)
        if args and not pattern.marks & ORIGINS:
            return [(n, CLEAN) for n in args], []
        return ([(n, CLEAN) for n in owners], []) if isinstance(first, Const) else ([], [])
    return ([(n, CLEAN) for n in args + owners], []) if _VALID.search(name) else ([], [])
