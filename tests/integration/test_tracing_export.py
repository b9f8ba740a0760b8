"""Spans and log records on their way to a collector, over real gRPC and HTTP."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from penstock_adapters.telemetry import Telemetry, open_telemetry
from penstock_adapters.telemetry.exporting import QUEUE_MAX
from penstock_adapters.telemetry.senders import Patience
from penstock_runtime.settings import ServiceSettings, SettingsFault, load_settings
from penstock_runtime.telemetry.fields import bound
from penstock_runtime.telemetry.spans import NoSpans, Span, SpanKind
from penstock_runtime.telemetry.trace import TraceContext, derive_trace, start_trace
from penstock_testkit.collector import Collector

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

PARENT = derive_trace("a test")
PROTOCOLS = ["grpc", "http/protobuf"]
LEAVES_WITHIN_S = 5.0
PATIENT = Patience(export_s=20, leave_s=20)  # where what arrives is asked, not how soon
log = logging.getLogger("penstock_adapters.a_test")


def span(name: str = "work", place: TraceContext = PARENT) -> Span:
    return Span(name, place, 1, 2)


@contextmanager
def exporting(
    url: str, protocol: str = "grpc", patience: Patience = PATIENT, **more: str
) -> Iterator[Telemetry]:
    environ = {"PENSTOCK_NAME": "s-1", "PENSTOCK_OTLP_ENDPOINT": url, **more}
    environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    settings = load_settings(ServiceSettings, environ)
    with open_telemetry("scheduler", settings, environ, patience) as telemetry:
        yield telemetry


def address(collector: Collector, protocol: str) -> str:
    return collector.url if protocol == "grpc" else collector.http_url


def test_the_ratio_is_one_answer_for_a_trace() -> None:
    places = [start_trace() for _ in range(2_000)]
    with Collector.listening() as collector, ExitStack() as stack:
        some, same, none, every = (
            stack.enter_context(exporting(collector.url, PENSTOCK_TRACE_RATIO=ratio)).spans
            for ratio in ("0.25", "0.25", "0", "1")
        )
        wanted = [place for place in places if some.wants(place)]

        assert wanted == [place for place in places if same.wants(place)]
        assert wanted == [place for place in places if some.place(place.header()) == place]
        assert 350 < len(wanted) < 650
        assert not any(map(none.wants, places))
        assert all(map(every.wants, places))
        unsampled = TraceContext(PARENT.trace_id, PARENT.span_id, 0)
        assert not every.wants(unsampled)
        assert [every.place(one) for one in (None, "", "nonsense", unsampled.header())] == [
            None
        ] * 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_reported_before_the_end_arrives(protocol: str) -> None:
    with Collector.listening() as collector:
        url = address(collector, protocol)
        with exporting(url, protocol, PENSTOCK_SECRET_A="open sesame") as telemetry:
            link = start_trace()
            told = Span("say open sesame", PARENT.child("x"), 5, 7, PARENT.span_id,
                        SpanKind.CONSUMER, {"text": "t", "number": -3, "part": 0.5, "yes": True,
                                            "long": "x" * 200}, (link,), "refused")  # fmt: skip
            telemetry.spans.report(told)
        (kept,) = collector.spans

    assert (kept.service, kept.name) == ("scheduler", "say [redacted]")
    assert (kept.trace_id, kept.span_id) == (PARENT.trace_id, PARENT.child("x").span_id)
    assert (kept.parent, kept.links) == (PARENT.span_id, (link.trace_id,))
    assert (kept.start_ns, kept.end_ns) == (5_000, 7_000)
    assert kept.attributes == {**told.attributes}
    assert b"refused" in kept.raw


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_log_lines_arrive_with_their_trace(protocol: str) -> None:
    with Collector.listening() as collector:
        asks = {"OTEL_LOGS_EXPORTER": "otlp", "PENSTOCK_SECRET_A": "open/sesame"}
        with (
            exporting(address(collector, protocol), protocol, PATIENT, **asks),
            bound(run="r-1", trace=PARENT.trace_id, span=PARENT.span_id),
        ):
            log.warning("said %s", "open%2Fsesame", extra={"exit_code": 3, "about": {"a": [1]}})
            try:
                _ = int("open/sesame")
            except ValueError:
                log.exception("failed")
        told, failed = [one for one in collector.records if one.service == "scheduler"]

    assert (told.instance, told.level, told.severity) == ("s-1", "warning", 13)
    assert told.message == "said [redacted]"
    assert (told.trace_id, told.span_id) == (PARENT.trace_id, PARENT.span_id)
    assert told.attributes == {
        "logger": log.name,
        "run": "r-1",
        "exit_code": 3,
        "about": '{"a":[1]}',
    }
    assert abs(told.at_ns / 1e9 - time.time()) < 60
    assert failed.severity == 17
    assert failed.attributes["exception.type"] == "ValueError"
    assert "'[redacted]'" in failed.message


def test_log_lines_are_only_sent_where_that_is_asked_for() -> None:
    handlers = list(logging.getLogger().handlers)
    with Collector.listening() as collector:
        with exporting(collector.url):
            log.warning("for nobody")
        with exporting(collector.url, PENSTOCK_OTLP_LOGS="true"):
            log.warning("for a collector")

        assert [one.message for one in collector.records] == ["for a collector"]
    assert logging.getLogger().handlers == handlers


@contextmanager
def silent() -> Iterator[str]:
    """An address that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@contextmanager
def absent() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
    yield url


@contextmanager
def refusing() -> Iterator[str]:
    """A collector that does not know what it is sent."""
    with Collector.listening() as collector:
        yield f"{collector.http_url}/elsewhere"


class Counted:
    """Takes what samples add."""

    def __init__(self) -> None:
        self.by_signal: dict[str, float] = {}

    def add(self, metric: object, *labels: str, amount: float = 1.0) -> None:
        del metric
        self.by_signal[labels[0]] = self.by_signal.get(labels[0], 0) + amount

    def set(self, metric: object, value: float, *labels: str) -> None:
        del metric, value, labels

    def observe(
        self, metric: object, value: float, *labels: str, trace_id: str | None = None
    ) -> None:
        del metric, value, labels, trace_id


@pytest.mark.parametrize(
    ("door", "protocol"),
    [
        (silent, "grpc"),
        (silent, "http/protobuf"),
        (absent, "grpc"),
        (absent, "http/protobuf"),
        (refusing, "http/protobuf"),
    ],
)
async def test_a_dead_collector_holds_nobody_up(door, protocol: str) -> None:  # noqa: ANN001
    metrics = Counted()
    with door() as url, ExitStack() as stack:
        telemetry = stack.enter_context(
            exporting(url, protocol, Patience(), PENSTOCK_OTLP_LOGS="true")
        )
        sample = telemetry.sample(metrics)
        await sample()
        began = time.monotonic()
        for number in range(QUEUE_MAX * 2):
            telemetry.spans.report(span())
            if number % 64 == 0:
                log.warning("line")
        reported = time.monotonic()
        stack.close()
        left = time.monotonic()
        await sample()

    assert metrics.by_signal["spans"] >= QUEUE_MAX // 2
    assert metrics.by_signal["logs"] >= 0
    assert reported - began < LEAVES_WITHIN_S
    assert left - reported < LEAVES_WITHIN_S


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "PENSTOCK_OTLP_ENDPOINT"])
def test_the_standard_variables_name_collectors_too(name: str) -> None:
    with Collector.listening() as one, Collector.listening() as other:
        environ = {
            "PENSTOCK_NAME": "one",
            name: one.url,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{other.http_url}/v1/logs",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "otlp",
        }
        settings = load_settings(ServiceSettings, environ)
        with open_telemetry("scheduler", settings, environ, PATIENT) as telemetry:
            telemetry.spans.report(span())
            log.warning("line")

        assert (len(one.spans), len(one.records)) == (1, 0)
        assert (len(other.spans), len(other.records)) == (0, 1)


def test_a_signal_that_is_not_asked_for_goes_nowhere() -> None:
    environ = {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}
    settings = load_settings(ServiceSettings, {"PENSTOCK_NAME": "one"})

    with open_telemetry("scheduler", settings, environ) as telemetry:
        assert isinstance(telemetry.spans, NoSpans)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_LOGS_EXPORTER", "console"),
    ],
)
def test_what_cannot_be_done_is_refused(name: str, value: str) -> None:
    settings = load_settings(ServiceSettings, {"PENSTOCK_NAME": "one"})
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", name: value}

    with (
        pytest.raises(SettingsFault, match=name),
        open_telemetry("scheduler", settings, environ),
    ):
        pass
