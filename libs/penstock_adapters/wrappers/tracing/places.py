"""Where in a trace a message or a stored event belongs, read from its bytes without decoding."""

import re
from typing import Final

from penstock_runtime.telemetry.spans import Spans
from penstock_runtime.telemetry.trace import SAMPLED, TraceContext

HEAD_BYTES: Final = 4_096  # envelopes and stored events carry it in front of their data
_DATA: Final = b'"data":'
# An unescaped quote ends a JSON string, so that no text inside one can look like this.
_PATTERN = re.compile(rb'"traceparent":"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"')


def place_in(payload: bytes) -> TraceContext | None:
    """Give the place that stands in front of the data; None: there is none."""
    head = payload[:HEAD_BYTES]
    end = head.find(_DATA)
    found = _PATTERN.search(head, 0, len(head) if end < 0 else end)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    return TraceContext(trace_id.decode(), span_id.decode(), int(flags, 16) & SAMPLED)


def wanted_in(payload: bytes, spans: Spans) -> TraceContext | None:
    """Give the place if its trace is kept."""
    place = place_in(payload)
    return place if place is not None and spans.wants(place) else None
