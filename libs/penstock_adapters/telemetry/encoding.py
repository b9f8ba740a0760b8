"""Spans as the bytes of OTLP, made straight from our own values.

The way through the SDK's span objects costs twice as much a span, on a thread that shares the
interpreter with the service.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as wire

from penstock_adapters.telemetry.redaction import Redaction
from penstock_runtime.telemetry.spans import AttributeValue, Span, SpanKind

CLEANED_MAX: Final = 4_096  # texts whose redaction is remembered: names, nodes, agents
NS_PER_US: Final = 1_000
_KINDS: Final = {
    SpanKind.INTERNAL: wire.Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: wire.Span.SPAN_KIND_SERVER,
    SpanKind.PRODUCER: wire.Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: wire.Span.SPAN_KIND_CONSUMER,
}


class Encoder:
    """Makes requests of one service; every text passes the redaction."""

    def __init__(self, about: Mapping[str, str], redaction: Redaction) -> None:
        """Say `about` the service (its resource attributes)."""
        self._clean = lru_cache(CLEANED_MAX)(redaction.text)
        self._resource = Resource(attributes=self._attributes(about))
        self._scope = InstrumentationScope(name="penstock")

    def request(self, spans: Sequence[Span]) -> ExportTraceServiceRequest:
        """Give the request that exports `spans`."""
        scoped = wire.ScopeSpans(scope=self._scope, spans=[self._span(span) for span in spans])
        group = wire.ResourceSpans(resource=self._resource, scope_spans=[scoped])
        return ExportTraceServiceRequest(resource_spans=[group])

    def _span(self, span: Span) -> wire.Span:
        failed = wire.Status.STATUS_CODE_ERROR
        return wire.Span(
            trace_id=bytes.fromhex(span.place.trace_id),
            span_id=bytes.fromhex(span.place.span_id),
            parent_span_id=bytes.fromhex(span.parent),
            flags=span.place.flags,
            name=self._clean(span.name),
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.start_us * NS_PER_US,
            end_time_unix_nano=max(span.end_us, span.start_us) * NS_PER_US,
            attributes=self._attributes(span.attributes),
            links=[
                wire.Span.Link(
                    trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id)
                )
                for link in span.links
            ],
            status=wire.Status(message=self._clean(span.fault), code=failed)
            if span.fault
            else None,
        )

    def _attributes(self, about: Mapping[str, AttributeValue]) -> list[KeyValue]:
        return [KeyValue(key=name, value=self._value(value)) for name, value in about.items()]

    def _value(self, value: AttributeValue) -> AnyValue:
        match value:
            case bool():
                return AnyValue(bool_value=value)
            case int():
                return AnyValue(int_value=value)
            case float():
                return AnyValue(double_value=value)
            case str():
                return AnyValue(string_value=self._clean(value))
