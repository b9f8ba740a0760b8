"""A ledger that reports each committed batch, and what its events say of messages and waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_adapters.wrappers.tracing.inbox import Taken
from penstock_adapters.wrappers.tracing.places import wanted_in
from penstock_adapters.wrappers.tracing.waits import LongWaits
from penstock_contracts.records import EventMeta, NewRecord, decode_state
from penstock_contracts.registry import kind_of, name_of
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import Commit, Ledger, PartitionRow
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import TraceContext, start_trace, trigger_trace

_TIMER = "timer/"  # begins the causation id of what no message has caused
_NAMED = (("run_id", s.RUN_ID), ("node", s.NODE), ("attempt", s.ATTEMPT), ("task_id", s.TASK))
_NAMED_TOO = (("agent", s.AGENT), ("workflow", s.WORKFLOW))


@dataclass(frozen=True, slots=True)
class _Moments:
    taken_us: int
    began_us: int
    ended_us: int


class TracedLedger:
    """Fulfils the port `Ledger`.

    A batch is a trace of its own (consume, with decide and commit in it), linked with the spans of
    its messages. These are in the messages' traces, made from the events that were committed.
    """

    def __init__(
        self, inner: Ledger, clock: Clock, spans: Spans, taken: Taken, waits: LongWaits
    ) -> None:
        """Wrap `inner`; `taken` is told by the inbox of the same owner."""
        self._inner = inner
        self._clock = clock
        self._spans = spans
        self._taken = taken
        self._waits = waits

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Pass on."""
        return await self._inner.acquire(partition, owner, lease_s)

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Pass on."""
        return await self._inner.renew(partition, epoch, lease_s)

    async def release(self, partition: str, epoch: int) -> None:
        """Pass on."""
        await self._inner.release(partition, epoch)

    async def partitions(self) -> Sequence[str]:
        """Pass on."""
        return await self._inner.partitions()

    async def row(self, partition: str) -> PartitionRow:
        """Pass on."""
        return await self._inner.row(partition)

    async def commit(self, commit: Commit) -> Sequence[int]:
        """Pass on, and report what has landed."""
        began_us = self._clock.now_us()
        positions = await self._inner.commit(commit)
        moments = _Moments(self._taken.at_us or began_us, began_us, self._clock.now_us())
        self._report(commit, moments)
        for record in commit.events:
            await self._waits.see(record)
        return positions

    def _report(self, commit: Commit, moments: _Moments) -> None:
        batch = start_trace()
        links: list[TraceContext] = []
        seen: set[str] = set()
        for record in commit.events:
            place = wanted_in(record.state, self._spans)
            if place is None or place.span_id in seen:
                continue
            seen.add(place.span_id)
            span = _processed(record, place, batch, moments)
            if span is not None:
                self._spans.report(span)
                links.append(span.place)
        if links:
            self._report_batch(commit, batch, moments, tuple(links[: s.LINKS_MAX]))

    def _report_batch(
        self,
        commit: Commit,
        batch: TraceContext,
        moments: _Moments,
        links: tuple[TraceContext, ...],
    ) -> None:
        about: dict[str, AttributeValue] = {
            s.PARTITION: commit.partition,
            s.MESSAGES: self._taken.messages,
            s.EVENTS: len(commit.events),
            s.SYSTEM: s.NATS,
        }
        taken, began, ended = moments.taken_us, moments.began_us, moments.ended_us
        parent = batch.span_id
        self._spans.report(
            Span("consume", batch, taken, ended, "", SpanKind.INTERNAL, about, links)
        )
        self._spans.report(Span("decide", batch.child("decide"), taken, began, parent))
        self._spans.report(Span("commit", batch.child("commit"), began, ended, parent))


def _processed(
    record: NewRecord, sent: TraceContext, batch: TraceContext, moments: _Moments
) -> Span | None:
    """Give the span of a message that led to an event; None if it was none that did."""
    meta, _, data = decode_state(record.state)
    if meta.causation_id.startswith(_TIMER):
        return None
    begins = kind_of(record.topic) == "trigger" and sent == trigger_trace(
        record.aggregate_id, meta.time_us
    )
    place, parent = (sent, "") if begins else (sent.child(s.PROCESS), sent.span_id)
    return Span(
        f"process {name_of(record.topic)}",
        place,
        moments.taken_us,
        moments.ended_us,
        parent,
        SpanKind.CONSUMER,
        {s.SYSTEM: s.NATS, s.OPERATION: s.PROCESS, **_about(record, meta, data)},
        (batch,) if begins else (sent, batch),
    )


def _about(
    record: NewRecord, meta: EventMeta, data: dict[str, object]
) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {s.TENANT: meta.tenant}
    for name, attribute in (*_NAMED, *_NAMED_TOO):
        value = data.get(name)
        if isinstance(value, str | int):
            about[attribute] = value
    match kind_of(record.topic):
        case "run":
            about[s.RUN_ID] = record.aggregate_id
        case "approval":
            about[s.APPROVAL_ID] = record.aggregate_id
            about[s.RUN_ID] = meta.correlation_id
        case _:
            pass
    return about
