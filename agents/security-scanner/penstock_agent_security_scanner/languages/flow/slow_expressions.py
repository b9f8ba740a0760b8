"""Regular expressions that can take exponential time."""

import re

# A group that is repeated without bound and whose whole content is itself repeated, so that a text
# can be divided among the two in many ways: (a+)+, (\\w*)*, ([a-z]+\\s?)*, (a|b+)+.
_ATOM = r"(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\()\[\]*+?{}|^$])"
_REPEATED = rf"{_ATOM}(?:[*+]|\{{\d+,\}})\??"
_OPTIONAL = rf"(?:{_ATOM}[*?])*"
_NESTED = re.compile(
    rf"\((?:\?:|\?<\w+>)?(?:{_OPTIONAL}{_REPEATED}{_OPTIONAL}|(?:{_ATOM}+\|)*{_REPEATED}(?:\|{_ATOM}+)*)\)(?:[*+]|\{{\d+,\}})"
)
# (a|a)*, (.|x)*: one alternative repeats another.
_SAME = re.compile(rf"\((?:\?:)?({_ATOM})\|\1\)[*+]|\((?:\?:)?\.\|{_ATOM}\)[*+]")
MAX_CHARS = 1_000


def is_slow(pattern: str) -> bool:
    """Whether an expression repeats what already repeats."""
    if len(pattern) > MAX_CHARS:
        return False
    return _NESTED.search(pattern) is not None or _SAME.search(pattern) is not None
