"""A ledger that reports each committed batch, and what its events say of messages and waits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock_adapters.wrappers.tracing.inbox import Taken
from penstock_adapters.wrappers.tracing.places import wanted_in
from penstock_adapters.wrappers.tracing.waits import MARKS, LongWaits
from penstock_contracts.records import NewRecord, time_number
from penstock_contracts.registry import kind_of, name_of
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import Commit, Ledger, PartitionRow
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import PROCESS, TraceContext, start_trace, trigger_trace

_TIMER: Final = b"timer/"  # begins the causation id of what no message has caused
_NAMED: Final = {
    b"run_id": s.RUN_ID,
    b"node": s.NODE,
    b"attempt": s.ATTEMPT,
    b"task_id": s.TASK,
    b"agent": s.AGENT,
    b"workflow": s.WORKFLOW,
}
# What stands in front of the data, and the plain members that the data begins with: an event's
# names come first in its model. Decoding all of each event once more would cost more than its span.
_HEAD: Final = re.compile(
    rb'\{"time":"(?P<time>[^"]*)",(?:"tenant":"(?P<tenant>[^"\\]*)",)?'
    rb'(?:"causationid":"(?P<cause>(?:[^"\\]|\\.)*)",)?'
    rb'(?:"correlationid":"(?P<run>[^"\\]*)",)?'
    rb'(?:"actor":"(?:[^"\\]|\\.)*",)?(?:"traceparent":"[^"\\]*",)?"prevhash":"[^"]*","data":\{'
).match
_PAIR: Final = re.compile(rb',?"([a-z_]+)":(?:"([^"\\]*)"|(\d+)(?=[,}]))').match


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
            if record.topic in MARKS:
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
    head = _HEAD(record.state)
    if head is None or (head["cause"] or b"").startswith(_TIMER):
        return None
    begins = kind_of(record.topic) == "trigger" and sent == trigger_trace(
        record.aggregate_id, time_number(head["time"].decode())
    )
    place, parent = (sent, "") if begins else (sent.child(PROCESS), sent.span_id)
    return Span(
        f"process {name_of(record.topic)}",
        place,
        moments.taken_us,
        moments.ended_us,
        parent,
        SpanKind.CONSUMER,
        _about(record, head),
        (batch,) if begins else (sent, batch),
    )


def _about(record: NewRecord, head: re.Match[bytes]) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {s.SYSTEM: s.NATS, s.OPERATION: PROCESS}
    about[s.TENANT] = head["tenant"].decode() if head["tenant"] else DEFAULT_TENANT
    pair = _PAIR(record.state, head.end())
    while pair is not None:
        name, text, number = pair.groups()
        if name in _NAMED:
            about[_NAMED[name]] = int(number) if number else text.decode()
        pair = _PAIR(record.state, pair.end())
    match kind_of(record.topic):
        case "run":
            about[s.RUN_ID] = record.aggregate_id
        case "approval":
            about[s.APPROVAL_ID] = record.aggregate_id
            about[s.RUN_ID] = (head["run"] or b"").decode()
        case _:
            pass
    return about
