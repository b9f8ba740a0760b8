"""Comparing versions by the rules of their ecosystem."""

import re
from typing import Any

from packaging.version import InvalidVersion, Version

_SEMVER = re.compile(
    r"^[v=\s]*(\d{1,12})(?:\.(\d{1,12}))?(?:\.(\d{1,12}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$"
)


def sort_key(ecosystem: str, version: str) -> Any | None:  # noqa: ANN401
    """A key that orders versions of one ecosystem; None when the text is no version there."""
    if ecosystem == "PyPI":
        try:
            return Version(version)
        except InvalidVersion:
            return None
    return _semver_key(version)


def _semver_key(version: str) -> tuple[object, ...] | None:
    """Semantic Versioning 2.0.0, section 11: a pre-release sorts before its release."""
    match = _SEMVER.match(version)
    if match is None:
        return None
    numbers = tuple(int(part or 0) for part in match.groups()[:3])
    if match[4] is None:
        return (*numbers, 1, ())
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split(".")
    )
    return (*numbers, 0, parts)
