"""Laws of the contracts that hold for whatever is put in."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from penstock_contracts import ids, subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    chain_hash,
    decode_state,
    encode_state,
    published_form,
    read_published,
    read_record,
    stored_part,
    time_number,
    time_text,
)
from penstock_contracts.subjects import STREAM_SUBJECTS, matches
from penstock_contracts.workflow.v1 import MAX_DURATION_S, parse_duration

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=12)
UUIDS = st.uuids().map(str)
TIMES_US = st.integers(0, 253_402_300_799_999_999)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(TEXTS, VALUES, max_size=5)
HEADS = st.binary(min_size=32, max_size=32)
METAS = st.builds(
    EventMeta,
    time_us=TIMES_US,
    tenant=NAMES,
    causation_id=TEXTS,
    correlation_id=TEXTS,
    actor=TEXTS,
    traceparent=st.none() | TEXTS.filter(bool),
)


@given(TIMES_US)
def test_a_time_survives_its_text(time_us: int):
    assert time_number(time_text(time_us)) == time_us


@given(METAS, HEADS, OBJECTS)
def test_a_stored_event_survives(meta: EventMeta, head: bytes, data: dict[str, Any]):
    read = decode_state(encode_state(meta, head, data))
    assert read == (meta, head.hex(), data)
    assert encode_state(read[0], bytes.fromhex(read[1]), read[2]) == encode_state(meta, head, data)


@given(METAS, HEADS, OBJECTS, UUIDS, NAMES, st.integers(1, 2**40), st.integers(1, 2**40))
def test_a_published_event_gives_back_what_was_stored(
    meta: EventMeta,
    head: bytes,
    data: dict[str, Any],
    aggregate: str,
    partition: str,
    n: int,
    version: int,
):
    state = encode_state(meta, head, data)
    record = StoredRecord(aggregate, version, "run.x.v1", state, partition, n, 0)
    published = published_form(record)
    assert read_published(published) == read_record(record)
    assert stored_part(published) == state
    again = chain_hash(head, aggregate, version, "run.x.v1", stored_part(published))
    assert again == chain_hash(head, aggregate, version, "run.x.v1", state)
    assert Envelope.decode(published).id == f"{partition}/{n}"


@given(VALUES, TEXTS.filter(bool), NAMES)
def test_an_envelope_survives(data: Any, message_id: str, tenant: str):
    envelope = Envelope(id=message_id, source="here", type="t", tenant=tenant, data=data)
    assert Envelope.decode(envelope.encode()) == envelope


@given(OBJECTS)
def test_json_survives(data: dict[str, Any]):
    assert from_json(to_json(data)) == data


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
def test_other_names_give_another_id(one: list[str], other: list[str]):
    assert (ids.derive("k", *one) == ids.derive("k", *other)) == (one == other)


@given(st.lists(NAMES, min_size=1, max_size=4), NAMES)
def test_a_built_subject_is_parsed_back(path: list[str], tenant: str):
    subject = subjects.trigger(tenant, ".".join(path))
    address = subjects.parse(subject)
    assert (address.tenant, address.kind, address.rest) == (tenant, "trigger", tuple(path))


@given(NAMES, NAMES, UUIDS, NAMES)
def test_a_subject_belongs_to_one_stream(tenant: str, kind: str, aggregate: str, verb: str):
    for subject in (
        subjects.event(tenant, kind, aggregate, verb),
        subjects.run(tenant, kind, aggregate, verb),
        subjects.catalog(tenant, kind, aggregate, verb),
        subjects.approval(tenant, aggregate, verb),
    ):
        taken = [
            pattern
            for patterns in STREAM_SUBJECTS.values()
            for pattern in patterns
            if matches(pattern, subject)
        ]
        assert len(taken) == 1


@given(st.lists(NAMES, min_size=1, max_size=5), st.data())
def test_a_pattern_made_of_a_subject_matches_it(tokens: list[str], data: st.DataObject):
    starred = [data.draw(st.sampled_from([token, "*"])) for token in tokens]
    subject = ".".join(tokens)
    assert matches(".".join(starred), subject)
    cut = data.draw(st.integers(0, len(tokens) - 1))
    assert matches(".".join([*starred[:cut], ">"]), subject)
    assert not matches(".".join([*starred, "*"]), subject)
    assert not matches(".".join([*starred, ">"]), subject)


@given(st.integers(1, int(MAX_DURATION_S)))
def test_seconds_are_read_with_and_without_their_unit(seconds: int):
    assert parse_duration(seconds) == parse_duration(f"{seconds}s") == float(seconds)
