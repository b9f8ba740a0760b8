"""Spans to an OpenTelemetry collector: one bounded queue, one thread, short timeouts."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

from penstock_adapters.telemetry.encoding import Encoder
from penstock_adapters.telemetry.redaction import Redaction
from penstock_runtime.telemetry.spans import Span
from penstock_runtime.telemetry.trace import SAMPLED, TraceContext

QUEUE_MAX: Final = 8_192  # spans; the newest are dropped beyond
BATCH_MAX: Final = 512  # spans of one export
PAUSE_S: Final = 0.5  # between two exports
EXPORT_S: Final = 2.0  # one export, its retries included
LEAVE_S: Final = 1.0  # for what is left at the end
RATIO_BITS: Final = 56  # of the trace id that W3C asks to be random

_log = logging.getLogger(__name__)


class _Exporter(OTLPSpanExporter):
    """OpenTelemetry's own connection, retries and variables, with our encoding."""

    def __init__(self, endpoint: str, encoder: Encoder) -> None:
        super().__init__(endpoint=endpoint, timeout=EXPORT_S)
        self._encoder = encoder

    def send(self, batch: Sequence[Span]) -> bool:
        sent = self._export(batch)  # pyright: ignore[reportArgumentType] - encoded below
        return sent is SpanExportResult.SUCCESS

    def _translate_data(  # pyright: ignore[reportIncompatibleMethodOverride] - not the SDK's spans
        self, data: Sequence[Span]
    ) -> ExportTraceServiceRequest:
        return self._encoder.request(data)


class OtlpSpans:
    """Fulfils the port `Spans`; a collector that does not answer costs spans and nothing else."""

    def __init__(
        self, endpoint: str, service: str, instance: str, ratio: float, redaction: Redaction
    ) -> None:
        """Send to the gRPC `endpoint` (`http://host:4317`) what of `ratio` of all traces comes."""
        self._bound = int(ratio * (1 << RATIO_BITS))
        about = {
            "service.namespace": "penstock",
            "service.name": service,
            "service.instance.id": instance,
        }
        # Their logs would repeat each failed export; ours tell of the change.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = _Exporter(endpoint, Encoder(about, redaction))
        self._queue: deque[Span] = deque()
        self._stop = threading.Event()
        self._answers = True
        self._left = False  # nobody waits for what is still queued
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def wants(self, place: TraceContext) -> bool:
        """See the port: by the flag of who began the trace, and by its id."""
        if not place.flags & SAMPLED:
            return False
        return int(place.trace_id[-RATIO_BITS // 4 :], 16) < self._bound

    def report(self, span: Span) -> None:
        """See the port."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append(span)
        else:
            self.dropped += 1

    def close(self) -> None:
        """Send what is left, within a second."""
        self._stop.set()
        self._thread.join(LEAVE_S)
        if self._thread.is_alive():
            self._left = True
            # Ends its waiting between two tries.
            self._exporter.shutdown(timeout_millis=0)  # pyright: ignore[reportUnknownMemberType]
        if self.dropped:
            _log.warning("spans were dropped", extra={"spans": self.dropped})

    def _work(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self._drain()
        self._drain()
        self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType]

    def _drain(self) -> None:
        for _ in range(QUEUE_MAX // BATCH_MAX):
            batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            if not batch or self._left:
                return
            if not self._export(batch):
                self.dropped += len(batch)
                return

    def _export(self, batch: list[Span]) -> bool:
        try:
            answers = self._exporter.send(batch)
        except Exception:  # noqa: BLE001 - the thread's boundary: telemetry never ends a service
            answers = False
        if answers is not self._answers:
            self._answers = answers
            _log.log(
                logging.INFO if answers else logging.WARNING,
                "the collector takes spans again" if answers else "the collector takes no spans",
            )
        return answers
