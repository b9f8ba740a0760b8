"""Wrappers that report spans: what passes is unchanged, what is told is true."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic_core import to_json

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.wrappers.tracing.claims import ClaimedControl, ClaimingPublisher, ClaimWatch
from penstock_adapters.wrappers.tracing.inbox import Taken
from penstock_adapters.wrappers.tracing.ledger import TracedLedger
from penstock_adapters.wrappers.tracing.places import place_in
from penstock_adapters.wrappers.tracing.publisher import TracedPublisher
from penstock_adapters.wrappers.tracing.sandbox import TracedSandbox
from penstock_adapters.wrappers.tracing.waits import LongWaits
from penstock_adapters.wrappers.tracing.work_queue import TracedWorkQueue
from penstock_contracts.records import EventMeta, NewRecord, encode_state
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import TaskMessage
from penstock_core.effects import QueueTask
from penstock_runtime.dispatch import Renderer
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.ledger import Commit, PartitionRow
from penstock_runtime.ports.sandbox import ExitReason, Limits, LogLine, SandboxSpec
from penstock_runtime.telemetry.fields import bound, placed
from penstock_runtime.telemetry.spans import SpanKind
from penstock_runtime.telemetry.trace import PROCESS, TraceContext, derive_trace, trigger_trace
from penstock_testkit.fakes.bus import KeptControl, KeptItem, KeptPublisher, KeptQueue
from penstock_testkit.fakes.clock import ManualClock
from penstock_testkit.fakes.sandbox import ScriptedSandbox
from penstock_testkit.fakes.spans import KeptSpans

TASK = "7f0a3a54-0d6c-5a3c-9a5e-0123456789ab"
RUN = "6f0a3a54-0d6c-5a3c-9a5e-0123456789ab"
PARENT = derive_trace("a test")
HANDLING = PARENT.child(PROCESS)
UNSAMPLED = TraceContext(PARENT.trace_id, PARENT.span_id, 0)
SPEC = SandboxSpec(
    task_id="t",
    bundle=Path("/b"),
    command=("a",),
    input=b"{}",
    limits=Limits(2**28, 8, 10, 10, 2**16, 2**16, 2**20),
    env={"TRACEPARENT": PARENT.header(), "PENSTOCK_RUN_ID": RUN},
)


@pytest.fixture
def spans() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def task(trace: TraceContext = PARENT) -> KeptItem:
    message = TaskMessage(
        task_id=TASK,
        run_id=RUN,
        partition="run-0",
        workflow="w",
        node="scan",
        attempt=2,
        agent="a",
        agent_digest="sha256:" + "0" * 64,
        idempotency_key=TASK,
        ends_by_us=1,
        running_s=1,
        input={"node": "mallory", "workflow": "x"},
    )
    effect = QueueTask(subject="penstock.default.task.p.a.t", task=message, tenant="default",
                       traceparent=trace.header())  # fmt: skip
    payload = Renderer("run-0", "service:scheduler").render(effect).payload
    return KeptItem(effect.subject, payload, queued_us=5)


def no_logs(line: LogLine) -> None:
    del line


# --- the executor's -----------------------------------------------------------------------------


async def test_a_task_tells_how_long_it_waited_and_worked(spans: KeptSpans, clock: ManualClock):
    queue, inner = KeptQueue(), task()
    queue.put(inner)
    (item,) = await TracedWorkQueue(queue, clock, spans).take(1, 1)
    await clock.advance(2)

    await item.ack_sync()

    assert inner.fates == ["ack"]
    work, waited = spans.named("process task"), spans.named("queue wait")
    sent = place_in(inner.payload)
    assert sent is not None
    assert (work.place, work.parent) == (sent.child(PROCESS), sent.span_id)
    assert (work.kind, work.end_us - work.start_us) == (SpanKind.CONSUMER, 2_000_000)
    assert (waited.start_us, waited.end_us) == (5, work.start_us)
    assert work.attributes["penstock.attempt"] == 2
    assert work.attributes["penstock.run_id"] == RUN
    assert work.attributes["penstock.node"] == "scan"
    assert work.attributes["penstock.task"] == TASK


async def test_a_task_given_back_leaves_its_place_to_the_next_delivery(
    spans: KeptSpans, clock: ManualClock
):
    queue = KeptQueue()
    queue.put(task())
    (item,) = await TracedWorkQueue(queue, clock, spans).take(1, 1)

    await item.give_back(1)

    told = spans.named("process task")
    assert told.fault == "given_back"
    sent = place_in(task().payload)
    assert sent is not None
    assert told.place != sent.child(PROCESS)


@pytest.mark.parametrize("payload", [task(UNSAMPLED).payload, b"not json", b""])
async def test_other_tasks_pass_as_they_are(payload: bytes, spans: KeptSpans, clock: ManualClock):
    queue, inner = KeptQueue(), KeptItem("s", payload)
    queue.put(inner)

    assert await TracedWorkQueue(queue, clock, spans).take(1, 1) == [inner]


async def test_the_agent_is_told_its_own_place(spans: KeptSpans, clock: ManualClock):
    sandbox = ScriptedSandbox()

    with placed(HANDLING):
        await TracedSandbox(sandbox, clock, spans).run(SPEC, no_logs)

    (ran,) = sandbox.ran
    (agent,) = spans.all  # it was there at once: there is no start to tell
    assert ran.env["TRACEPARENT"] == agent.place.header()
    assert replace(ran, env=SPEC.env) == SPEC
    assert (agent.name, agent.parent) == ("agent", PARENT.child(PROCESS).span_id)
    assert agent.fault == ""


async def test_what_came_before_the_agent_is_the_start_of_its_sandbox(
    spans: KeptSpans, clock: ManualClock
):
    sandbox = ScriptedSandbox()
    sandbox.hold.clear()
    sandbox.result = replace(sandbox.result, wall_s=2.0)
    with placed(HANDLING):
        running = asyncio.ensure_future(TracedSandbox(sandbox, clock, spans).run(SPEC, no_logs))
    began_us = clock.now_us()
    await clock.advance(5)
    sandbox.hold.set()
    await running

    start, agent = spans.named("sandbox start"), spans.named("agent")
    assert (start.start_us, start.end_us) == (began_us, began_us + 3_000_000)
    assert (agent.start_us, agent.end_us) == (start.end_us, began_us + 5_000_000)
    assert start.parent == agent.parent == PARENT.child(PROCESS).span_id


@pytest.mark.parametrize("reason", [ExitReason.START_FAILED, ExitReason.UNAVAILABLE])
async def test_where_nothing_was_started_there_is_no_agent(
    reason: ExitReason, spans: KeptSpans, clock: ManualClock
):
    sandbox = ScriptedSandbox()
    sandbox.result = replace(sandbox.result, reason=reason)

    with placed(HANDLING):
        await TracedSandbox(sandbox, clock, spans).run(SPEC, no_logs)

    (told,) = spans.all
    assert (told.name, told.fault) == ("sandbox start", reason)


@pytest.mark.parametrize("place", [None, UNSAMPLED])
async def test_without_a_trace_the_sandbox_is_told_the_same(
    place: TraceContext | None, spans: KeptSpans, clock: ManualClock
):
    sandbox = ScriptedSandbox()

    with placed(place):
        await TracedSandbox(sandbox, clock, spans).run(SPEC, no_logs)

    assert sandbox.ran == [SPEC]
    assert spans.all == []


async def test_an_agent_that_is_told_no_place_has_a_span_all_the_same(
    spans: KeptSpans, clock: ManualClock
):
    sandbox, spec = ScriptedSandbox(), replace(SPEC, env={})

    with placed(HANDLING), bound(run=RUN, node="scan", attempt=2, agent="a"):
        await TracedSandbox(sandbox, clock, spans).run(spec, no_logs)

    assert sandbox.ran == [spec]
    told = spans.named("agent").attributes
    assert (told["penstock.run_id"], told["penstock.node"]) == (RUN, "scan")
    assert (told["penstock.attempt"], told["penstock.agent"]) == (2, "a")


async def test_a_cancelled_agent_is_told_as_such(spans: KeptSpans, clock: ManualClock):
    sandbox = ScriptedSandbox()
    sandbox.hold.clear()
    with placed(HANDLING):
        running = asyncio.ensure_future(TracedSandbox(sandbox, clock, spans).run(SPEC, no_logs))
    await asyncio.sleep(0)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running

    assert spans.named("agent").fault == ExitReason.CANCELLED


async def test_a_claim_lasts_from_the_first_question_to_the_answer(
    spans: KeptSpans, clock: ManualClock
):
    watch, control, heard = ClaimWatch(clock, spans), KeptControl(), []

    async def handler(subject: str, payload: bytes) -> None:
        heard.append((subject, payload))

    publisher = ClaimingPublisher(KeptPublisher(), watch)
    await ClaimedControl(control, watch).listen("penstock.*.control.>", handler)
    body = to_json({"data": {"nonce": "n", "task_id": "t"}})
    claim = Outgoing("RUNS", "penstock.d.run.run-0.r.claim_task", body, None, "-", PARENT.header())
    began_us = clock.now_us()
    for _ in range(3):
        await publisher.publish([claim])
        await clock.advance(1)

    for answer in (b"junk", to_json({"data": {"nonce": "n", "granted": True}})):
        await control.send("penstock.default.control.t.claim", answer)

    told = spans.named("claim")
    assert (told.start_us, told.end_us) == (began_us, clock.now_us())
    assert (told.parent, told.fault) == (PARENT.span_id, "")
    assert len(heard) == 2


# --- the publisher's ----------------------------------------------------------------------------


async def test_only_what_the_bus_has_taken_is_told(spans: KeptSpans, clock: ManualClock):
    inner = KeptPublisher()
    inner.outcomes.extend([Published.FAILED, Published.DONE, Published.DONE, Published.DONE])
    sent = PARENT.child("send")
    subject = f"penstock.default.run.run-0.{RUN}.report_result"
    message = Outgoing(Stream.RUNS, subject, b"", None, sent.header(), PARENT.header())
    unsampled = replace(message, traceparent=UNSAMPLED.header())
    bare = replace(message, traceparent=None)

    outcomes = await TracedPublisher(inner, clock, spans).publish(
        [message, message, unsampled, bare]
    )

    assert outcomes[0] is Published.FAILED
    told = spans.named("send RUNS")
    assert (told.place, told.parent, told.kind) == (sent, PARENT.span_id, SpanKind.PRODUCER)
    assert told.attributes["penstock.run_id"] == RUN


# --- the owner's --------------------------------------------------------------------------------


def event(
    trace: TraceContext, aggregate: str = RUN, topic: str = "run.run_cancelled.v1", by: str = "m"
):
    meta = EventMeta(time_us=1, causation_id=by, traceparent=trace.header())
    return NewRecord(aggregate, 1, topic, encode_state(meta, b"\0" * 32, {"node": "scan"}))


async def owned(spans: KeptSpans, clock: ManualClock) -> tuple[TracedLedger, PartitionRow]:
    inner = MemoryLedger(clock)
    row = await inner.acquire("run-0", "me", 10)
    assert row is not None
    taken = Taken(clock.now_us(), 3)
    return TracedLedger(inner, clock, spans, taken, LongWaits(inner, spans)), row


def commit(row: PartitionRow, *events: NewRecord) -> Commit:
    return Commit(
        "run-0", row.epoch, row.commit_number, row.n + len(events), b"\1" * 32, events, {}
    )


async def test_a_batch_is_linked_with_its_messages(spans: KeptSpans, clock: ManualClock):
    ledger, row = await owned(spans, clock)

    await ledger.commit(commit(row, event(PARENT)))

    batch, told = spans.named("consume"), spans.named("process run_cancelled")
    assert batch.links == (told.place,)
    assert batch.place in told.links
    assert (told.place, told.parent) == (PARENT.child(PROCESS), PARENT.span_id)
    assert told.attributes["penstock.run_id"] == RUN
    assert told.attributes["penstock.node"] == "scan"
    for part in ("decide", "commit"):
        assert spans.named(part).parent == batch.place.span_id


async def test_the_trigger_that_began_the_trace_is_its_root(spans: KeptSpans, clock: ManualClock):
    ledger, row = await owned(spans, clock)
    root = trigger_trace(RUN, 1)

    await ledger.commit(commit(row, event(root, topic="trigger.trigger_ignored.v1")))

    told = spans.named("process trigger_ignored")
    assert (told.place, told.parent) == (root, "")


@pytest.mark.parametrize(
    "silent", [event(UNSAMPLED), event(PARENT, by="timer/5")], ids=["unsampled", "timer"]
)
async def test_what_no_message_of_a_kept_trace_has_caused_is_not_told(
    silent: NewRecord, spans: KeptSpans, clock: ManualClock
):
    ledger, row = await owned(spans, clock)

    await ledger.commit(commit(row, replace(silent, topic="run.node_skipped.v1")))

    assert spans.all == []


async def test_a_commit_that_did_not_land_is_not_told(spans: KeptSpans, clock: ManualClock):
    ledger, row = await owned(spans, clock)

    with pytest.raises(Fenced):
        await ledger.commit(commit(replace(row, epoch=row.epoch + 1), event(PARENT)))

    assert spans.all == []
