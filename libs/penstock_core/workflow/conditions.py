"""Conditions: CEL expressions over a scope, compiled once, that give true or false."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import JsonValue


class ConditionError(Exception):
    """A condition is malformed, gave no boolean, or read something that is not there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition.

    Attributes:
        text: the expression as written.
        names: root identifiers that it reads.
        status_reads: nodes whose `.status` it reads.
    """

    text: str
    names: frozenset[str]
    status_reads: frozenset[str]

    def evaluate(self, scope: Mapping[str, JsonValue]) -> bool:
        """Tell whether it holds.

        Raises:
            ConditionError: no boolean, a missing key, or operands that do not fit.
        """
        raise NotImplementedError


@lru_cache(maxsize=4096)
def compile_condition(text: str) -> Condition:
    """Compile an expression; the same text gives the same object.

    Raises:
        ConditionError: it is no CEL.
    """
    raise NotImplementedError
