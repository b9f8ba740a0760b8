"""OTLP over HTTP, as Protocol Buffers."""

from typing import Protocol, cast

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from penstock_adapters.telemetry.senders import Signal


class _Answer(Protocol):
    success: bool


class _Client(Protocol):
    """What an exporter hands its encoded requests to."""

    def export(self, data: bytes) -> _Answer: ...


class HttpSender:
    """Fulfils `Sender` by the client inside OpenTelemetry's exporter."""

    def __init__(self, signal: Signal, endpoint: str, export_s: float) -> None:
        """Post to `endpoint`, the whole address of the signal, within `export_s`."""
        kind = OTLPSpanExporter if signal is Signal.SPANS else OTLPLogExporter
        self._exporter = kind(endpoint=endpoint, timeout=export_s)
        # Their own `export` takes the SDK's objects alone.
        self._client = cast(
            "_Client",
            self._exporter._client,  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - see above
        )

    def send(self, request: bytes) -> bool:
        """See the protocol."""
        return self._client.export(request).success

    def close(self) -> None:
        """See the protocol."""
        self._exporter.shutdown()
