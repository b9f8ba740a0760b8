"""Canonical JSON (RFC 8785) and the digests that name versions."""

import hashlib
from collections.abc import Iterator

import rfc8785
from pydantic import JsonValue

from penstock_core.workflow.templating import escape_token

MAX_INTEGER = 2**53 - 1  # the standard's bound: beyond it not every reader sees the same number
MAX_DEPTH = 100  # levels of nesting in what is hashed


def canonical_json(value: JsonValue) -> bytes:
    """Give the canonical JSON of `value`.

    Raises:
        ValueError: see `uncanonical`.
    """
    return rfc8785.dumps(value)


def canonical_digest(value: JsonValue) -> str:
    """Give `sha256:` and the hash of the canonical JSON of `value`.

    Raises:
        ValueError: see `uncanonical`.
    """
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def uncanonical(value: JsonValue, pointer: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Give what in a value has no canonical form: its RFC 6901 pointer and what is wrong."""
    if depth > MAX_DEPTH:
        yield pointer, f"nested over {MAX_DEPTH} deep"
        return
    match value:
        case dict():
            for key, item in value.items():
                place = f"{pointer}/{escape_token(key)}"
                if not _is_text(key):
                    yield pointer, "a field's name holds half a surrogate pair"
                yield from uncanonical(item, place, depth + 1)
        case list():
            for index, item in enumerate(value):
                yield from uncanonical(item, f"{pointer}/{index}", depth + 1)
        case str() if not _is_text(value):
            yield pointer, "half a surrogate pair is no character"
        case int() if not -MAX_INTEGER <= value <= MAX_INTEGER:
            yield pointer, "an integer beyond 2^53 is not the same number to every reader"
        case float() if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124
            yield pointer, "not a number of JSON"
        case _:
            return


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
