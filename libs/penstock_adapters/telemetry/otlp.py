"""Spans to an OpenTelemetry collector."""

from typing import Final

from penstock_adapters.telemetry.encoding import Encoder
from penstock_adapters.telemetry.exporting import Exporting
from penstock_adapters.telemetry.senders import Sender, Signal
from penstock_runtime.telemetry.spans import Span
from penstock_runtime.telemetry.trace import SAMPLED, TraceContext, parse_traceparent

RATIO_BITS: Final = 56  # of the trace id that W3C asks to be random
RATIO_DIGITS: Final = RATIO_BITS // 4  # the last ones of the trace id
_DIGITS_AT: Final = slice(35 - RATIO_DIGITS, 35)  # of a `traceparent`
_BEYOND_ALL: Final = "g"  # after every hexadecimal digit


class OtlpSpans:
    """Fulfils the port `Spans`; a collector that does not answer costs spans and nothing else."""

    def __init__(self, sender: Sender, encoder: Encoder, ratio: float, leave_s: float) -> None:
        """Send what comes of `ratio` (0 to 1) of all traces, what is left within `leave_s`."""
        bound = int(ratio * (1 << RATIO_BITS))
        # Compared as text: ninety-nine of a hundred messages are of no kept trace at 1 %.
        self._bound = f"{bound:0{RATIO_DIGITS}x}" if ratio < 1 else _BEYOND_ALL
        self._exporting = Exporting(Signal.SPANS, sender, encoder.spans, leave_s)

    def wants(self, place: TraceContext) -> bool:
        """See the port: by the flag of who began the trace, and by its id."""
        return bool(place.flags & SAMPLED) and place.trace_id[-RATIO_DIGITS:] < self._bound

    def place(self, header: str | None) -> TraceContext | None:
        """See the port."""
        if header is None or header[_DIGITS_AT] >= self._bound:
            return None
        place = parse_traceparent(header)
        return place if place is not None and place.flags & SAMPLED else None

    @property
    def dropped(self) -> int:
        """How many spans no collector took."""
        return self._exporting.dropped

    def report(self, span: Span) -> None:
        """See the port."""
        self._exporting.put(span)

    def leave(self) -> None:
        """Begin to end."""
        self._exporting.leave()

    def close(self) -> None:
        """Send what is left, within `leave_s`."""
        self._exporting.close()
