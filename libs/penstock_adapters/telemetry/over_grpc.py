"""OTLP over gRPC."""

from collections.abc import Callable
from typing import Final, Protocol, cast

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from penstock_adapters.telemetry.senders import Sender, Signal

_ROOT: Final = "/opentelemetry.proto.collector"
SPANS_PATH: Final = f"{_ROOT}.trace.v1.TraceService/Export"
LOGS_PATH: Final = f"{_ROOT}.logs.v1.LogsService/Export"


def open_grpc(signal: Signal, endpoint: str, export_s: float) -> Sender:
    """Open the way for one signal."""
    match signal:
        case Signal.SPANS:
            return _Spans(endpoint, export_s)
        case Signal.LOGS:
            return _Logs(endpoint, export_s)


class _Channel(Protocol):
    def unary_unary(self, method: str) -> Callable[..., object]: ...


class _Stub:
    """Calls with bytes; OpenTelemetry's own takes generated messages, which it would serialise."""

    def __init__(self, channel: object, path: str) -> None:
        self.Export = cast("_Channel", channel).unary_unary(path)


# What these classes override is private to OpenTelemetry; the export tests stand on each of it.


class _Spans(OTLPSpanExporter):
    def __init__(self, endpoint: str, export_s: float) -> None:
        super().__init__(endpoint=endpoint, timeout=export_s)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()
        self._client = _Stub(self._channel, SPANS_PATH)

    def send(self, request: bytes) -> bool:
        sent = self._export(request)  # pyright: ignore[reportArgumentType] - as it is
        return sent is SpanExportResult.SUCCESS

    def close(self) -> None:
        self.shutdown(timeout_millis=0)  # pyright: ignore[reportUnknownMemberType]

    def _translate_data(  # pyright: ignore[reportIncompatibleMethodOverride] - not the SDK's spans
        self, data: bytes
    ) -> bytes:
        return data

    def _count_data(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return len(data)


class _Logs(OTLPLogExporter):
    def __init__(self, endpoint: str, export_s: float) -> None:
        super().__init__(endpoint=endpoint, timeout=export_s)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()
        self._client = _Stub(self._channel, LOGS_PATH)

    def send(self, request: bytes) -> bool:
        sent = self._export(request)  # pyright: ignore[reportArgumentType] - as it is
        return sent is LogRecordExportResult.SUCCESS

    def close(self) -> None:
        self.shutdown(timeout_millis=0)  # pyright: ignore[reportUnknownMemberType]

    def _translate_data(  # pyright: ignore[reportIncompatibleMethodOverride] - not the SDK's logs
        self, data: bytes
    ) -> bytes:
        return data

    def _count_data(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return len(data)
