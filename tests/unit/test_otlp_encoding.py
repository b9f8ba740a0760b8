"""Requests of OTLP, written as bytes and read with the classes generated from its definition."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2 as wire

from penstock_adapters.telemetry.encoding import MAX_MESSAGE_CHARS, Encoder, Record
from penstock_adapters.telemetry.redaction import MAX_TEXT_CHARS, Redaction
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind
from penstock_runtime.telemetry.trace import TraceContext, derive_trace

PLACE = derive_trace("a test")
SECRET = "sesame/opens+the=door"
ABOUT = {"service.name": "scheduler"}
VALUES = st.one_of(
    st.text(max_size=MAX_TEXT_CHARS),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TEXT_CHARS)


def read_span(encoded: bytes) -> Any:
    request = ExportTraceServiceRequest.FromString(encoded)
    (group,) = request.resource_spans
    assert {one.key: one.value.string_value for one in group.resource.attributes} == ABOUT
    (span,) = group.scope_spans[0].spans
    return span


def encoder(*secrets: str) -> Encoder:
    return Encoder(ABOUT, Redaction(secrets))


def attributes(told: Any) -> dict[str, AttributeValue]:
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in told.attributes
    }


@given(
    name=TEXTS,
    about=st.dictionaries(
        TEXTS, st.one_of(TEXTS, VALUES.filter(lambda it: not isinstance(it, str)))
    ),
    kind=st.sampled_from(SpanKind),
    start_us=st.integers(0, 1 << 50),
    lasts_us=st.integers(-10, 1 << 40),
    links=st.integers(0, 32),
    fault=TEXTS,
    flags=st.sampled_from([0, 1]),
)
def test_a_span_is_read_as_it_was_written(
    name: str, about: dict[str, AttributeValue], kind: SpanKind, start_us: int, lasts_us: int,
    links: int, fault: str, flags: int,
) -> None:  # fmt: skip
    place = TraceContext(PLACE.trace_id, PLACE.span_id, flags)
    linked = tuple(PLACE.child(str(number)) for number in range(links))
    span = Span(name, place, start_us, start_us + lasts_us, "ab" * 8, kind, about, linked, fault)
    encode = encoder()

    first, again = encode.spans([span]), encode.spans([span])

    assert first == again  # what is remembered changes nothing
    told = read_span(first)
    assert (told.name, told.flags, told.parent_span_id.hex()) == (name, flags, "ab" * 8)
    assert (told.trace_id.hex(), told.span_id.hex()) == (place.trace_id, place.span_id)
    assert told.start_time_unix_nano == start_us * 1000
    assert told.end_time_unix_nano == (start_us + max(lasts_us, 0)) * 1000
    assert told.kind == wire.Span.SpanKind.Value(f"SPAN_KIND_{kind.name}")
    assert attributes(told) == about
    assert {type(value) for value in attributes(told).values()} == {
        type(value) for value in about.values()
    }
    assert [one.span_id.hex() for one in told.links] == [one.span_id for one in linked]
    assert (told.status.message, told.status.code) == (fault, 2 if fault else 0)


@pytest.mark.parametrize("name", ["penstock.node", "penstock.task", "messaging.destination.name"])
@pytest.mark.parametrize(
    "text", [f"it is {SECRET}", "x" * (MAX_TEXT_CHARS - 3) + SECRET, "see http://me:pw@host/"]
)
def test_a_secret_is_in_no_attribute(name: str, text: str) -> None:
    told = encoder(SECRET).spans([Span("work", PLACE, 1, 2, "", attributes={name: text})])

    assert all(
        part not in told for part in (SECRET.encode(), b"sesame", b"me:pw", SECRET[:3].encode())
    )
    assert len(attributes(read_span(told))[name]) <= MAX_TEXT_CHARS  # type: ignore[arg-type]


def test_an_encoded_secret_is_in_no_name_that_people_gave() -> None:
    encoded = base64.b64encode(b"ab" + SECRET.encode()).decode()
    about: dict[str, AttributeValue] = {"penstock.node": encoded}
    encode = encoder(SECRET)
    span = Span(encoded, PLACE, 1, 2, "", attributes=about, fault=encoded)

    for _ in range(2):
        told = read_span(encode.spans([span]))
        assert all("[redacted]" in text for text in (told.name, told.status.message))
        assert "[redacted]" in str(attributes(told)["penstock.node"])


def test_a_long_message_is_bounded_and_a_place_may_be_half_known() -> None:
    place = TraceContext(PLACE.trace_id, "")
    record = Record(5, 9, "info", "x" * 10_000 + SECRET, {"number": -1, "yes": False}, place)

    request = ExportLogsServiceRequest.FromString(encoder(SECRET).records([record]))
    told = request.resource_logs[0].scope_logs[0].log_records[0]

    assert len(told.body.string_value) == MAX_MESSAGE_CHARS
    assert (told.trace_id.hex(), told.span_id) == (PLACE.trace_id, b"")
    assert (told.severity_number, told.severity_text) == (9, "info")
    assert attributes(told) == {"number": -1, "yes": False}
    assert told.time_unix_nano == told.observed_time_unix_nano == 5_000
