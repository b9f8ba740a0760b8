"""Spans and log records as requests of OTLP, made straight from our own values.

Redaction looks at the bytes of a whole request first: what no request holds needs not be looked
for in each of its texts. Encoded secrets are looked for in what people have named, which repeats
itself and is remembered, and in all of a log record. Only where something is found all texts of
the request are gone through.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from penstock_adapters.telemetry import wire
from penstock_adapters.telemetry.redaction import MAX_TEXT_CHARS, Redaction
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind
from penstock_runtime.telemetry.trace import TraceContext

NS_PER_US: Final = 1_000
MAX_MESSAGE_CHARS: Final = 8 * 1024  # of a log record
REMEMBERED_MAX: Final = 4_096  # names of spans, and attributes: nodes, agents, runs
# Ids that are derived, and subjects, which hold them: looked at for secrets as they are alone, and
# not worth remembering.
_EACH_ANOTHER: Final = frozenset({s.TASK, s.APPROVAL_ID, s.DESTINATION})
_KINDS: Final = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_SPAN_ATTRIBUTE: Final = b"\x4a"
_RECORD_ATTRIBUTE: Final = b"\x32"
_SCOPE: Final = wire.field(b"\x0a", wire.field(b"\x0a", b"penstock"))
_FAILED: Final = b"\x18\x02"  # status code: error
_TIMES: Final = struct.Struct("<BQBQ").pack
_FLAGS: Final = {flags: b"\x85\x01" + flags.to_bytes(4, "little") for flags in range(256)}
Clean = Callable[[str, int], str]  # gives at most so many characters of a text


@dataclass(frozen=True, slots=True)
class Record:
    """A log line.

    Attributes:
        severity: number of OpenTelemetry's scale, 1 to 24; `level` is its name as we write it.
        place: where in a trace it was written; the span id is "" where only the trace is known.
    """

    at_us: int
    severity: int
    level: str
    message: str
    attributes: Mapping[str, AttributeValue]
    place: TraceContext | None = None


class Encoder:
    """Makes requests of one service; nothing that `redaction` knows is in them."""

    def __init__(self, about: Mapping[str, str], redaction: Redaction) -> None:
        """Say `about` the service (its resource attributes)."""
        self._redaction = redaction
        self._plain = _Texts(self._harmless, taken_as_they_are=_EACH_ANOTHER)
        self._cleaned = _Texts(redaction.text)
        self._resource = wire.field(b"\x0a", self._cleaned.attributes(about, b"\x0a"))

    def spans(self, spans: Sequence[Span]) -> bytes:
        """Give the request that exports `spans`."""
        return self._request(lambda texts: b"".join([texts.span(span) for span in spans]))

    def records(self, records: Sequence[Record]) -> bytes:
        """Give the request that exports `records`."""
        return self._request(lambda texts: b"".join([texts.record(record) for record in records]))

    def _request(self, written: Callable[["_Texts"], bytes]) -> bytes:
        try:
            body = written(self._plain)
        except _Unclean:
            body = written(self._cleaned)
        else:
            if self._redaction.suspects(body):
                body = written(self._cleaned)
        group = self._resource + wire.field(b"\x12", _SCOPE + body)
        return wire.field(b"\x0a", group)

    def _harmless(self, text: str, most_chars: int = MAX_TEXT_CHARS) -> str:
        if len(text) > most_chars or self._redaction.holds(text):
            raise _Unclean
        return text


class _Unclean(Exception):
    """A text holds a secret, or is over its bound: what is cut off might be half of one."""


class _Texts:
    """Writes spans and records; each text passes `clean`, or is as harmless as it is."""

    def __init__(self, clean: Clean, taken_as_they_are: frozenset[str] = frozenset()) -> None:
        self._clean = clean
        self._taken = taken_as_they_are
        self._name = lru_cache(REMEMBERED_MAX)(self._text)
        # Looked at for each attribute: a dictionary takes a third of what `lru_cache` does.
        self._known: dict[tuple[bytes, str, AttributeValue], bytes] = {}
        self._last: tuple[Mapping[str, AttributeValue], bytes] = ({}, b"")

    def span(self, span: Span) -> bytes:
        trace_id, span_id, flags = span.place
        ids = f"0a10{trace_id}1208{span_id}"
        if span.parent:
            ids += f"2208{span.parent}"
        for link in span.links:
            ids += f"6a1c0a10{link.trace_id}1208{link.span_id}"
        start_ns = span.start_us * NS_PER_US
        body = b"".join(
            (
                bytes.fromhex(ids),
                self._name(b"\x2a", span.name),
                _KINDS[span.kind],
                _TIMES(0x39, start_ns, 0x41, max(span.end_us * NS_PER_US, start_ns)),
                self._shared(span.attributes),
                wire.field(b"\x7a", self._text(b"\x12", span.fault) + _FAILED)
                if span.fault
                else b"",
                _FLAGS[flags],
            )
        )
        return wire.field(b"\x12", body)

    def record(self, record: Record) -> bytes:
        at = wire.fixed_64(record.at_us * NS_PER_US)
        message = wire.field(b"\x0a", self._bytes(record.message, MAX_MESSAGE_CHARS))
        parts = [
            b"\x09", at, b"\x10", wire.varint(record.severity), self._name(b"\x1a", record.level),
            wire.field(b"\x2a", message),
            self.attributes(record.attributes, _RECORD_ATTRIBUTE),
            b"\x59", at,
        ]  # fmt: skip
        if record.place is not None:
            trace_id, span_id, flags = record.place
            parts += (b"\x45", flags.to_bytes(4, "little"), b"\x4a\x10", bytes.fromhex(trace_id))
            if span_id:
                parts += (b"\x52\x08", bytes.fromhex(span_id))
        return wire.field(b"\x12", b"".join(parts))

    def attributes(self, about: Mapping[str, AttributeValue], tag: bytes) -> bytes:
        known = self._known
        parts: list[bytes] = []
        for name, value in about.items():
            written = known.get((tag, name, value)) if value.__class__ is str else None
            if written is None:
                written = self._attribute(tag, name, value)
                if isinstance(value, str) and name not in _EACH_ANOTHER:
                    if len(known) >= REMEMBERED_MAX:
                        known.clear()
                    known[tag, name, value] = written
            parts.append(written)
        return b"".join(parts)

    def _attribute(self, tag: bytes, name: str, value: AttributeValue) -> bytes:
        key = self._name(b"\x0a", name)
        if isinstance(value, str):
            taken = name in self._taken and len(value) <= MAX_TEXT_CHARS
            raw = value.encode("utf-8", "replace") if taken else self._bytes(value)
            written = wire.field(b"\x0a", raw)
        else:
            written = _number(value)
        return wire.field(tag, key + wire.field(b"\x12", written))

    def _shared(self, about: Mapping[str, AttributeValue]) -> bytes:
        """Write a span's attributes; those of one piece of work come one after another."""
        last, written = self._last
        if about is not last:
            written = self.attributes(about, _SPAN_ATTRIBUTE)
            self._last = about, written
        return written

    def _text(self, tag: bytes, text: str) -> bytes:
        return wire.field(tag, self._bytes(text))

    def _bytes(self, text: str, most_chars: int = MAX_TEXT_CHARS) -> bytes:
        return self._clean(text, most_chars).encode("utf-8", "replace")


def _number(value: float | bool) -> bytes:
    match value:
        case bool():
            return wire.bool_value(value)
        case int():
            return wire.int_value(value)
        case float():
            return wire.double_value(value)
