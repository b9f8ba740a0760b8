"""Bytes on the bus's wire that a healthy server on this machine does not show."""

from __future__ import annotations

import pytest

from penstock_adapters.nats.publisher import outcome_of
from penstock_adapters.nats.replies import NOBODY
from penstock_adapters.nats.wire import (
    Place,
    headers_of,
    place_of,
    publish_parts,
    status_of,
    time_us_of,
)
from penstock_runtime.ports.bus import Published

PLACE = Place(b"reader", 12, 7, 1_700_000_000_123_456, 3)


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.RUNS.reader.1.12.7.1700000000123456789.3",
        b"$JS.ACK.hub.HASH.RUNS.reader.1.12.7.1700000000123456789.3",
        b"$JS.ACK._.HASH.RUNS.reader.1.12.7.1700000000123456789.3.token",
    ],
    ids=["short", "with a domain", "with a token"],
)
def test_a_place_is_read_in_every_form(reply: bytes):
    assert place_of(reply) == PLACE


@pytest.mark.parametrize("reply", [b"", b"$JS.ACK.RUNS.reader.1.12", b"a.b.c.d.e.f.g.h.i.j"])
def test_what_is_no_place_is_refused(reply: bytes):
    with pytest.raises(ValueError, match=r"not|invalid"):
        place_of(reply)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456),
        ("2023-11-14T22:13:20.1Z", 1_700_000_000_100_000),
        ("2023-11-15T00:13:20.000001+02:00", 1_700_000_000_000_001),
    ],
)
def test_times_are_truncated_to_microseconds(text: str, us: int):
    assert time_us_of(text) == us


def test_statuses():
    plain = status_of(b"NATS/1.0 404 No Messages\r\n\r\n")
    assert plain is not None
    assert (plain.code, plain.text, plain.headers) == (404, "No Messages", {})
    rich = status_of(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 5\r\n\r\n")
    assert rich is not None
    assert rich.number("nats-pending-messages") == 5
    assert rich.number("Nats-Last-Consumer") is None
    assert status_of(None) is None
    assert status_of(b"NATS/1.0\r\nA: b\r\n\r\n") is None
    assert status_of(b"NATS/1.0 xyz\r\n\r\n") is None


def test_headers():
    assert headers_of(None) == {}
    assert headers_of(b"NATS/1.0\r\nA: b\r\nC:d:e\r\nnonsense\r\n\r\n") == {"A": "b", "C": "d:e"}


def test_a_large_payload_is_not_copied():
    payload = bytes(100_000)
    assert publish_parts("s", "r", payload, None)[1] is payload
    assert publish_parts("s", "", b"x", b"H\r\n\r\n") == (b"HPUB s  5 6\r\nH\r\n\r\nx\r\n",)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (None, Published.FAILED),
        (NOBODY, Published.FAILED),
        (b"", Published.FAILED),
        (b"not json", Published.FAILED),
        (b'{"stream":"RUNS","seq":1}', Published.DONE),
        (b'{"stream":"RUNS","seq":1,"duplicate":true}', Published.DONE),
        (
            b'{"error":{"code":400,"err_code":10077,'
            b'"description":"maximum messages per subject exceeded"},"stream":"T","seq":0}',
            Published.ALREADY_THERE,
        ),
        (
            b'{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}',
            Published.FULL,
        ),
        (
            b'{"error":{"code":500,"err_code":10047,'
            b'"description":"insufficient storage resources available"}}',
            Published.FULL,
        ),
        (
            b'{"error":{"code":429,"err_code":10167,"description":"too many requests"}}',
            Published.FAILED,
        ),
    ],
)
def test_outcomes(reply: bytes | None, outcome: Published):
    assert outcome_of(reply) is outcome
