"""Where each signal is exported to, and how.

A variable of OpenTelemetry for the one signal comes first, then our setting, then its variable for
all signals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock_adapters.telemetry.senders import PATHS, Protocols, Signal
from penstock_runtime.settings import ServiceSettings, SettingsFault

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_NAMES: Final[Mapping[Signal, str]] = {Signal.SPANS: "TRACES", Signal.LOGS: "LOGS"}
_NONE: Final = "none"
_OTLP: Final = "otlp"


@dataclass(frozen=True, slots=True)
class Address:
    """A collector's address and the protocol that is spoken there."""

    endpoint: str
    protocol: Protocols


def address_of(
    signal: Signal, settings: ServiceSettings, environ: Mapping[str, str]
) -> Address | None:
    """Give where a signal is sent; None: nowhere.

    Spans are sent where there is an address and `OTEL_TRACES_EXPORTER` is not `none`; logs only
    where they are asked for, by the setting or by `OTEL_LOGS_EXPORTER=otlp`.

    Raises:
        SettingsFault: a variable asks for what cannot be done here.
    """
    name = _NAMES[signal]
    selector = f"OTEL_{name}_EXPORTER"
    asked = environ.get(selector, "") or (
        _OTLP if signal is Signal.SPANS or settings.otlp_logs else _NONE
    )
    if asked == _NONE:
        return None
    if asked != _OTLP:
        raise SettingsFault((f"{selector}: otlp or none, not another exporter",))
    protocol = _protocol(name, environ)
    own = environ.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT", "")
    base = settings.otlp_endpoint or environ.get(ENDPOINT, "")
    if own:  # of one signal alone: more to the point than our own setting
        return Address(own, protocol)
    if not base:
        return None
    whole = base.rstrip("/") + PATHS[signal] if protocol is Protocols.HTTP else base
    return Address(whole, protocol)


def _protocol(name: str, environ: Mapping[str, str]) -> Protocols:
    variable = f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL"
    asked = environ.get(variable, "") or environ.get(PROTOCOL, "") or Protocols.GRPC
    try:
        return Protocols(asked)
    except ValueError:
        spoken = " or ".join(Protocols)
        raise SettingsFault((f"{variable} or {PROTOCOL}: {spoken}, no other",)) from None
