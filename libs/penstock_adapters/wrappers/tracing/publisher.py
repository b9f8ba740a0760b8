"""A publisher that reports each message that the bus has taken, as the parent of its handling."""

from collections.abc import Sequence

from penstock_contracts.subjects import Stream
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import parse_traceparent

SEND = "send"
_RUN_TOKEN = 4  # of a subject of RUNS
_SENT = (Published.DONE, Published.ALREADY_THERE)


class TracedPublisher:
    """Fulfils the port `Publisher`. A message that is sent again has the same span."""

    def __init__(self, inner: Publisher, clock: Clock, spans: Spans) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._spans = spans

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Pass on, and report."""
        began_us = self._clock.now_us()
        outcomes = await self._inner.publish(batch)
        ended_us = self._clock.now_us()
        for message, outcome in zip(batch, outcomes, strict=True):
            if message.traceparent is not None and outcome in _SENT:
                self._report(message, began_us, ended_us)
        return outcomes

    def _report(self, message: Outgoing, began_us: int, ended_us: int) -> None:
        place = self._spans.place(message.traceparent)
        parent = None if place is None else parse_traceparent(message.parent)
        if place is None or parent is None:
            return
        about: dict[str, AttributeValue] = {
            s.SYSTEM: s.NATS,
            s.OPERATION: SEND,
            s.OPERATION_NAME: "publish",
            s.DESTINATION: message.subject,
        }
        if message.stream == Stream.RUNS:
            about[s.RUN_ID] = message.subject.split(".")[_RUN_TOKEN]
        name = f"{SEND} {message.stream or 'core'}"
        self._spans.report(
            Span(name, place, began_us, ended_us, parent.span_id, SpanKind.PRODUCER, about)
        )

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Pass on."""
        await self._inner.purge_subject(stream, subject)
