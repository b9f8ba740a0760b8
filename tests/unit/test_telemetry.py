"""Trace contexts, log lines and metrics."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest

from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.logs import JsonFormatter, configure_logging
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_core.redaction import Redactor
from penstock_runtime.ports.heartbeat import NoHeartbeats
from penstock_runtime.telemetry.fields import bind, bound, bound_fields, bound_place, placed
from penstock_runtime.telemetry.metrics import (
    ALL,
    TASK_SECONDS,
    TASKS_RUNNING,
    TASKS_TAKEN,
    Kind,
    NoMetrics,
)
from penstock_runtime.telemetry.trace import (
    TraceContext,
    continue_trace,
    parse_traceparent,
    start_trace,
)
from penstock_testkit.fakes.clock import turns
from penstock_testkit.fakes.spans import KeptSpans

# --- trace context ------------------------------------------------------------------------------

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_read_and_written() -> None:
    context = parse_traceparent(HEADER)

    assert context is not None
    assert context == TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", flags=1)
    assert context.header() == HEADER


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        HEADER.upper(),
        HEADER + "-more",
        "ff" + HEADER[2:],
        HEADER.replace("b7ad6b7169203331", "0" * 16),
        HEADER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        "01" + HEADER[2:] + "-" + "x" * 600,
    ],
)
def test_what_is_no_traceparent_is_none(text: str | None) -> None:
    assert parse_traceparent(text) is None


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent("01" + HEADER[2:] + "-more") is not None


def test_a_child_is_derived_from_names() -> None:
    parent = parse_traceparent(HEADER)
    assert parent is not None

    assert parent.child("a", "b") == parent.child("a", "b")
    assert parent.child("a", "b").span_id != parent.child("ab").span_id
    continued = continue_trace(HEADER)
    assert (continued.trace_id, continued.flags) == (parent.trace_id, parent.flags)
    assert continued.span_id != parent.span_id
    assert continue_trace(None).trace_id != parent.trace_id


def test_a_trace_never_has_the_empty_id() -> None:
    assert start_trace(lambda size: b"\0" * size).header() == (
        "00-00000000000000000000000000000001-0000000000000001-01"
    )


# --- log lines ----------------------------------------------------------------------------------


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("executor", "one", "info", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_a_line_carries_what_is_bound_and_what_is_given(written: io.StringIO) -> None:
    log = logging.getLogger("penstock_executor.test")
    with bound(run="r1", node="scan"):
        with bound(task="t1"):
            log.info("said\nthat", extra={"code": 7})
        assert bound_fields() == {"run": "r1", "node": "scan"}
    log.debug("not written")

    line = json.loads(written.getvalue())
    assert (line["level"], line["service"], line["instance"]) == ("info", "executor", "one")
    assert (line["run"], line["node"], line["task"], line["code"]) == ("r1", "scan", "t1", 7)
    assert line["message"] == "said\nthat"
    assert line["time"].endswith("Z")
    assert written.getvalue().count("\n") == 1


def fail(text: str) -> NoReturn:
    raise ValueError(text)


def test_an_error_is_written_with_its_trace_and_a_bound(written: io.StringIO) -> None:
    try:
        fail("x" * 50_000)
    except ValueError:
        logging.getLogger("penstock_executor").exception("failed", extra={"odd": object()})

    line = json.loads(written.getvalue())
    assert line["error"].startswith("Traceback")
    assert len(line["error"]) < 10_000
    assert line["odd"].startswith("<object")


async def test_what_a_task_binds_is_its_own() -> None:
    async def work() -> None:
        bind(task="mine")
        await turns(1)
        assert bound_fields() == {"task": "mine"}

    await asyncio.gather(work(), work())
    assert "task" not in bound_fields()


# --- metrics ------------------------------------------------------------------------------------


def test_metrics_have_units_and_a_sentence() -> None:
    names = [metric.name for metric in ALL]

    assert len(set(names)) == len(names)
    for metric in ALL:
        assert metric.help
        assert metric.name.startswith("penstock_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)


def test_measurements_are_exposed() -> None:
    metrics = PrometheusMetrics()
    metrics.add(TASKS_TAKEN, "default", amount=2)
    metrics.add(TASKS_TAKEN, "default")
    metrics.set(TASKS_RUNNING, 4, "default")
    metrics.observe(TASK_SECONDS, 0.2, "default", "probe")

    body, content_type = metrics.exposition()
    text = body.decode()
    assert content_type.startswith("text/plain")

    assert 'penstock_tasks_taken_total{pool="default"} 3.0' in text
    assert 'penstock_tasks_running{pool="default"} 4.0' in text
    assert 'penstock_task_seconds_bucket{agent="probe",le="0.5",pool="default"} 1.0' in text


async def test_what_keeps_nothing_takes_everything() -> None:
    nothing = NoMetrics()
    nothing.add(TASKS_TAKEN, "default")
    nothing.set(TASKS_RUNNING, 1, "default")
    nothing.observe(TASK_SECONDS, 1, "default", "probe")
    heartbeats = NoHeartbeats()
    await heartbeats.put("one", {})
    await heartbeats.put("one", {})
    await heartbeats.remove("one")


async def test_the_systems_clock_goes_on() -> None:
    clock = SystemClock()
    before = clock.now_us()
    await clock.sleep(-1)
    assert clock.now_us() >= before > 1_700_000_000_000_000


def test_a_kept_trace_is_the_exemplar_of_what_was_measured_in_it() -> None:
    metrics, place = PrometheusMetrics(KeptSpans()), start_trace()
    unsampled = TraceContext("1" * 32, "1" * 16, 0)
    for there, seconds in ((place, 0.3), (unsampled, 40.0), (None, 2.0)):
        with placed(there):
            metrics.observe(TASK_SECONDS, seconds, "default", "noop")

    body, content_type = metrics.exposition("application/openmetrics-text;version=1.0.0")
    told = [line for line in body.decode().splitlines() if " # " in line]

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert len(told) == 1
    assert f'# {{trace_id="{place.trace_id}"}} 0.3' in told[0]
    assert place.trace_id not in metrics.exposition()[0].decode()


def test_lines_of_a_span_name_it() -> None:
    place = start_trace()
    with placed(place):
        assert bound_fields() == {"trace": place.trace_id, "span": place.span_id}
        assert bound_place() == place
        with placed(None):
            assert bound_place() is None
    assert bound_place() is None
    assert bound_fields() == {}


def test_no_log_line_holds_a_secret_of_the_process() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("s", "s-1", Redactor(["pass/word"])))
    log = logging.getLogger("a test of lines")
    log.propagate = False
    log.addHandler(handler)

    log.warning("as it is: %s", "pass/word", extra={"url": "http://x/?a=pass%2Fword", "n": 1})
    line = json.loads(stream.getvalue())

    assert line["message"] == "as it is: [redacted]"
    assert (line["url"], line["n"]) == ("http://x/?a=[redacted]", 1)
