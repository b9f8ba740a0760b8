"""A relay log that reports each unit of events."""

from collections.abc import Callable, Sequence

from penstock_adapters.wrappers.tracing.places import wanted_in
from penstock_contracts.partition.v1 import Marker
from penstock_runtime.ports.bus import PlacedMarker, RelayLog
from penstock_runtime.ports.clock import Clock
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import TraceContext, start_trace


class TracedRelayLog:
    """Fulfils the port `RelayLog`; a unit is a trace of its own, linked with its events'."""

    def __init__(self, inner: RelayLog, clock: Clock, spans: Spans) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._spans = spans

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        """Pass on."""
        return await self._inner.last_marker(partition)

    async def last_sequence(self, partition: str) -> int:
        """Pass on."""
        return await self._inner.last_sequence(partition)

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        """Pass on, and report what was published."""
        began_us = self._clock.now_us()
        fence = await self._inner.publish_unit(partition, messages, marker, fence_sequence)
        links = self._links(messages)
        if links:
            self._spans.report(
                Span(
                    "relay",
                    start_trace(),
                    began_us,
                    self._clock.now_us(),
                    kind=SpanKind.INTERNAL,
                    attributes={
                        s.PARTITION: partition,
                        s.MESSAGES: len(messages),
                        s.SYSTEM: s.NATS,
                        s.OPERATION: "send",
                        s.DESTINATION: "EVENTS",
                    },
                    links=links,
                )
            )
        return fence

    def _links(self, messages: Sequence[tuple[str, bytes]]) -> tuple[TraceContext, ...]:
        found: dict[TraceContext, None] = {}
        for _, payload in messages:
            place = wanted_in(payload, self._spans)
            if place is not None:
                found[place] = None
                if len(found) == s.LINKS_MAX:
                    break
        return tuple(found)
