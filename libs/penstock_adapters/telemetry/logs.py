"""Log lines as OTLP log records, with the trace they belong to."""

import logging
import re
from typing import Final

from pydantic_core import to_json

from penstock_adapters.system.logs import fault_of, fields_of, shortened
from penstock_adapters.telemetry.encoding import Encoder, Record
from penstock_adapters.telemetry.exporting import Exporting
from penstock_adapters.telemetry.senders import Sender, Signal
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.telemetry.spans import AttributeValue
from penstock_runtime.telemetry.trace import TraceContext

ATTRIBUTES_MAX: Final = 64  # of one record
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}")
# OpenTelemetry's numbers of Python's levels; what lies between counts as the one below it.
_SEVERITIES: Final = (
    (logging.CRITICAL, 21),
    (logging.ERROR, 17),
    (logging.WARNING, 13),
    (logging.INFO, 9),
    (logging.DEBUG, 5),
)
_TRACE: Final = 1


class OtlpLogs(logging.Handler):
    """A handler whose records go to a collector; one that does not answer costs records alone."""

    def __init__(self, sender: Sender, encoder: Encoder, leave_s: float) -> None:
        """Send through `sender`, what is left within `leave_s`."""
        super().__init__()
        self._exporting = Exporting(Signal.LOGS, sender, encoder.records, leave_s)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never waits."""
        try:
            told = _record(record)
        except Exception:  # noqa: BLE001 - a boundary: arguments that do not fit their message
            self.handleError(record)
        else:
            self._exporting.put(told)

    @property
    def dropped(self) -> int:
        """How many records no collector took."""
        return self._exporting.dropped

    def leave(self) -> None:
        """Begin to end."""
        self._exporting.leave()

    def close(self) -> None:
        """Send what is left, within `leave_s`."""
        self._exporting.close()
        super().close()


def _record(record: logging.LogRecord) -> Record:
    fields = fields_of(record)
    place = _place(fields.pop("trace", None), fields.pop("span", None))
    about: dict[str, AttributeValue] = {"logger": record.name}
    for name, value in list(fields.items())[:ATTRIBUTES_MAX]:
        if value is not None:
            about[name] = value if isinstance(value, AttributeValue) else _text(value)
    fault = fault_of(record)
    if record.exc_info and record.exc_info[0] is not None:
        about["exception.type"] = record.exc_info[0].__qualname__
    message = shortened(record.getMessage())
    return Record(
        at_us=int(record.created * MICROSECONDS),
        severity=next((number for level, number in _SEVERITIES if record.levelno >= level), _TRACE),
        level=record.levelname.lower(),
        message=f"{message}\n{fault}" if fault else message,
        attributes=about,
        place=place,
    )


def _text(value: object) -> str:
    return to_json(value, fallback=str).decode()


def _place(trace: object, span: object) -> TraceContext | None:
    if not isinstance(trace, str) or _TRACE_ID.fullmatch(trace) is None:
        return None
    known = isinstance(span, str) and _SPAN_ID.fullmatch(span) is not None
    return TraceContext(trace, span if isinstance(span, str) and known else "")
