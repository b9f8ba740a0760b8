"""A work queue whose tasks report how long they waited and how long they were in work."""

import re
from collections.abc import Sequence
from typing import Final

from penstock_adapters.wrappers.tracing.places import wanted_in
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.work import WorkItem, WorkQueue
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import PROCESS, TraceContext

# A task's names stand in front of its input and in this order, and an unescaped quote ends a JSON
# string: nothing that a person wrote can look like them. Decoding the whole message once more
# would cost more than all spans of a task.
_NAMES: Final = re.compile(
    rb'"data":\{"task_id":"([^"\\]*)","run_id":"([^"\\]*)","partition":"[^"\\]*",'
    rb'"workflow":"([^"\\]*)","node":"([^"\\]*)","attempt":(\d+),'
    rb'(?:"phase":"[a-z]*",)?"agent":"([^"\\]*)"'
).search


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
            self._report(self._sent.child(PROCESS), "")

    async def give_back(self, delay_s: float) -> None:
        try:
            await self._inner.give_back(delay_s)
        finally:  # the next delivery has the place that follows from the task
            self._report(self._sent.fresh_child(), "given_back")

    def _report(self, place: TraceContext, fault: str) -> None:
        about = _about(self.payload, self.subject)
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
                about,
                (self._sent,),
                fault,
            )
        )


def _about(payload: bytes, subject: str) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {
        s.SYSTEM: s.NATS,
        s.OPERATION: PROCESS,
        s.DESTINATION: subject,
    }
    found = _NAMES(payload)
    if found is not None:  # else it is no task, and will be kept among the dead
        task, run, workflow, node, attempt, agent = found.groups()
        about[s.TASK] = task.decode()
        about[s.RUN_ID] = run.decode()
        about[s.WORKFLOW] = workflow.decode()
        about[s.NODE] = node.decode()
        about[s.ATTEMPT] = int(attempt)
        about[s.AGENT] = agent.decode()
    return about
