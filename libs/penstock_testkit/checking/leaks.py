"""Secrets occur nowhere, however they are written."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote_from_bytes

from pydantic_core import to_json

from penstock_testkit.checking.history import History, Violation

SHORTEST = 8  # bytes; a shorter secret is found by accident


def no_secret_is_written(history: History) -> Iterator[Violation]:
    """No record and no message holds a secret: plain, JSON, base64, hex or URL-encoded.

    Raises:
        ValueError: a secret is too short to be looked for.
    """
    if not history.secrets:
        return
    forms = [(name, form) for secret in history.secrets for name, form in forms_of(secret)]
    for partition, records in history.store.items():
        for record in records:
            yield from _found(f"{partition}/{record.n}", record.state, forms)
    for message in history.published or ():
        yield from _found(f"EVENTS/{message.sequence}", message.payload, forms)
    for where, payload in history.messages:
        yield from _found(where, payload, forms)


def _found(where: str, raw: bytes, forms: Sequence[tuple[str, bytes]]) -> Iterator[Violation]:
    lower = raw.lower()
    for name, form in forms:
        if form in (lower if name == "hex" else raw):
            yield Violation("secrets", where, f"a secret stands here ({name})")
            return


def forms_of(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the ways in which a secret may be written.

    Base64 comes in three, as the secret may begin at any place of a group of three bytes; of each
    only the characters are looked for that depend on nothing but the secret.

    Raises:
        ValueError: it is too short.
    """
    if len(secret) < SHORTEST:
        raise ValueError(f"a secret of {len(secret)} bytes would be found by accident")
    yield "plain", secret
    yield "hex", secret.hex().encode()
    yield "URL-encoded", quote_from_bytes(secret, safe="").encode()
    with suppress(UnicodeDecodeError):  # JSON cannot hold it as text
        yield "JSON", to_json(secret.decode())[1:-1]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret)
        begin = (shift * 8 + 5) // 6
        end = (shift + len(secret)) * 8 // 6
        core = whole[begin:end]
        yield "base64", core
        yield "base64", core.replace(b"+", b"-").replace(b"/", b"_")
