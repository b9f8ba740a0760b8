"""Opening the export of spans, where the settings or OpenTelemetry's own variables name one."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

from pydantic import SecretStr

from penstock_adapters.telemetry.redaction import Redaction
from penstock_runtime.settings import ServiceSettings
from penstock_runtime.telemetry.spans import NoSpans, Spans

STANDARD_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SECRET_PREFIX: Final = "PENSTOCK_SECRET_"  # noqa: S105 - a variable's name


@contextmanager
def open_spans(
    service: str, settings: ServiceSettings, environ: Mapping[str, str] | None = None
) -> Generator[Spans]:
    """Give where spans go: to the collector that is named, or nowhere.

    Neither opening nor leaving waits for the collector; what it has not taken within a second of
    leaving is lost. OpenTelemetry is only imported where there is a collector.
    """
    variables = os.environ if environ is None else environ
    endpoint = settings.otlp_endpoint or variables.get(STANDARD_VARIABLE, "")
    if not endpoint:
        yield NoSpans()
        return
    # gRPC's own handlers for fork would hold up each start of a sandbox.
    _ = os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    _ = os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # standard error is for our log lines
    from penstock_adapters.telemetry.otlp import OtlpSpans  # noqa: PLC0415 - see above

    redaction = Redaction(_secrets(settings, variables))
    spans = OtlpSpans(endpoint, service, settings.name, settings.trace_ratio, redaction)
    try:
        yield spans
    finally:
        spans.close()


def _secrets(settings: ServiceSettings, environ: Mapping[str, str]) -> list[str]:
    """Give every secret that this process knows from its settings."""
    values: list[object] = [getattr(settings, name) for name in type(settings).model_fields]
    own = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    return own + [value for name, value in environ.items() if name.startswith(_SECRET_PREFIX)]
