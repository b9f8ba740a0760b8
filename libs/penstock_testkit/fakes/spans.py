"""Spans in memory."""

from penstock_runtime.telemetry.spans import Span
from penstock_runtime.telemetry.trace import TraceContext, parse_traceparent


class KeptSpans:
    """Fulfils the port `Spans`; wants every sampled trace."""

    def __init__(self) -> None:
        self.all: list[Span] = []

    def wants(self, place: TraceContext) -> bool:
        """Go by the flag."""
        return bool(place.flags)

    def place(self, header: str | None) -> TraceContext | None:
        """Read it."""
        place = parse_traceparent(header)
        return place if place is not None and place.flags else None

    def report(self, span: Span) -> None:
        """Keep it."""
        self.all.append(span)

    def named(self, name: str) -> Span:
        """Give the one span of that name."""
        (found,) = (span for span in self.all if span.name == name)
        return found
