"""Spans: places that are derived, what is wanted, what waits say, what is taken out."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import pytest

from penstock_adapters.telemetry import open_telemetry
from penstock_adapters.telemetry.redaction import MAX_TEXT_CHARS, Redaction
from penstock_adapters.wrappers.tracing.places import place_in
from penstock_adapters.wrappers.tracing.waits import LongWaits
from penstock_contracts.records import EventMeta, NewRecord, StoredRecord, encode_state
from penstock_runtime.faults import TransientFault
from penstock_runtime.settings import ServiceSettings, SettingsFault, load_settings
from penstock_runtime.telemetry.spans import NoSpans
from penstock_runtime.telemetry.trace import (
    TraceContext,
    child_header,
    derive_trace,
    trigger_trace,
)
from penstock_testkit.fakes.spans import KeptSpans

RUN = "6f0a3a54-0d6c-5a3c-9a5e-0123456789ab"
PARENT = derive_trace("a test")


class Store:
    """Holds histories; without any it does not answer."""

    def __init__(self, *records: StoredRecord, answers: bool = True) -> None:
        self._records = records
        self._answers = answers

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        if not self._answers:
            raise TransientFault("away")
        return {one: self._records for one in aggregate_ids if self._records}


def record(
    topic: str, data: dict[str, object], at_us: int, trace: TraceContext = PARENT
) -> NewRecord:
    meta = EventMeta(time_us=at_us, traceparent=trace.header())
    return NewRecord(RUN, 1, topic, encode_state(meta, b"\0" * 32, data))


def started(trace: TraceContext = PARENT) -> NewRecord:
    data = {"workflow": "w", "started_us": 1_000_000, "traceparent": trace.header()}
    return record("run.run_started.v1", data, 1_000_000, trace)


def ended() -> NewRecord:
    return record("run.run_succeeded.v1", {"ended_us": 4_000_000}, 4_000_000)


def stored(new: NewRecord) -> StoredRecord:
    return StoredRecord(new.aggregate_id, 1, new.topic, new.state, "run-0", 1, 1)


def test_a_trigger_without_a_trace_always_begins_the_same() -> None:
    assert trigger_trace("a", 1) == trigger_trace("a", 1)
    assert trigger_trace("a", 1).trace_id != trigger_trace("b", 1).trace_id
    assert trigger_trace("a", 1).trace_id != trigger_trace("a", 2).trace_id
    assert derive_trace("ab") != derive_trace("a", "b")


def test_no_header_has_no_child() -> None:
    assert child_header(None, "x") is None
    assert child_header("00-nonsense", "x") is None


def test_a_place_is_read_in_front_of_the_data_only() -> None:
    head = PARENT.header().encode()

    assert place_in(b'{"traceparent":"' + head + b'","data":{}}') == PARENT
    assert place_in(b'{"data":{"traceparent":"' + head + b'"}}') is None
    assert place_in(b'{"actor":"\\"traceparent\\":\\"' + head + b'\\"","data":{}}') is None


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_run_lasts_from_its_first_event_to_its_last(*, restarted: bool) -> None:
    kept = KeptSpans()
    waits = LongWaits(Store(stored(started())), kept)
    if not restarted:
        await waits.see(started())

    await waits.see(ended())

    (told,) = kept.all
    assert (told.name, told.start_us, told.end_us) == ("run", 1_000_000, 4_000_000)
    assert told.parent == PARENT.span_id
    assert told.place == PARENT.child("run", RUN)


async def test_a_wait_that_cannot_be_read_is_not_told() -> None:
    kept = KeptSpans()

    await LongWaits(Store(answers=False), kept).see(ended())

    assert kept.all == []


async def test_an_unsampled_run_is_not_told() -> None:
    kept = KeptSpans()
    waits = LongWaits(Store(), kept)
    await waits.see(started(TraceContext(PARENT.trace_id, PARENT.span_id, 0)))

    await waits.see(ended())

    assert kept.all == []


def test_secrets_are_taken_out_before_they_leave() -> None:
    secret = base64.b64encode(b"a secret of the service").decode()
    clean = Redaction([secret, "", "ab"])

    assert secret not in clean.text(f"x{secret}y")
    assert clean.text("ab") == "ab"
    assert clean.text("postgresql://me:hunter2@host/db") == "postgresql://[redacted]@host/db"
    assert "abcdefgh12" not in clean.text("Authorization: Bearer abcdefgh12")
    assert len(clean.text("x" * 10_000)) == MAX_TEXT_CHARS


def test_without_an_endpoint_there_are_no_spans() -> None:
    settings = load_settings(ServiceSettings, {"PENSTOCK_NAME": "one"})

    with open_telemetry("scheduler", settings, {}) as telemetry:
        assert isinstance(telemetry.spans, NoSpans)
        assert not telemetry.spans.wants(PARENT)


@pytest.mark.parametrize("url", ["localhost:4317", "http://me:secret@host:4317", "ftp://host"])
def test_an_endpoint_is_an_address_without_credentials(url: str) -> None:
    with pytest.raises(SettingsFault, match="PENSTOCK_OTLP_ENDPOINT"):
        load_settings(ServiceSettings, {"PENSTOCK_OTLP_ENDPOINT": url})
