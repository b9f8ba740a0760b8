"""An OTLP collector of our own: takes spans and log records over gRPC and HTTP, and keeps them."""

import threading
from collections import defaultdict
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_wire
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
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


@dataclass(frozen=True)
class KeptRecord:
    """A log record as it came: ids in hexadecimal, "" where there is none."""

    service: str
    instance: str
    at_ns: int
    severity: int
    level: str
    message: str
    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    raw: bytes = field(repr=False)


class Collector(TraceServiceServicer):
    """Keeps everything.

    Attributes:
        url: what services are told that speak gRPC.
        http_url: what they are told where `OTEL_EXPORTER_OTLP_PROTOCOL` is `http/protobuf`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.http_url = ""
        self._spans: list[KeptSpan] = []
        self._records: list[KeptRecord] = []
        self._lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - gRPC's own
        """Take spans."""
        del context
        with self._lock:
            for group in request.resource_spans:
                service, _ = _told_by(group)
                for scope in group.scope_spans:
                    self._spans.extend(_kept(service, span) for span in scope.spans)
        return wire.ExportTraceServiceResponse()

    def take_logs(self, request: Any) -> Any:  # noqa: ANN401 - a generated type
        """Take log records."""
        with self._lock:
            for group in request.resource_logs:
                told = _told_by(group)
                for scope in group.scope_logs:
                    self._records.extend(_kept_record(told, one) for one in scope.log_records)
        return logs_wire.ExportLogsServiceResponse()

    @property
    def spans(self) -> list[KeptSpan]:
        """All spans so far."""
        with self._lock:
            return list(self._spans)

    @property
    def records(self) -> list[KeptRecord]:
        """All log records so far."""
        with self._lock:
            return list(self._records)

    def traces(self) -> dict[str, list[KeptSpan]]:
        """All spans by trace."""
        found: dict[str, list[KeptSpan]] = defaultdict(list)
        for span in self.spans:
            found[span.trace_id].append(span)
        return found

    @classmethod
    @contextmanager
    def listening(cls) -> Generator["Collector"]:
        """Listen on free loopback ports."""
        collector = cls()
        server = grpc.server(ThreadPoolExecutor(max_workers=2))
        add_TraceServiceServicer_to_server(collector, server)
        add_LogsServiceServicer_to_server(_Logs(collector), server)
        collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        http = _HttpServer(("127.0.0.1", 0), _Door)
        http.collector = collector
        collector.http_url = f"http://127.0.0.1:{http.server_port}"
        serving = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield collector
        finally:
            http.shutdown()
            serving.join(5)
            http.server_close()
            server.stop(grace=0).wait(5)


class _Logs(LogsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - gRPC's own
        del context
        return self._collector.take_logs(request)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    collector: Collector


class _Door(BaseHTTPRequestHandler):
    """The two paths of OTLP over HTTP; anything else is 404."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, _HttpServer)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path, self.headers["Content-Type"]:
            case "/v1/traces", "application/x-protobuf":
                request: Any = wire.ExportTraceServiceRequest.FromString(body)
                answer = self.server.collector.Export(request, None)
            case "/v1/logs", "application/x-protobuf":
                answer = self.server.collector.take_logs(
                    logs_wire.ExportLogsServiceRequest.FromString(body)
                )
            case _:
                self.send_error(404)
                return
        told = answer.SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own
        """Say nothing."""


def _told_by(group: Any) -> tuple[str, str]:  # noqa: ANN401 - a generated type
    named = {item.key: item.value.string_value for item in group.resource.attributes}
    return named["service.name"], named.get("service.instance.id", "")


def _kept(service: str, span: Any) -> KeptSpan:  # noqa: ANN401 - a generated type
    return KeptSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span),
        tuple(link.trace_id.hex() for link in span.links),
        span.SerializeToString(),
    )


def _kept_record(told: tuple[str, str], record: Any) -> KeptRecord:  # noqa: ANN401 - as above
    return KeptRecord(
        *told,
        record.time_unix_nano,
        record.severity_number,
        record.severity_text,
        record.body.string_value,
        record.trace_id.hex(),
        record.span_id.hex(),
        _attributes(record),
        record.SerializeToString(),
    )


def _attributes(told: Any) -> dict[str, Any]:  # noqa: ANN401 - a generated type
    return {item.key: _value(item.value) for item in told.attributes}


def _value(value: Any) -> Any:  # noqa: ANN401 - any of the wire's
    return getattr(value, value.WhichOneof("value"))
