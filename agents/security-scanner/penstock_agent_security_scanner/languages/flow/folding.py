"""Computing with literals, so that branches never taken are not looked at."""

import operator
from collections.abc import Callable

from penstock_agent_security_scanner.languages.flow.values import (
    ABSENT,
    MAX_TEXT,
    Known,
    Value,
    same,
)

_NUMERIC: dict[str, Callable[[int | float, int | float], int | float | bool]] = {
    "-": operator.sub,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_BOUND = 1 << 60


def _is_number(value: Known) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BOUND


def truth(value: Value) -> bool | None:
    """Whether a test holds, where that is certain."""
    const = value.const
    if isinstance(const, bool):
        return const
    if isinstance(const, int | float):
        return bool(const)
    return None


def added(parts: list[Value]) -> Known:
    """The literal that parts put together are."""
    consts = [part.const for part in parts]
    if not consts or any(const is ABSENT for const in consts):
        return ABSENT
    if all(_is_number(const) for const in consts):
        return sum(const for const in consts if isinstance(const, int | float))
    if not any(isinstance(const, str) for const in consts):
        return ABSENT
    text = "".join(_shown(const) for const in consts)
    return text if len(text) <= MAX_TEXT else ABSENT


def _shown(const: Known) -> str:
    if isinstance(const, bool):
        return "true" if const else "false"
    return "null" if const is None else str(const)


def computed(op: str, parts: list[Value]) -> Known:
    """The literal that an operator gives."""
    consts = [part.const for part in parts]
    if len(consts) == 1:
        only = truth(parts[0])
        if op == "!" and only is not None:
            return not only
        return -consts[0] if op == "-" and _is_number(consts[0]) else ABSENT  # type: ignore[operator]
    if len(consts) != 2:
        return ABSENT
    one, other = consts
    if op in ("&&", "||"):
        return _logical(op, parts)
    if one is ABSENT or other is ABSENT:
        return ABSENT
    if op in ("==", "==="):
        return same(one, other)
    if op in ("!=", "!=="):
        return not same(one, other)
    if not (_is_number(one) and _is_number(other)):
        return ABSENT
    assert isinstance(one, int | float) and isinstance(other, int | float)  # noqa: S101, PT018
    if op in _NUMERIC:
        return _NUMERIC[op](one, other)
    if op == "*":
        return one * other
    if op in ("/", "%") and other:
        whole = isinstance(one, int) and isinstance(other, int)
        if op == "%":
            return one % other
        return one // other if whole else one / other
    return ABSENT


def _logical(op: str, parts: list[Value]) -> Known:
    one, other = truth(parts[0]), truth(parts[1])
    decisive = op == "||"
    if one is decisive or other is decisive:
        return decisive
    return (not decisive) if one is not None and other is not None else ABSENT


def of_text(name: str, text: str, args: list[Value]) -> Known:
    """The literal that a method of a literal text gives."""
    consts = [arg.const for arg in args]
    first = consts[0] if consts else ABSENT
    if name in ("toString", "trim", "strip", "toLowerCase", "toUpperCase", "intern") and not args:
        changed = {"trim": text.strip(), "strip": text.strip(), "toLowerCase": text.lower(),
                   "toUpperCase": text.upper()}  # fmt: skip
        return changed.get(name, text)
    if name == "length" and not args:
        return len(text)
    if name in ("charAt", "at") and isinstance(first, int) and 0 <= first < len(text):
        return text[first]
    if name in ("equals", "equalsIgnoreCase") and isinstance(first, str):
        return text == first if name == "equals" else text.lower() == first.lower()
    if name in ("substring", "slice") and all(
        isinstance(const, int) and const >= 0 for const in consts
    ):
        numbers = [const for const in consts if isinstance(const, int)]
        return (
            text[numbers[0] : numbers[1]]
            if len(numbers) == 2
            else text[numbers[0] :]
            if numbers
            else ABSENT
        )
    if name in ("contains", "includes") and isinstance(first, str):
        return first in text
    if name in ("startsWith", "endsWith") and isinstance(first, str) and len(args) == 1:
        return text.startswith(first) if name == "startsWith" else text.endswith(first)
    if name == "split" and isinstance(first, str):
        return ABSENT
    return ABSENT
