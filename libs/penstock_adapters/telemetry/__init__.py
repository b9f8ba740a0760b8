"""Spans and log records over OTLP; the only home of OpenTelemetry."""

from penstock_adapters.telemetry.opening import Telemetry, open_telemetry

__all__ = ["Telemetry", "open_telemetry"]
