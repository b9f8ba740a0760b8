"""An OTLP collector of our own: takes spans over gRPC and keeps them."""

import threading
from collections import defaultdict
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True)
class KeptSpan:
    """A span as it came: ids in hexadecimal, times in nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    raw: bytes = field(repr=False)


class Collector(TraceServiceServicer):
    """Keeps every span; `url` is what services are told."""

    def __init__(self) -> None:
        self.url = ""
        self._spans: list[KeptSpan] = []
        self._lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - gRPC's own
        """Take spans."""
        del context
        with self._lock:
            for group in request.resource_spans:
                named = {item.key: item.value.string_value for item in group.resource.attributes}
                for scope in group.scope_spans:
                    self._spans.extend(_kept(named["service.name"], span) for span in scope.spans)
        return wire.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[KeptSpan]:
        """All spans so far."""
        with self._lock:
            return list(self._spans)

    def traces(self) -> dict[str, list[KeptSpan]]:
        """All spans by trace."""
        found: dict[str, list[KeptSpan]] = defaultdict(list)
        for span in self.spans:
            found[span.trace_id].append(span)
        return found

    @classmethod
    @contextmanager
    def listening(cls) -> Generator["Collector"]:
        """Listen on a free loopback port."""
        collector = cls()
        server = grpc.server(ThreadPoolExecutor(max_workers=2))
        add_TraceServiceServicer_to_server(collector, server)
        collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(grace=0).wait(5)


def _kept(service: str, span: Any) -> KeptSpan:  # noqa: ANN401 - a generated type
    about = {item.key: _value(item.value) for item in span.attributes}
    return KeptSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        about,
        tuple(link.trace_id.hex() for link in span.links),
        span.SerializeToString(),
    )


def _value(value: Any) -> Any:  # noqa: ANN401 - any of the wire's
    return getattr(value, value.WhichOneof("value"))
