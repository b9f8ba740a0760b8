"""One envelope for every message."""

from __future__ import annotations

import json

import pytest

from penstock_contracts.envelope import (
    MAX_BODY_BYTES,
    MAX_INLINE_BYTES,
    MAX_MESSAGE_BYTES,
    Envelope,
    MalformedMessage,
)

LEAST = {"id": "1", "source": "here", "type": "run.cancel_run.v1"}


def test_absent_attributes_are_left_out():
    assert json.loads(Envelope.model_validate(LEAST).encode()) == {
        "specversion": "1.0",
        **LEAST,
        "tenant": "default",
    }


def test_what_is_encoded_is_decoded():
    envelope = Envelope(
        id="1",
        source="here",
        type="t",
        subject="s",
        time="2026-11-21T10:00:00Z",
        datacontenttype="application/json",
        tenant="acme",
        causationid="c",
        correlationid="r",
        actor="user:ada",
        traceparent="00-x",
        data={"a": [1, 2.5, None, "é", True]},
    )
    assert Envelope.decode(envelope.encode()) == envelope


def test_unknown_attributes_are_tolerated():
    assert Envelope.decode(json.dumps({**LEAST, "dataschema": "x"}).encode()).id == "1"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "message: Invalid JSON"),
        (b"{", "message: Invalid JSON"),
        (b"\xff\xfe", "message: Invalid JSON"),
        (b"[]", "message: Input should be an object"),
        (b"null", "message: Input should be an object"),
        (b'{"source":"s","type":"t"}', "id: Field required"),
        (b'{"id":"1","type":"t"}', "source: Field required"),
        (b'{"id":"1","source":"s"}', "type: Field required"),
        (b'{"id":"","source":"s","type":"t"}', "id: String should have at least 1 character"),
        (b'{"id":1,"source":"s","type":"t"}', "id: Input should be a valid string"),
        (
            b'{"id":"1","source":"s","type":"t","specversion":"0.3"}',
            "specversion: String should match pattern",
        ),
        (
            json.dumps({**LEAST, "id": "x" * 257}).encode(),
            "id: String should have at most 256 characters",
        ),
        (json.dumps({**LEAST, "source": "x" * 513}).encode(), "source: String should have at most"),
        (json.dumps({**LEAST, "type": "x" * 129}).encode(), "type: String should have at most"),
        (json.dumps({**LEAST, "subject": "x" * 513}).encode(), "subject: String should have at"),
    ],
)
def test_a_malformed_envelope_says_the_first_fault_and_its_place(raw: bytes, told: str):
    with pytest.raises(MalformedMessage) as caught:
        Envelope.decode(raw)
    assert str(caught.value).startswith(told)


def test_a_fault_never_quotes_the_value():
    with pytest.raises(MalformedMessage) as caught:
        Envelope.decode(json.dumps({**LEAST, "id": "hunter2" * 100}).encode())
    assert "hunter2" not in str(caught.value)


def test_the_sizes_are_those_that_the_servers_are_set_to():
    assert (MAX_INLINE_BYTES, MAX_BODY_BYTES, MAX_MESSAGE_BYTES) == (65_536, 10 << 20, 12 << 20)
