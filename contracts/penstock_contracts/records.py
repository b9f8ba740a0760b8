"""The stored form of an event, its place in the hash chain, and its published form.

State bytes in the store are one JSON object whose keys are CloudEvents attributes: `time`,
`tenant`, `causationid`, `correlationid`, `actor`, `traceparent`, `prevhash` and, last, `data`.
The published message is the same object with those attributes written in front that the store
keeps in columns; the stored bytes are therefore contained in the published ones to the letter,
and a reader of the stream can check the chain without the store.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS

HASH_BYTES = 32
_STORED_STARTS = b'"time":'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EventMeta:
    """What is known of an event beside its data.

    Attributes:
        time_us: server time of the message that caused it, or the due time of a timer.
        causation_id: id of the command, trigger or timer that caused it.
        correlation_id: the run; before there is one, the trigger.
        actor: who asked for it.
    """

    time_us: int
    tenant: str = DEFAULT_TENANT
    causation_id: str = ""
    correlation_id: str = ""
    actor: str = ""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """An event ready to be stored. `version` counts from 1 within the aggregate."""

    aggregate_id: str
    version: int
    topic: str
    state: bytes


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """An event as the store gives it back.

    Attributes:
        n: place in the partition, gap-free from 1.
        position: the store-wide notification id, ascending with gaps.
    """

    aggregate_id: str
    version: int
    topic: str
    state: bytes
    partition: str
    n: int
    position: int


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event taken apart: columns, meta and raw data."""

    partition: str
    n: int
    aggregate_id: str
    version: int
    topic: str
    meta: EventMeta
    prev_hash: str
    data: dict[str, Any]


def genesis_hash(partition: str) -> bytes:
    """Give the hash that precedes a partition's first event."""
    return hashlib.sha256(b"penstock.chain.v1\x00" + partition.encode()).digest()


def chain_hash(previous: bytes, aggregate_id: str, version: int, topic: str, state: bytes) -> bytes:
    """Give the hash after an event: SHA-256 over previous hash, ids, topic and stored bytes."""
    digest = hashlib.sha256(previous)
    digest.update(UUID(aggregate_id).bytes)
    digest.update(version.to_bytes(8, "big"))
    raw_topic = topic.encode()
    digest.update(len(raw_topic).to_bytes(4, "big"))
    digest.update(raw_topic)
    digest.update(state)
    return digest.digest()


def time_text(time_us: int) -> str:
    """Write microseconds since the epoch as RFC 3339 with six digits and Z."""
    return f"{_second_text(time_us // MICROSECONDS)}.{time_us % MICROSECONDS:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """Write the whole second; events come many a second, and formatting it costs the most."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def time_number(text: str) -> int:
    """Read an RFC 3339 time as microseconds since the epoch.

    Raises:
        ValueError: not such a time.
    """
    delta = datetime.fromisoformat(text) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * MICROSECONDS + delta.microseconds


def encode_state(meta: EventMeta, prev_hash: bytes, data: dict[str, Any]) -> bytes:
    """Give the stored bytes of an event."""
    body: dict[str, Any] = {"time": time_text(meta.time_us)}
    if meta.tenant != DEFAULT_TENANT:
        body["tenant"] = meta.tenant
    if meta.causation_id:
        body["causationid"] = meta.causation_id
    if meta.correlation_id:
        body["correlationid"] = meta.correlation_id
    if meta.actor:
        body["actor"] = meta.actor
    if meta.traceparent:
        body["traceparent"] = meta.traceparent
    body["prevhash"] = prev_hash.hex()
    body["data"] = data
    return to_json(body)


def decode_state(state: bytes) -> tuple[EventMeta, str, dict[str, Any]]:
    """Take stored (or published) bytes apart into meta, previous hash (hex) and data.

    Raises:
        MalformedMessage: the bytes are not what `encode_state` writes.
    """
    try:
        return _take_apart(from_json(state))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedMessage(f"not a stored event: {error}") from None


def _take_apart(body: dict[str, Any]) -> tuple[EventMeta, str, dict[str, Any]]:
    meta = EventMeta(
        time_us=time_number(body["time"]),
        tenant=body.get("tenant", DEFAULT_TENANT),
        causation_id=body.get("causationid", ""),
        correlation_id=body.get("correlationid", ""),
        actor=body.get("actor", ""),
        traceparent=body.get("traceparent"),
    )
    return meta, body["prevhash"], body["data"]


def read_record(record: StoredRecord) -> ReadEvent:
    """Take a stored record apart.

    Raises:
        MalformedMessage: its state is not what `encode_state` writes.
    """
    meta, prev_hash, data = decode_state(record.state)
    return ReadEvent(
        record.partition, record.n, record.aggregate_id, record.version, record.topic,
        meta, prev_hash, data,
    )  # fmt: skip


def published_form(record: StoredRecord) -> bytes:
    """Give the CloudEvent that the relay publishes for a stored event."""
    head = (
        f'{{"specversion":"1.0","id":"{record.partition}/{record.n}",'
        f'"source":"penstock/{record.partition}","type":"{record.topic}",'
        f'"subject":"{record.aggregate_id}","partition":"{record.partition}",'
        f'"n":{record.n},"version":{record.version},'
    )
    return head.encode() + record.state[1:]


def read_published(raw: bytes) -> ReadEvent:
    """Take a published event apart.

    Raises:
        MalformedMessage: not what `published_form` writes.
    """
    try:
        body = from_json(raw)
        meta, prev_hash, data = _take_apart(body)
        return ReadEvent(
            body["partition"], body["n"], body["subject"], body["version"], body["type"],
            meta, prev_hash, data,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedMessage(f"not a published event: {error}") from None


def stored_part(raw: bytes) -> bytes:
    """Recover the stored bytes from a published event.

    Raises:
        MalformedMessage: they are not in there.
    """
    cut = raw.find(_STORED_STARTS)
    if cut < 0:
        raise MalformedMessage("not a published event: no time attribute")
    return b"{" + raw[cut:]
