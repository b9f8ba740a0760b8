"""GraphQL documents, as text: a task costs one request, with ids where the SDK has objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

Step = tuple[str, dict[str, Any]]
"""A field and its arguments."""


class Word(str):
    """An enum's member, written without quotes."""

    __slots__ = ()


def chained(steps: Sequence[Step], *leaves: str) -> str:
    """Write fields, each within the one before, that end in some leaves."""
    opened = " { ".join(_call(name, arguments) for name, arguments in steps)
    return "query { " + opened + " { " + " ".join(leaves) + " }" * (len(steps) + 1)


def innermost(answer: Mapping[str, Any], steps: Sequence[Step]) -> Mapping[str, Any]:
    """Find what the leaves gave."""
    for name, _ in steps:
        answer = cast("Mapping[str, Any]", answer[name])
    return answer


def _call(name: str, arguments: dict[str, Any]) -> str:
    if not arguments:
        return name
    return f"{name}({', '.join(f'{key}: {_literal(value)}' for key, value in arguments.items())})"


def _literal(value: object) -> str:
    # A JSON string, list, number or truth value is written alike in GraphQL.
    return str(value) if isinstance(value, Word) else json.dumps(value, ensure_ascii=False)
