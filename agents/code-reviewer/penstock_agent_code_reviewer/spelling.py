"""Whether one name is another with a slip of the finger."""

from collections.abc import Iterable

MIN_CHARS = 5


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that a name was meant to be.

    One letter too many, too few, changed, or two exchanged; not a leading underscore, a plural or
    a number, which are names of their own.
    """
    if len(name) < MIN_CHARS:
        return None
    return next((one for one in known if one != name and _slipped(name, one)), None)


def _slipped(one: str, other: str) -> bool:
    if one.strip("_") == other.strip("_") or one.rstrip("s0123456789") == other.rstrip(
        "s0123456789"
    ):
        return False
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    at = next(
        (n for n, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None
    )
    if at is None:
        return False  # an ending makes another word: replace, replaced
    if len(one) == len(other):
        exchanged = one[at : at + 2] == other[at : at + 2][::-1] and len(one[at : at + 2]) == 2
        rest = at + 2 if exchanged else at + 1
        return one[rest:] == other[rest:]
    return one[at:] == other[at + 1 :]
