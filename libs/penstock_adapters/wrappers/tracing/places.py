"""Where in a trace a message or a stored event belongs, read from its bytes without decoding."""

from typing import Final

from penstock_runtime.telemetry.spans import Spans
from penstock_runtime.telemetry.trace import TraceContext, parse_traceparent

HEAD_BYTES: Final = 4_096  # envelopes and stored events carry it in front of their data
HEADER_CHARS: Final = 55  # of version 00
_DATA: Final = b'"data":'
# An unescaped quote ends a JSON string, so that no text inside one can look like this.
_NAME: Final = b'"traceparent":"'


def place_in(payload: bytes) -> TraceContext | None:
    """Give the place that stands in front of the data; None: there is none."""
    return parse_traceparent(_header(payload))


def wanted_in(payload: bytes, spans: Spans) -> TraceContext | None:
    """Give the place if its trace is kept."""
    return spans.place(_header(payload))


def _header(payload: bytes) -> str | None:
    named = payload.find(_NAME, 0, HEAD_BYTES)
    if named < 0 or payload.find(_DATA, 0, named) >= 0:
        return None
    starts = named + len(_NAME)
    return payload[starts : starts + HEADER_CHARS].decode("ascii", "replace")
