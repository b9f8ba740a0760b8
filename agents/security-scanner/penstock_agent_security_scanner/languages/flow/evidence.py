"""Small questions about arguments and bodies that rules ask."""

from collections.abc import Iterable

from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Call,
    Const,
    Expr,
    Leave,
    Record,
)
from penstock_agent_security_scanner.languages.flow.tables import Until, Wrong
from penstock_agent_security_scanner.languages.flow.values import ABSENT, Value


def start_of(value: Value) -> str:
    """What a value is, or begins with."""
    return value.prefix if value.const is ABSENT else str(value.const)


def line_of(wrong: Wrong, expr: Call) -> int:
    """Where the part stands that is wrong; where the call does if it is not written there."""
    argument = (
        expr.args[wrong.arg] if wrong.arg is not None and wrong.arg < len(expr.args) else None
    )
    if isinstance(argument, Record):
        for name, part in argument.pairs:
            if name in wrong.keys:
                return part.line
    return expr.line


def is_wrong(wrong: Wrong, args: list[Value]) -> bool:
    """Whether the argument that a rule is about is a wrong one."""
    value = args[wrong.arg] if wrong.arg is not None and wrong.arg < len(args) else None
    if wrong.lacks:
        return value is None or (
            value.items is not None and wrong.lacks not in value.items and ABSENT not in value.items
        )
    if value is None:
        return False
    if not wrong.keys:
        return wrong.test.fits(value)
    for path in wrong.keys:
        part: Value | None = value
        for key in path.split("."):
            part = part.items.get(key) if part is not None and part.items else None
        if part is not None and wrong.test.fits(part):
            return True
    return False


def parts_of(value: Value, depth: int = 3) -> Iterable[Value]:
    """Everything inside an object, one by one."""
    for part in list((value.items or {}).values()):
        if part.items is not None and depth:
            yield from parts_of(part, depth - 1)
        else:
            yield part


def does_nothing(body: Expr) -> bool:
    """Whether a body holds no statement but returns."""
    return isinstance(body, Block) and all(
        isinstance(part, Leave) and part.kind == "return" for part in body.body
    )


def accepts(body: Expr) -> bool:
    """Whether a body says yes to everything."""
    match body:
        case Block(body=[Leave(kind="return", value=Const(value=True))]) | Const(value=True):
            return True
        case _:
            return False


def holds(until: Until, args: list[Value]) -> bool:
    """Whether a call makes a thing safe with these arguments."""
    for index, wanted in until.args:
        if index >= len(args):
            return False
        const = args[index].const
        if type(const) is not type(wanted) or const != wanted:
            return False
    if until.text is not None:
        return any(
            until.text.search(str(arg.const) if arg.text is not None else arg.ref) for arg in args
        )
    return True
