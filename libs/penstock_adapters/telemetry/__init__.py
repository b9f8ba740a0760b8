"""Spans over OTLP; the only home of OpenTelemetry."""

from penstock_adapters.telemetry.opening import open_spans

__all__ = ["open_spans"]
