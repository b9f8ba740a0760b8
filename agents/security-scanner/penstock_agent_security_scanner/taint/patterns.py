"""Regular expressions that can take exponential time."""

import importlib
import warnings
from functools import lru_cache
from typing import Any, Final

# The parser of `re` itself, which has no types and no public name.
codes: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

_MANY: Final = 10
_REPEATS: Final = (codes.MAX_REPEAT, codes.MIN_REPEAT)


@lru_cache(maxsize=512)
def is_slow(pattern: str) -> bool:
    """Whether an unbounded repetition stands directly in another, with nothing fixed between.

    `(a+)+` and `(a|aa)*` are; `(a+,)+` is not, because the comma decides where a round ends.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parser.parse(pattern)
    except (re_error, OverflowError, RecursionError, ValueError):
        return False
    return _has_nested(list(parsed), inside=False)


re_error: Final = parser.error if hasattr(parser, "error") else ValueError


def _has_nested(items: list[Any], *, inside: bool) -> bool:
    for code, argument in items:
        if code in _REPEATS:
            _, most, body = argument
            content = list(body)
            if most is codes.MAXREPEAT or most > _MANY:
                if inside and _all_optional_around(items, (code, argument)):
                    return True
                if _has_nested(_unwrapped(content), inside=True):
                    return True
            elif _has_nested(content, inside=False):
                return True
        elif code is codes.SUBPATTERN:
            if _has_nested(list(argument[3]), inside=inside and len(items) == 1):
                return True
        elif code is codes.BRANCH and any(
            _has_nested(list(branch), inside=inside) for branch in argument[1]
        ):
            return True
    return False


def _unwrapped(items: list[Any]) -> list[Any]:
    while len(items) == 1 and items[0][0] is codes.SUBPATTERN:
        items = list(items[0][1][3])
    return items


def _all_optional_around(items: list[Any], one: tuple[Any, Any]) -> bool:
    """Whether the rest of the round can be empty, or can be read as one of its own repetitions."""
    repeated = _first_of(list(one[1][2]))
    for code, argument in items:
        if (code, argument) == one or code is codes.AT:
            continue
        if code in _REPEATS and argument[0] == 0:
            continue
        if _first_of([(code, argument)]) == repeated and repeated is not None:
            continue
        return False
    return True


def _first_of(items: list[Any]) -> str | None:
    items = _unwrapped(items)
    return repr(items[0]) if len(items) == 1 else None
