"""A work queue whose tasks report how long they waited and how long they were in work."""

from collections.abc import Sequence

from penstock_adapters.wrappers.tracing.places import wanted_in
from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.work import WorkItem, WorkQueue
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import TraceContext

_NAMED = (
    ("run_id", s.RUN_ID),
    ("node", s.NODE),
    ("task_id", s.TASK),
    ("attempt", s.ATTEMPT),
    ("agent", s.AGENT),
    ("workflow", s.WORKFLOW),
)


class TracedWorkQueue:
    """Fulfils the port `WorkQueue`."""

    def __init__(self, inner: WorkQueue, clock: Clock, spans: Spans) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._spans = spans

    async def take(self, limit: int, timeout_s: float) -> Sequence[WorkItem]:
        """Pass on; tasks of traces that are kept report themselves."""
        return [self._watched(item) for item in await self._inner.take(limit, timeout_s)]

    def _watched(self, item: WorkItem) -> WorkItem:
        sent = wanted_in(item.payload, self._spans)
        return item if sent is None else _TracedItem(item, sent, self._clock, self._spans)

    async def close(self) -> None:
        """Pass on."""
        await self._inner.close()


class _TracedItem:
    """Fulfils the port `WorkItem`; reports when it is acknowledged or given back."""

    def __init__(self, inner: WorkItem, sent: TraceContext, clock: Clock, spans: Spans) -> None:
        self._inner = inner
        self._sent = sent
        self._clock = clock
        self._spans = spans
        self._taken_us = clock.now_us()
        self.subject = inner.subject
        self.payload = inner.payload
        self.queued_us = inner.queued_us

    async def in_progress(self) -> None:
        await self._inner.in_progress()

    async def ack_sync(self) -> None:
        try:
            await self._inner.ack_sync()
        finally:
            self._report(self._sent.child(s.PROCESS), "")

    async def give_back(self, delay_s: float) -> None:
        try:
            await self._inner.give_back(delay_s)
        finally:  # the next delivery has the place that follows from the task
            self._report(self._sent.fresh_child(), "given_back")

    def _report(self, place: TraceContext, fault: str) -> None:
        about = {**_about(self.payload), s.SYSTEM: s.NATS, s.DESTINATION: self.subject}
        waited = Span(
            "queue wait",
            place.child("queue wait"),
            self.queued_us,
            self._taken_us,
            self._sent.span_id,
            attributes=about,
        )
        self._spans.report(waited)
        self._spans.report(
            Span(
                "process task",
                place,
                self._taken_us,
                self._clock.now_us(),
                self._sent.span_id,
                SpanKind.CONSUMER,
                {**about, s.OPERATION: s.PROCESS},
                (self._sent,),
                fault,
            )
        )


def _about(payload: bytes) -> dict[str, AttributeValue]:
    try:
        data = Envelope.decode(payload).data
    except MalformedMessage:  # it will be kept among the dead
        return {}
    if not isinstance(data, dict):
        return {}
    named = ((key, data.get(name)) for name, key in _NAMED)
    return {key: value for key, value in named if isinstance(value, str | int)}
