"""Spans on their way to a collector, over real gRPC."""

from __future__ import annotations

import socket
import time

import pytest

from penstock_adapters.telemetry import open_spans
from penstock_adapters.telemetry.otlp import QUEUE_MAX, OtlpSpans
from penstock_adapters.telemetry.redaction import Redaction
from penstock_runtime.settings import ServiceSettings, load_settings
from penstock_runtime.telemetry.spans import Span
from penstock_runtime.telemetry.trace import TraceContext, derive_trace, start_trace
from penstock_testkit.collector import Collector

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

PARENT = derive_trace("a test")
NOTHING = Redaction(())


def span(name: str = "work", place: TraceContext = PARENT) -> Span:
    return Span(name, place, 1, 2)


def test_the_ratio_is_one_answer_for_a_trace() -> None:
    places = [start_trace() for _ in range(2_000)]
    with Collector.listening() as collector:
        some, same, none, every = (
            OtlpSpans(collector.url, "a", "a-1", ratio, NOTHING) for ratio in (0.25, 0.25, 0, 1)
        )
        wanted = [place for place in places if some.wants(place)]

        assert wanted == [place for place in places if same.wants(place)]
        assert 350 < len(wanted) < 650
        assert not any(map(none.wants, places))
        assert all(map(every.wants, places))
        assert not every.wants(TraceContext(PARENT.trace_id, PARENT.span_id, 0))
        for one in (some, same, none, every):
            one.close()


def test_what_is_reported_before_the_end_arrives() -> None:
    with Collector.listening() as collector:
        spans = OtlpSpans(collector.url, "scheduler", "s-1", 1.0, Redaction(["sesame"]))
        spans.report(span("open sesame"))
        spans.close()

        (kept,) = collector.spans

    assert (kept.service, kept.name) == ("scheduler", "open [redacted]")
    assert (kept.trace_id, kept.span_id) == (PARENT.trace_id, PARENT.span_id)
    assert (kept.start_ns, kept.end_ns) == (1_000, 2_000)


def test_a_silent_collector_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        spans = OtlpSpans(url, "scheduler", "s-1", 1.0, NOTHING)
        began = time.monotonic()
        for _ in range(QUEUE_MAX * 2):
            spans.report(span())
        reported = time.monotonic()
        spans.close()

    assert spans.dropped >= QUEUE_MAX // 2
    assert reported - began < 2
    assert time.monotonic() - reported < 4


def test_the_standard_variable_names_the_collector_too() -> None:
    settings = load_settings(ServiceSettings, {"PENSTOCK_NAME": "one"})
    with Collector.listening() as collector:
        with open_spans(
            "scheduler", settings, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        ) as spans:
            spans.report(span())
        assert len(collector.spans) == 1
