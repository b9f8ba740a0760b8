"""Ways to a collector: OpenTelemetry's own exporters, with requests that are encoded already.

They bring connections, TLS, compression, headers and the variables `OTEL_EXPORTER_OTLP_*`. One is
opened for each signal; the libraries of a protocol are only imported where it is asked for.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, cast


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a collector may take, in seconds.

    Attributes:
        export_s: for one export, its retries included.
        leave_s: for what is left when a service ends.
    """

    export_s: float = 2.0
    leave_s: float = 1.0


class Signal(StrEnum):
    """What is exported."""

    SPANS = "spans"
    LOGS = "logs"


class Protocols(StrEnum):
    """How: the values of `OTEL_EXPORTER_OTLP_PROTOCOL` that are spoken here."""

    GRPC = "grpc"
    HTTP = "http/protobuf"


PATHS: Final[Mapping[Signal, str]] = {Signal.SPANS: "/v1/traces", Signal.LOGS: "/v1/logs"}


class Sender(Protocol):
    """Sends encoded requests, each within `Patience.export_s`."""

    def send(self, request: bytes) -> bool:
        """Send, and tell whether the collector took it."""
        ...

    def close(self) -> None:
        """Hang up; ends the waiting between two tries."""
        ...


def open_sender(signal: Signal, protocol: Protocols, endpoint: str, export_s: float) -> Sender:
    """Open the way for one signal. It connects when it first sends.

    Args:
        signal: what is sent.
        protocol: how.
        endpoint: `http://host:4317`; of HTTP the whole address of this signal.
        export_s: how long one export may take, in seconds.
    """
    # Their logs would repeat each failed export; ours tell of the change.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    if protocol is Protocols.HTTP:
        # Their exporter's own session would read proxies and `.netrc` for each request.
        from penstock_adapters.telemetry.over_http import HttpSender  # noqa: PLC0415 - see above

        return cast("Sender", HttpSender(signal, endpoint, export_s))
    # gRPC's own handlers for fork would hold up each start of a sandbox.
    _ = os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    _ = os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # standard error is for our log lines
    from penstock_adapters.telemetry.over_grpc import open_grpc  # noqa: PLC0415 - see above

    return open_grpc(signal, endpoint, export_s)
