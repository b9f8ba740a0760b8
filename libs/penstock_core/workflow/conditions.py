"""Conditions: CEL expressions over a scope, compiled once, that give true or false."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import JsonValue

from penstock_core.workflow.cel_engine import EngineError, Program
from penstock_core.workflow.cel_names import Read, reads_of

MAX_CONDITION_CHARS = 4_096
CONDITIONS_KEPT = 4_096  # compiled expressions that are remembered, some 10 KB each
MAX_DETAIL_CHARS = 300

_POSITION = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
# What the library says about values, told on in words that hold no payload.
_FAILURES = (
    ("No matching overloads found", "the operands' types do not fit: {text}"),
    ("Applying SELECT to non-message type", "a field was read of something that has no fields"),
    ("Index error", "a list has no such position"),
    ("divide by zero", "division by zero"),
    ("integer overflow", "an integer overflowed"),
    ("Iteration budget exceeded", "the expression takes too many steps"),
)


class ConditionError(Exception):
    """A condition is malformed, gave no boolean, or read something that is not there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition.

    Attributes:
        text: the expression as written.
        names: root identifiers that it reads.
        status_reads: nodes whose `.status` it reads.
        reads: each variable with the members read of it, as far as the text shows.
    """

    text: str
    names: frozenset[str]
    status_reads: frozenset[str]
    reads: frozenset[Read] = field(compare=False)
    _program: Program = field(compare=False, repr=False)
    _members: Mapping[str, frozenset[str]] = field(compare=False, repr=False)

    def evaluate(self, scope: Mapping[str, JsonValue]) -> bool:
        """Tell whether it holds.

        Raises:
            ConditionError: no boolean, a missing key, or operands that do not fit.
        """
        try:
            value = self._program.evaluate(self._values(scope))
        except EngineError as error:
            raise ConditionError(_failure(str(error), self.text)) from None
        if not isinstance(value, bool):
            raise ConditionError("the condition gave neither true nor false")
        return value

    def _values(self, scope: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Give what the expression reads: handing over a whole output costs by its size."""
        values: dict[str, JsonValue] = {}
        for name in self.names:
            if name not in scope:
                raise ConditionError(f"there is no {name!r} here")
            value = scope[name]
            wanted = self._members.get(name)
            if wanted is not None and isinstance(value, dict):
                value = {key: value[key] for key in wanted if key in value}
            values[name] = value
        return values


@lru_cache(maxsize=CONDITIONS_KEPT)
def compile_condition(text: str) -> Condition:
    """Compile an expression; the same text gives the same object.

    Raises:
        ConditionError: it is no CEL, calls an unknown function, or cannot give a boolean.
    """
    if len(text) > MAX_CONDITION_CHARS:
        raise ConditionError(f"the condition is longer than {MAX_CONDITION_CHARS} characters")
    reads = reads_of(text)
    names = frozenset(read[0] for read in reads)
    try:
        program = Program(text, names)
    except EngineError as error:
        raise ConditionError(_fault(str(error))) from None
    if program.result_type not in ("BOOL", "DYN"):
        kind = program.result_type.lower()
        raise ConditionError(f"the condition gives a value of type {kind}, not true or false")
    return Condition(
        text=text,
        names=names,
        status_reads=frozenset(read[0] for read in reads if read[1:2] == ("status",)),
        reads=reads,
        _program=program,
        _members=_first_members(reads),
    )


def _first_members(reads: frozenset[Read]) -> dict[str, frozenset[str]]:
    """Give the members read of each variable that is only read by member."""
    whole = {read[0] for read in reads if len(read) == 1}
    members: dict[str, set[str]] = {}
    for read in reads:
        if read[0] not in whole:
            members.setdefault(read[0], set()).add(read[1])
    return {name: frozenset(keys) for name, keys in members.items()}


def _fault(text: str) -> str:
    """Say the library's first complaint about an expression in one line."""
    if "recursion" in text:
        return "the condition is nested too deeply"
    match = _POSITION.search(text)
    if match is None:
        return text.partition("\n")[0][:MAX_DETAIL_CHARS]
    _line, column, message = match.groups()
    message = message.replace(" (in container '')", "").partition(" expecting {")[0]
    place = f" at column {column}" if int(column) > 0 else ""
    message = message.replace("mismatched input '<EOF>'", "it ends too early")
    return f"{message[:MAX_DETAIL_CHARS]}{place}"


def _failure(text: str, expression: str) -> str:
    missing = _MISSING_KEY.search(text)
    if missing is not None:
        # A key computed from values is payload; one that stands in the expression is not.
        key = missing.group(1)
        return f"there is no {key!r}" if key in expression else "a key is missing"
    for mark, words in _FAILURES:
        if mark in text:
            return words.format(text=text.rpartition(" : ")[2][:MAX_DETAIL_CHARS])
    return f"the expression could not be evaluated ({text.partition(':')[0][:40]})"
