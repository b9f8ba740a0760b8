"""Outbox, patient publisher, settings, secrets, trace context, log lines, metrics."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import JsonValue

from penstock_adapters.signing import make_key, open_signer
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.logs import configure_logging
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_adapters.system.secrets import EnvironmentSecrets, FileSecrets, FirstOf
from penstock_adapters.wrappers.patient_publisher import PatientPublisher
from penstock_executor.outbox import MAX_BATCH, MAX_QUEUED, Outbox
from penstock_executor.redaction import Redactor
from penstock_executor.settings import ExecutorSettings, SandboxKind
from penstock_executor.shapes import Shape
from penstock_runtime.grants import written as written_key
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.heartbeat import NoHeartbeats
from penstock_runtime.ports.sandbox import EgressRule
from penstock_runtime.settings import SettingsFault, load_settings
from penstock_runtime.telemetry.fields import bind, bound, bound_fields
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
from penstock_testkit.fakes.bus import KeptPublisher
from penstock_testkit.fakes.clock import turns
from penstock_testkit.fakes.measured import KeptMetrics

MESSAGE = Outgoing("RUNS", "a.b", b"{}")


# --- outbox -------------------------------------------------------------------------------------


async def test_what_is_handed_over_in_one_turn_leaves_together() -> None:
    publisher = KeptPublisher()
    outbox = Outbox(publisher, KeptMetrics())

    outcomes = await asyncio.gather(*(outbox.send(MESSAGE) for _ in range(7)))

    assert publisher.batches == [7]
    assert set(outcomes) == {Published.DONE}


async def test_batches_are_bounded() -> None:
    publisher = KeptPublisher()
    outbox = Outbox(publisher, KeptMetrics())
    for _ in range(MAX_BATCH + 1):
        assert outbox.post(MESSAGE)
    await outbox.close()

    assert publisher.batches == [MAX_BATCH, 1]


class StuckPublisher(KeptPublisher):
    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        raise RuntimeError("no")


async def test_a_publisher_that_breaks_fails_its_messages() -> None:
    outbox = Outbox(StuckPublisher(), KeptMetrics())

    assert await outbox.send(MESSAGE) is Published.FAILED


async def test_a_full_outbox_takes_nothing_more() -> None:
    outbox = Outbox(KeptPublisher(), KeptMetrics())
    assert all(outbox.post(MESSAGE) for _ in range(MAX_QUEUED))

    assert not outbox.post(MESSAGE)
    assert await outbox.send(MESSAGE) is Published.FAILED
    await outbox.close()


async def test_patience_repeats_what_failed_and_nothing_else() -> None:
    publisher = KeptPublisher()
    publisher.outcomes.extend(
        [Published.DONE, Published.FULL, Published.FAILED, Published.FULL, Published.DONE]
    )
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    patient = PatientPublisher(publisher, sleep)
    outcomes = await patient.publish([MESSAGE, MESSAGE, MESSAGE])
    await patient.purge_subject("RUNS", "a.b")

    assert list(outcomes) == [Published.DONE] * 3
    assert publisher.batches == [3, 2, 1]
    assert len(waits) == 2
    assert publisher.sent == []


async def test_patience_ends() -> None:
    publisher = KeptPublisher()
    publisher.outcomes.extend([Published.FULL] * 10)

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    outcomes = await PatientPublisher(publisher, sleep, tries=3).publish([MESSAGE])

    assert list(outcomes) == [Published.FULL]
    assert publisher.batches == [1] * 4


# --- settings -----------------------------------------------------------------------------------

BUS = {"PENSTOCK_NATS_URL": "nats://127.0.0.1:4222"}


def test_lists_are_read() -> None:
    settings = load_settings(
        ExecutorSettings,
        {
            **BUS,
            "PENSTOCK_WORKSPACE_ROOTS": "/srv/one:/srv/two:",
            "PENSTOCK_EGRESS_ALLOW": "hooks.example.org:443, [::1]:80,*.example.com:8443",
        },
    )

    assert settings.workspace_roots == (Path("/srv/one"), Path("/srv/two"))
    assert settings.egress_allow == (
        EgressRule("hooks.example.org", 443),
        EgressRule("::1", 80),
        EgressRule("*.example.com", 8443),
    )


@pytest.mark.parametrize("text", ["host", "host:", ":80", "host:http", "host:0", "host:65536"])
def test_a_malformed_rule_is_a_fault(text: str) -> None:
    with pytest.raises(SettingsFault, match=r"PENSTOCK_EGRESS_ALLOW: .* is not host:port"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_EGRESS_ALLOW": text})


def test_running_without_isolation_has_to_be_allowed_by_name() -> None:
    asked = {**BUS, "PENSTOCK_SANDBOX": "process"}

    with pytest.raises(SettingsFault, match="PENSTOCK_ALLOW_UNSANDBOXED: must be 1"):
        load_settings(ExecutorSettings, asked)
    allowed = load_settings(ExecutorSettings, {**asked, "PENSTOCK_ALLOW_UNSANDBOXED": "1"})
    assert allowed.sandbox is SandboxKind.PROCESS


def test_keys_of_grants_are_read_and_named_where_they_are_wrong() -> None:
    key = open_signer(make_key()).key
    asked = {**BUS, "PENSTOCK_GRANT_KEYS": f"{written_key(key)}, "}

    assert load_settings(ExecutorSettings, asked).grant_keys == (key,)
    assert load_settings(ExecutorSettings, BUS).grant_keys == ()
    with pytest.raises(SettingsFault, match="PENSTOCK_GRANT_KEYS: key 1 is not"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_GRANT_KEYS": "nonsense"})


def test_capacity_follows_the_sandbox() -> None:
    inline = load_settings(ExecutorSettings, {**BUS, "PENSTOCK_SANDBOX": "inline"})
    given = load_settings(ExecutorSettings, {**BUS, "PENSTOCK_CAPACITY": "3"})
    default = load_settings(ExecutorSettings, BUS)

    assert inline.tasks_at_once() == 200
    assert given.tasks_at_once() == 3
    assert default.tasks_at_once() >= 2
    assert default.sandbox is SandboxKind.BUBBLEWRAP


# --- secrets ------------------------------------------------------------------------------------


async def test_secrets_come_from_the_environment_then_from_files(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("from file\n")
    (tmp_path / "token").write_text("other file")
    secrets = FirstOf(
        [EnvironmentSecrets({"PENSTOCK_SECRET_API_KEY": "from env"}), FileSecrets(tmp_path)]
    )

    assert await secrets.find("api-key") == "from env"
    assert await secrets.find("token") == "other file"
    assert await secrets.find("absent") is None
    assert secrets.places("absent") == f"PENSTOCK_SECRET_ABSENT or {tmp_path}/absent"


@pytest.mark.parametrize("name", ["../secret", ".hidden", "/etc/passwd"])
async def test_a_secrets_name_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("outside")

    assert await FileSecrets(tmp_path / "folder").find(name) is None


def test_the_longest_secret_is_taken_out_first() -> None:
    redact = Redactor(["abc", "abcdef", ""])

    assert redact.text("xabcdefx abc") == "x[redacted]x [redacted]"
    assert redact.value({"abc": ["abcdef", 1, None]}) == {"[redacted]": ["[redacted]", 1, None]}


def test_lines_of_a_long_secret_are_taken_out_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nbase64base64base64\n-----END KEY-----"

    assert Redactor([key]).text("  base64base64base64") == "  [redacted]"


# --- schemas ------------------------------------------------------------------------------------


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$\.type"):
        Shape({"type": "nonsense"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"type": "mvoe"}, "$.type: is none of move, copy"),
        ({"type": "move"}, "$: 'to' is a required property"),
        ({"type": "copy", "times": "SECRET"}, "$.times: is not of type integer"),
    ],
)
def test_a_fault_is_told_of_the_alternative_that_is_meant(value: dict[str, JsonValue], said: str):
    move = {"properties": {"type": {"const": "move"}}, "required": ["type", "to"]}
    times = {"type": {"const": "copy"}, "times": {"type": "integer"}}
    copy = {"properties": times, "required": ["type", "times"]}
    assert Shape({"oneOf": [move, copy]}).fault(value) == said


def test_a_fault_names_rule_and_place_and_no_value() -> None:
    shape = Shape({"properties": {"level": {"enum": ["low", "high"]}}})

    assert shape.fault({"level": "low"}) is None
    assert shape.fault({"level": "hunter2"}) == "$.level: does not fit `enum: ['low', 'high']`"
    assert Shape({}).fault("anything") is None
    assert Shape({"type": "object"}).fault([]) == "$: is not an object"


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
    assert continue_trace(HEADER, "a") == parent.child("a")
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

    text = metrics.exposition().decode()

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
