"""Secrets are taken out of what an agent emits, however it writes them."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote, urlencode

import pytest

from penstock_core.redaction import SHOWN, Redactor
from penstock_executor.log_stream import LogStream
from penstock_runtime.ports.bus import Outgoing
from penstock_runtime.ports.sandbox import LOG_LINE_BYTES, LogLine

SECRET = 'Canary"7f\\3b/2c+grün&?=~x9Q'


def encodings(secret: str) -> dict[str, str]:
    raw = secret.encode()
    forms = {
        "literal": secret,
        "json": json.dumps(secret),
        "json in json": json.dumps(json.dumps(secret)),
        "json as utf-8": json.dumps(secret, ensure_ascii=False),
        "json with escaped slashes": json.dumps(secret).replace("/", "\\/"),
        "python": repr([secret]),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "url": quote(secret, safe=""),
        "url path": quote(secret),
        "form": urlencode({"a": secret}),
        "each byte as url": "".join(f"%{byte:02x}" for byte in raw),
        "base64 in lines": base64.encodebytes(raw * 3).decode().splitlines()[0],
    }
    for before in ("", "a", "ab", "abc"):
        for after in ("", "z", "zy"):
            whole = f"{before}{secret}{after}".encode()
            forms[f"base64 {before}:{after}"] = base64.b64encode(whole).decode()
            forms[f"url-safe base64 {before}:{after}"] = base64.urlsafe_b64encode(whole).decode()
    return forms


@pytest.mark.parametrize("name", encodings(SECRET))
def test_a_secret_is_found_however_it_is_written(name: str) -> None:
    written = encodings(SECRET)[name]

    told = Redactor([SECRET]).text(f"<{written}>")

    assert SHOWN in told
    left = told.replace(SHOWN, "").strip("<>")
    assert len(left) <= max(8, len(written) - len(SECRET)), told


def test_a_secret_that_a_long_line_cuts_in_two_is_found() -> None:
    sent: list[tuple[tuple[str, str], ...]] = []

    def compose(first: int, at_us: int, lines: tuple[tuple[str, str], ...]) -> Outgoing:
        del first, at_us
        sent.append(lines)
        return Outgoing(None, "s", b"")

    for before in range(LOG_LINE_BYTES - len(SECRET) - 2, LOG_LINE_BYTES + 2):
        sent.clear()
        logs = LogStream(compose, lambda _: True, Redactor([SECRET]))
        whole = ("x" * before + SECRET + "y" * 50).encode()
        while whole:
            cut = LOG_LINE_BYTES
            while 0x80 <= whole[cut : cut + 1].ljust(1, b"x")[0] < 0xC0:  # inside a character
                cut -= 1
            logs.write(LogLine("stdout", whole[:cut].decode(), 1))
            whole = whole[cut:]
        logs.finish()

        told = "".join(text for lines in sent for _, text in lines)
        assert told == "x" * before + SHOWN + "y" * 50, before


def test_looking_for_secrets_in_a_line_is_quick() -> None:
    redact = Redactor([SECRET, "another-secret-value", "0123456789abcdef0123456789abcdef"])
    line = "an ordinary line of an agent that says what it has done so far " * 2
    began = time.thread_time()
    for _ in range(1_000):
        assert redact.text(line) == line
    assert time.thread_time() - began < 0.5  # milliseconds a line; usually 20 microseconds
