"""Problems of a document: their codes, their places, and names that were probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum

from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.templating import escape_token

MAX_PROBLEMS = 200  # told at once; more would not be read
MAX_CANDIDATES = 1_000  # names that a misspelt one is compared with
CLOSENESS = 0.6  # of two names, from 0 to 1


class ProblemCode(StrEnum):
    """Every code a problem may carry. Append only."""

    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    INVALID_SCHEMA = "invalid_schema"
    RESERVED_NAME = "reserved_name"
    UNKNOWN_AGENT = "unknown_agent"
    NOTHING_TO_DO = "nothing_to_do"  # neither an agent nor an approval
    UNKNOWN_NODE = "unknown_node"
    SELF_NEED = "self_need"
    DUPLICATE_NEED = "duplicate_need"
    CYCLE = "cycle"
    UNREACHABLE = "unreachable"
    BAD_TEMPLATE = "bad_template"
    UNKNOWN_NAME = "unknown_name"
    NOT_BEFORE = "not_before"  # a node is read that need not have ended by then
    UNKNOWN_OUTPUT = "unknown_output"
    UNKNOWN_INPUT = "unknown_input"
    MISSING_INPUT = "missing_input"
    TYPE_MISMATCH = "type_mismatch"
    BAD_CONDITION = "bad_condition"
    BAD_TRIGGER = "bad_trigger"
    DUPLICATE_TRIGGER = "duplicate_trigger"
    BAD_PUSH_BACK = "bad_push_back"  # to a node that a gate cannot send back to work


AT_KEY = frozenset(
    {
        ProblemCode.UNKNOWN_FIELD,
        ProblemCode.RESERVED_NAME,
        ProblemCode.UNKNOWN_INPUT,
        ProblemCode.NOTHING_TO_DO,
        ProblemCode.UNREACHABLE,
    }
)
"""Codes of problems with a field's name rather than with its value."""


def problem(pointer: str, code: ProblemCode, message: str, suggestion: str = "") -> Problem:
    """Give a problem."""
    return Problem(pointer=pointer, code=code.value, message=message, suggestion=suggestion)


def pointer_of(*tokens: str | int) -> str:
    """Give the RFC 6901 pointer of a place."""
    return "".join(f"/{escape_token(str(token))}" for token in tokens)


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """Give the candidate that was probably meant, or None."""
    pool = sorted(set(candidates))[:MAX_CANDIDATES]
    folded = {item.replace("-", "_").lower(): item for item in pool}
    found = get_close_matches(name.replace("-", "_").lower(), list(folded), 1, CLOSENESS)
    return folded[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str], shown: str = "{}") -> str:
    """Give a suggestion for a misspelt name: the closest one, else the few there are.

    Args:
        name: as written.
        candidates: what could have been meant.
        shown: how a name is written in place, with `{}` for the name.
    """
    pool = sorted(set(candidates))
    meant = closest(name, pool)
    if meant is not None:
        return f"did you mean `{shown.format(meant)}`?"
    if not pool:
        return ""
    listed = ", ".join(f"`{item}`" for item in pool[:8])
    return f"known: {listed}{', ...' if len(pool) > 8 else ''}"
