"""Constants computed from constants, by pure operations on bounded values."""

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

from penstock_agent_security_scanner.taint.values import UNKNOWN

MAX_CHARS = 4_096
MAX_NUMBER = 1 << 64
_SIMPLE = (str, bytes, int, float, bool, type(None))

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.RShift: operator.rshift,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
TEXT_METHODS: Final = frozenset(
    {
        "capitalize", "casefold", "count", "decode", "encode", "endswith", "find", "format",
        "index", "isalnum", "isalpha", "isdecimal", "isdigit", "isidentifier", "islower",
        "isnumeric", "isupper", "lower", "lstrip", "partition", "removeprefix",
        "removesuffix", "replace", "rfind", "rsplit", "rstrip", "split", "startswith",
        "strip", "swapcase", "title", "upper",
    }
)  # fmt: skip


def bounded(value: object) -> object:
    """The value, or `UNKNOWN` when it is too large or no plain constant."""
    if isinstance(value, str | bytes):
        return value if len(value) <= MAX_CHARS else UNKNOWN
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_NUMBER else UNKNOWN
    return UNKNOWN


def binary(operation: ast.operator, left: object, right: object) -> object:
    """`left operation right`, or `UNKNOWN`."""
    function = _BINARY.get(type(operation))
    if function is None or not _are_simple(left, right):
        return UNKNOWN
    if isinstance(operation, ast.Mult) and not _may_multiply(left, right):
        return UNKNOWN
    if isinstance(operation, ast.Mod) and not isinstance(left, int | float):
        return _percent(left, (right,))
    try:
        return bounded(function(left, right))
    except (TypeError, ValueError, ArithmeticError):
        return UNKNOWN


def _percent(template: object, values: tuple[object, ...]) -> object:
    # A width such as %999999999d would make the result huge.
    if not isinstance(template, str) or any(part.isdigit() for part in template.split("%")[1:]):
        return UNKNOWN
    if "*" in template or not template.count("%s") == template.count("%") == len(values):
        return UNKNOWN
    try:
        return bounded(template % values)
    except (TypeError, ValueError):
        return UNKNOWN


def _may_multiply(left: object, right: object) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return True
    size = (
        len(left)
        if isinstance(left, str | bytes)
        else len(right)
        if isinstance(right, str | bytes)
        else 0
    )
    factor = left if isinstance(left, int) else right
    return isinstance(factor, int) and factor >= 0 and size * factor <= MAX_CHARS


def _are_simple(*values: object) -> bool:
    return all(isinstance(value, _SIMPLE) for value in values)


def compare(operation: ast.cmpop, left: object, right: object) -> object:
    """`left operation right` as True, False or `UNKNOWN`."""
    if not _are_simple(left, right):
        return UNKNOWN
    try:
        return bool(_COMPARE[type(operation)](left, right))
    except TypeError:
        return UNKNOWN


def unary(operation: ast.unaryop, operand: object) -> object:
    """`operation operand`, or `UNKNOWN`."""
    if isinstance(operation, ast.Not):
        return not operand
    if not isinstance(operand, int | float):
        return UNKNOWN
    if isinstance(operation, ast.USub):
        return bounded(-operand)
    return bounded(+operand) if isinstance(operation, ast.UAdd) else UNKNOWN


def subscript(value: object, index: object) -> object:
    """`value[index]` of a text, or `UNKNOWN`."""
    if isinstance(value, str | bytes) and isinstance(index, int):
        try:
            return value[index]
        except IndexError:
            return UNKNOWN
    return UNKNOWN


def sliced(value: object, lower: object, upper: object, step: object) -> object:
    """`value[lower:upper:step]` of a text, or `UNKNOWN`."""
    parts = (lower, upper, step)
    if not isinstance(value, str | bytes):
        return UNKNOWN
    if not all(part is None or isinstance(part, int) for part in parts) or step == 0:
        return UNKNOWN
    return value[lower:upper:step]  # type: ignore[misc]


def text_method(value: object, method: str, arguments: list[object]) -> object:
    """`value.method(*arguments)` of a text; lists come back as lists."""
    if not isinstance(value, str | bytes) or method not in TEXT_METHODS:
        return UNKNOWN
    if not _are_simple(*arguments):
        return UNKNOWN
    if (
        method == "format"
        and isinstance(value, str)
        and (":" in value or "!" in value or "." in value)
    ):
        return UNKNOWN
    if method == "replace" and len(value) * max(1, len(str(arguments[-1]))) > MAX_CHARS * 8:
        return UNKNOWN
    try:
        result = getattr(value, method)(*arguments)
    except (TypeError, ValueError, LookupError, AttributeError):
        return UNKNOWN
    if isinstance(result, list | tuple):
        return list(result)[:64]
    return bounded(result)
