"""One trigger is one trace through the four services; a collector that is away costs spans only."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_testkit.collector import Collector, KeptSpan
from penstock_testkit.stack import Json, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

CANARY = "canary-7f3b2c"
NODES: Json = {
    "first": {"agent": "noop", "with": {"payload": {"canary": CANARY}}},
    "review": {
        "needs": ["first"],
        "approval": {"title": "Go on?"},
    },
    "last": {"agent": "noop-once", "needs": ["review"]},
}
TRIGGERED: Json = {"triggers": [{"on": "build.done"}]}
SERVICES = {"webhook-gateway", "scheduler", "executor", "approval"}
EXPECTED = {
    "run",
    "approval wait",
    "queue wait",
    "process task",
    "claim",
    "agent",
    "send TASKS",
    "send RUNS",
    "send APPROVALS",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[tuple[RunningStack, Collector]]:
    """The stack, and a collector that takes its spans."""
    home = tmp_path_factory.mktemp("traced")
    with Collector.listening() as collector:
        environ = {"PENSTOCK_SANDBOX": "inline", "PENSTOCK_OTLP_ENDPOINT": collector.url}
        async with RunningStack.started(home, **environ) as stack:
            await stack.register_builtin()
            await stack.apply("reviewed", NODES, **TRIGGERED)
            yield stack, collector


async def through(stack: RunningStack, run: str) -> Json:
    """Approve what the run waits for, and see it to its end."""
    approval = await stack.pending_approval(run)
    body = json.dumps({"decision": "approve", "reason": "fine"}).encode()

    async def decided() -> bool:  # an owner that was just killed may need more than one request
        path = f"/api/approvals/{approval}/respond"
        status, answer = await stack.send("POST", path, body, Idempotency_Key=approval)
        assert status in (200, 504), answer
        return status == 200

    await stack.until(decided)
    shown = await stack.ended(run)
    assert shown["run"]["status"] == "succeeded", shown
    return shown


async def trace_of(
    stack: RunningStack, collector: Collector, run: str, services: set[str] = SERVICES
) -> list[KeptSpan]:
    """Wait until the run's trace is whole; gives its spans."""
    found: list[KeptSpan] = []

    async def whole() -> bool:
        ids = {
            span.trace_id
            for span in collector.spans
            if span.name == "run" and span.attributes["penstock.run_id"] == run
        }
        found[:] = [span for span in collector.spans if span.trace_id in ids]
        return bool(ids) and {span.service for span in found} >= services and not orphans(found)

    try:
        await stack.until(whole, 15)
    except TimeoutError:
        pytest.fail(f"{told(found)}\norphans:\n{told(orphans(found))}")
    assert len({span.trace_id for span in found}) == 1
    return found


async def asked_and_exported(stack: RunningStack, collector: Collector, run: str) -> None:
    """Wait until everything up to the question to people has been exported."""

    async def there() -> bool:
        ids = {
            span.trace_id
            for span in collector.spans
            if span.name == "process approval_requested"
            and span.attributes["penstock.run_id"] == run
        }
        return bool(ids) and not orphans([one for one in collector.spans if one.trace_id in ids])

    await stack.until(there, 15)


def orphans(spans: list[KeptSpan]) -> list[KeptSpan]:
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent and span.parent not in known]


def told(spans: list[KeptSpan]) -> str:
    return "\n".join(f"{one.service} {one.name} {one.span_id} < {one.parent}" for one in spans)


async def test_a_trigger_over_http_is_one_trace(traced: tuple[RunningStack, Collector]):
    stack, collector = traced
    run = await stack.trigger("reviewed")
    await through(stack, run)

    spans = await trace_of(stack, collector, run)

    names = {span.name for span in spans}
    assert names >= EXPECTED, told(spans)
    assert [span.name for span in spans if not span.parent] == [
        "POST /api/workflows/{name}/trigger"
    ]
    assert len({span.span_id for span in spans}) == len(spans), told(spans)
    for name in ("consume", "relay"):
        linked = [span for span in collector.spans if span.name == name]
        assert any(spans[0].trace_id in span.links for span in linked), name
    assert {"decide", "commit"} <= {span.name for span in collector.spans}
    assert all(span.attributes.get("messaging.system", "nats") == "nats" for span in spans)


async def test_the_spans_say_where_the_time_went(traced: tuple[RunningStack, Collector]):
    stack, collector = traced
    run = await stack.trigger("reviewed")
    shown = await through(stack, run)

    spans = await trace_of(stack, collector, run)

    whole = next(span for span in spans if span.name == "run")
    stored = stack.stored(run)
    wall_us = stored[-1].meta.time_us - stored[0].meta.time_us
    assert (whole.end_ns - whole.start_ns) / 1000 == pytest.approx(wall_us, rel=0.05), shown
    waited = next(span for span in spans if span.name == "approval wait")
    assert whole.start_ns <= waited.start_ns <= waited.end_ns <= whole.end_ns
    task = next(span for span in spans if span.name == "process task")
    assert task.attributes["penstock.run_id"] == run
    assert {"penstock.node", "penstock.task", "penstock.attempt", "penstock.agent"} <= set(
        task.attributes
    )


async def test_a_trigger_on_the_bus_begins_a_trace_that_a_restart_goes_on_with(
    traced: tuple[RunningStack, Collector],
):
    stack, collector = traced
    subject = "penstock.default.trigger.build.done"
    await stack.publish("TRIGGERS", subject, json.dumps({}).encode(), "from-the-bus")
    runs: list[str] = []

    async def started() -> bool:
        listed = await stack.get("/api/runs?workflow=reviewed&limit=100")
        runs[:] = [item["run_id"] for item in listed["items"] if item["status"] == "running"]
        return bool(runs)

    await stack.until(started)
    await stack.pending_approval(runs[0])
    await asked_and_exported(stack, collector, runs[0])  # kill -9 takes what is still queued
    for service in ("scheduler", "approval"):
        await stack.kill(service)
    await through(stack, runs[0])

    # The vote is a request of its own, to which the wait is linked.
    spans = await trace_of(stack, collector, runs[0], SERVICES - {"webhook-gateway"})

    roots = [span for span in spans if not span.parent]
    begun = [(span.service, span.name) for span in roots]
    assert begun == [("scheduler", "process trigger_matched")]
    assert {"run", "approval wait"} <= {span.name for span in spans}


async def test_nothing_secret_or_of_a_payload_is_exported(
    traced: tuple[RunningStack, Collector],
):
    stack, collector = traced
    run = await stack.trigger("reviewed")
    await through(stack, run)
    await trace_of(stack, collector, run)

    token = next(stack.home.rglob("admin.token")).read_text().strip()
    exported = b"".join(span.raw for span in collector.spans)

    passwords = [login.password for login in stack.endpoints.logins.values()]
    assert not [one for one in (token, *passwords) if one.encode() in exported]
    assert CANARY.encode() not in exported


async def test_a_dead_collector_costs_spans_and_nothing_else(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environ = {"PENSTOCK_SANDBOX": "inline", "PENSTOCK_OTLP_ENDPOINT": url}
        stack = RunningStack(tmp_path, environ)
        await stack.start()
        try:
            await stack.register_builtin()
            await stack.apply("reviewed", NODES)
            await through(stack, await stack.trigger("reviewed"))
        finally:
            began = time.monotonic()
            await stack.stop()
    assert time.monotonic() - began < 15
