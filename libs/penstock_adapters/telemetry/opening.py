"""Opening the export of spans and logs, where settings or OpenTelemetry's variables ask for it."""

import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from penstock_adapters.system.vitals import Sample
from penstock_adapters.telemetry.addresses import address_of
from penstock_adapters.telemetry.encoding import Encoder
from penstock_adapters.telemetry.logs import OtlpLogs
from penstock_adapters.telemetry.otlp import OtlpSpans
from penstock_adapters.telemetry.redaction import Redaction
from penstock_adapters.telemetry.senders import Patience, Signal, open_sender
from penstock_runtime.settings import ServiceSettings, secrets_of
from penstock_runtime.telemetry.metrics import TELEMETRY_DROPPED, Metrics
from penstock_runtime.telemetry.spans import NoSpans, Spans


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a service exports.

    Attributes:
        spans: where its spans go.
        exporters: those that count what no collector took, by signal.
        redaction: learns the secrets that become known while the service runs.
    """

    spans: Spans
    exporters: Mapping[Signal, OtlpSpans | OtlpLogs] = field(
        default_factory=dict[Signal, OtlpSpans | OtlpLogs]
    )
    redaction: Redaction = field(default_factory=lambda: Redaction(()))

    def sample(self, metrics: Metrics) -> Sample:
        """Give a sample of what was dropped."""
        told = dict.fromkeys(self.exporters, 0)

        async def sample() -> None:
            for signal, exporter in self.exporters.items():
                dropped = exporter.dropped
                metrics.add(TELEMETRY_DROPPED, signal.value, amount=dropped - told[signal])
                told[signal] = dropped

        return sample


@contextmanager
def open_telemetry(
    service: str,
    settings: ServiceSettings,
    environ: Mapping[str, str] | None = None,
    patience: Patience = Patience(),  # noqa: B008 - it cannot change
) -> Generator[Telemetry]:
    """Give where spans go, and hand the process' log lines over too where that is asked for.

    Neither opening nor leaving waits for the collector; what it has not taken within
    `patience.leave_s` of leaving is lost. OpenTelemetry is only imported where there is a
    collector.

    Raises:
        SettingsFault: a variable asks for what cannot be done here.
    """
    variables = os.environ if environ is None else environ
    spans_to = address_of(Signal.SPANS, settings, variables)
    logs_to = address_of(Signal.LOGS, settings, variables)
    about = {
        "service.namespace": "penstock",
        "service.name": service,
        "service.instance.id": settings.name,
    }
    redaction = Redaction(secrets_of(settings, variables))
    encoder = Encoder(about, redaction)
    exporters: dict[Signal, OtlpSpans | OtlpLogs] = {}
    spans: Spans = NoSpans()
    if spans_to is not None:
        sender = open_sender(Signal.SPANS, spans_to.protocol, spans_to.endpoint, patience.export_s)
        spans = exporters[Signal.SPANS] = OtlpSpans(
            sender, encoder, settings.trace_ratio, patience.leave_s
        )
    if logs_to is not None:
        sender = open_sender(Signal.LOGS, logs_to.protocol, logs_to.endpoint, patience.export_s)
        handler = exporters[Signal.LOGS] = OtlpLogs(sender, encoder, patience.leave_s)
        logging.getLogger().addHandler(handler)
    try:
        yield Telemetry(spans, exporters, redaction)
    finally:
        for exporter in exporters.values():
            exporter.leave()
        for exporter in exporters.values():
            if isinstance(exporter, OtlpLogs):
                logging.getLogger().removeHandler(exporter)
            exporter.close()
