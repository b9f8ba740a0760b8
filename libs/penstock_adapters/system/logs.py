"""Log lines as JSON objects, one a line, with the bound fields of the work they belong to."""

import logging
import sys
import traceback
from typing import TextIO, cast

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from penstock_contracts.records import time_text
from penstock_contracts.values import MICROSECONDS
from penstock_core.redaction import Redactor
from penstock_runtime.telemetry.fields import bound_fields

MAX_TEXT_CHARS = 8 * 1024
"""Longest message or stack trace that is written; the middle of a longer one is dropped."""

LEARNED_MAX = 1_000
"""Secrets that are looked for in every line; they come and go while a process lives."""

_STANDARD = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}
)  # attributes every record has; whatever else stands there came through `extra`


class JsonFormatter(logging.Formatter):
    """Writes time, level, service, instance, logger, message, bound fields and extras."""

    def __init__(self, service: str, instance: str, redact: Redactor | None = None) -> None:
        super().__init__()
        self._service = service
        self._instance = instance
        self._redact = redact or Redactor(())

    def learn(self, secret: str) -> None:
        """Keep a further secret out of every line from here on."""
        self._redact = self._redact.also(secret, LEARNED_MAX)

    def format(self, record: logging.LogRecord) -> str:
        """Give one line without newlines."""
        line: dict[str, object] = {
            "time": time_text(int(record.created * MICROSECONDS)),
            "level": record.levelname.lower(),
            "service": self._service,
            "instance": self._instance,
            "logger": record.name,
            "message": shortened(record.getMessage()),
        }
        line.update(fields_of(record))
        fault = fault_of(record)
        if fault:
            line["error"] = fault
        written = to_json(line, fallback=str).decode()
        if self._redact.finds(written):
            cleaned = self._redact.value(cast("JsonValue", from_json(written)))
            written = to_json(cleaned).decode()
        return written


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Give the bound fields of a line and what came through `extra`."""
    fields: dict[str, object] = dict(bound_fields())
    fields.update((name, it) for name, it in record.__dict__.items() if name not in _STANDARD)
    return fields


def fault_of(record: logging.LogRecord) -> str:
    """Give the stack trace of a line's exception; "" if it has none."""
    if record.exc_info is None or record.exc_info[1] is None:
        return ""
    return shortened("".join(traceback.format_exception(record.exc_info[1])))


def shortened(text: str) -> str:
    """Drop the middle of a long text."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]} ... {text[-half:]}"


def configure_logging(
    service: str,
    instance: str,
    level: str = "info",
    stream: TextIO | None = None,
    redact: Redactor | None = None,
) -> None:
    """Send every log line of the process to `stream` (standard error) as JSON.

    Replaces what was configured before; foreign libraries stay at warning. What `redact` knows is
    in no line.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("penstock", *_packages(service)):
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(capture=True)


def learn_secret(secret: str) -> None:
    """Keep a secret that became known just now out of what `configure_logging` has set up."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.formatter.learn(secret)


def _packages(service: str) -> tuple[str, ...]:
    own = "penstock_" + service.replace("-", "_")
    return own, "penstock_core", "penstock_runtime", "penstock_adapters", "penstock_cli"
