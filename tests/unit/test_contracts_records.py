"""Stored and published forms of events, and their chain."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

import pytest

from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    chain_hash,
    decode_state,
    encode_state,
    genesis_hash,
    published_form,
    read_published,
    read_record,
    stored_part,
    time_number,
    time_text,
)

RUN = "1c2f371f-f72e-8b2e-95e0-641bd7f645d9"
HEAD = genesis_hash("run-0")
META = EventMeta(1_795_000_000_123_456, "acme", "c", "r", "user:ada", "00-x")
STATE = encode_state(META, HEAD, {"node": "a"})
RECORD = StoredRecord(RUN, 3, "run.node_skipped.v1", STATE, "run-0", 7, 11)


def test_the_stored_form_is_fixed_to_the_letter():
    assert STATE.decode() == (
        '{"time":"2026-11-18T11:06:40.123456Z","tenant":"acme","causationid":"c",'
        '"correlationid":"r","actor":"user:ada","traceparent":"00-x",'
        f'"prevhash":"{HEAD.hex()}","data":{{"node":"a"}}}}'
    )


def test_what_is_absent_is_not_stored():
    state = encode_state(EventMeta(0), HEAD, {})
    assert json.loads(state) == {
        "time": "1970-01-01T00:00:00.000000Z",
        "prevhash": HEAD.hex(),
        "data": {},
    }
    assert decode_state(state) == (EventMeta(0), HEAD.hex(), {})


def test_the_published_form_holds_the_stored_bytes_to_the_letter():
    published = published_form(RECORD)
    assert published.decode() == (
        '{"specversion":"1.0","id":"run-0/7","source":"penstock/run-0",'
        f'"type":"run.node_skipped.v1","subject":"{RUN}","partition":"run-0",'
        '"n":7,"version":3,' + STATE.decode()[1:]
    )
    assert stored_part(published) == STATE
    assert read_published(published) == read_record(RECORD)


def test_the_first_time_attribute_is_the_event_s_own():
    state = encode_state(META, HEAD, {"time": "not this one", "x": '"time":'})
    published = published_form(StoredRecord(RUN, 3, "run.node_skipped.v1", state, "p", 1, 1))
    assert stored_part(published) == state


def test_the_hash_covers_previous_hash_ids_topic_and_bytes():
    expected = hashlib.sha256(
        HEAD
        + UUID(RUN).bytes
        + (3).to_bytes(8, "big")
        + len(b"run.node_skipped.v1").to_bytes(4, "big")
        + b"run.node_skipped.v1"
        + STATE
    ).digest()
    made = chain_hash(HEAD, RUN, 3, "run.node_skipped.v1", STATE)
    assert made == expected
    other = {
        chain_hash(genesis_hash("run-1"), RUN, 3, "run.node_skipped.v1", STATE),
        chain_hash(HEAD, RUN[:-1] + "0", 3, "run.node_skipped.v1", STATE),
        chain_hash(HEAD, RUN, 4, "run.node_skipped.v1", STATE),
        chain_hash(HEAD, RUN, 3, "run.node_skipped.v", b"1" + STATE),
        chain_hash(HEAD, RUN, 3, "run.node_skipped.v1", STATE + b" "),
    }
    assert len(other) == 5
    assert made not in other


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"time":"yesterday","prevhash":"","data":{}}',
        b'{"time":3,"prevhash":"","data":{}}',
        b'{"time":"2026-11-18T11:06:40Z","data":{}}',
        b'{"time":"2026-11-18T11:06:40Z","prevhash":""}',
        b'{"time":"2026-11-18T11:06:40","prevhash":"","data":{}}',
    ],
)
def test_what_is_no_event_is_told(state: bytes):
    with pytest.raises(MalformedMessage, match="not a stored event"):
        decode_state(state)
    with pytest.raises(MalformedMessage, match="not a published event"):
        read_published(state)


def test_a_message_without_time_holds_no_stored_bytes():
    with pytest.raises(MalformedMessage, match="no time attribute"):
        stored_part(b"{}")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (951_782_400_999_999, "2000-02-29T00:00:00.999999Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_written_with_six_digits(number: int, text: str):
    assert time_text(number) == text
    assert time_number(text) == number


def test_other_offsets_are_understood():
    assert time_number("1970-01-01T01:00:00+01:00") == 0
