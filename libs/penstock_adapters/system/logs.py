"""Log lines as JSON objects, one a line, with the bound fields of the work they belong to."""

import logging
import sys
import traceback
from typing import TextIO

from pydantic_core import to_json

from penstock_contracts.records import time_text
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.telemetry.fields import bound_fields

MAX_TEXT_CHARS = 8 * 1024
"""Longest message or stack trace that is written; the middle of a longer one is dropped."""

_STANDARD = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}
)  # attributes every record has; whatever else stands there came through `extra`


class JsonFormatter(logging.Formatter):
    """Writes time, level, service, instance, logger, message, bound fields and extras."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._service = service
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """Give one line without newlines."""
        line: dict[str, object] = {
            "time": time_text(int(record.created * MICROSECONDS)),
            "level": record.levelname.lower(),
            "service": self._service,
            "instance": self._instance,
            "logger": record.name,
            "message": _short(record.getMessage()),
        }
        line.update(bound_fields())
        line.update(
            (name, value) for name, value in record.__dict__.items() if name not in _STANDARD
        )
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _short("".join(traceback.format_exception(record.exc_info[1])))
        return to_json(line, fallback=str).decode()


def _short(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]} ... {text[-half:]}"


def configure_logging(
    service: str, instance: str, level: str = "info", stream: TextIO | None = None
) -> None:
    """Send every log line of the process to `stream` (standard error) as JSON.

    Replaces what was configured before; foreign libraries stay at warning.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("penstock", *_packages(service)):
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(capture=True)


def _packages(service: str) -> tuple[str, ...]:
    own = "penstock_" + service.replace("-", "_")
    return own, "penstock_core", "penstock_runtime", "penstock_adapters", "penstock_cli"
