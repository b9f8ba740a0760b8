"""What an agent says in lines of a form of its own: how far it is, and what it has found so far.

    ::penstock-progress {"fraction": 0.5, "text": "half way"}
    ::penstock-partial {"findings": []}

on standard output. Both are for people: neither is ever believed as the output. A partial result
stands beside the failure of an agent that did not come to its own end.
"""

from dataclasses import dataclass, replace
from typing import Literal, cast

from pydantic_core import from_json, to_json

from penstock_contracts.codes import Code
from penstock_contracts.values import JsonObject
from penstock_executor.outcomes import Ending
from penstock_executor.redaction import Redactor
from penstock_runtime.ports.sandbox import LOG_LINE_BYTES, LogLine

PROGRESS, PARTIAL = "progress", "partial"
PREFIXES = {"::penstock-progress ": PROGRESS, "::penstock-partial ": PARTIAL}
PIECE_BYTES = LOG_LINE_BYTES - 3  # from here on it may be a piece of a longer line
MAX_PARTIAL_BYTES = 16 * 1024  # of the JSON, as it was written and as it is kept
MAX_TEXT_CHARS = 500  # of progress
# Agents that came to their own end have said what they have to say in their output.
_OWN_END = frozenset({Code.AGENT_FAILED, Code.INVALID_OUTPUT})

Kind = Literal["stdout", "stderr", "progress", "partial"]


@dataclass(frozen=True, slots=True)
class Said:
    """One such line, redacted; without a value it could not be taken, and `text` says why."""

    kind: Kind
    text: str
    value: JsonObject | None = None


class Sayings:
    """Tells such lines from ordinary ones, and puts together what came in pieces."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._kind: str | None = None  # of the line whose next piece is awaited
        self._pieces: list[str] = []
        self._bytes = 0

    def take(self, line: LogLine) -> Said | bool:
        """Give what a line says; True: more of it will come; False: it is an ordinary line."""
        if line.stream != "stdout":
            return False
        if self._kind is None:
            for prefix, kind in PREFIXES.items():
                if line.text.startswith(prefix):
                    self._kind = kind
                    return self._append(line.text.removeprefix(prefix), line.text)
            return False
        return self._append(line.text, line.text)

    def _append(self, text: str, piece: str) -> Said | bool:
        self._bytes += len(text.encode())
        if self._bytes <= MAX_PARTIAL_BYTES:  # beyond it nothing is kept but the count
            self._pieces.append(text)
        if len(piece.encode()) >= PIECE_BYTES and _object("".join(self._pieces)) is None:
            return True  # a whole object is never the beginning of another one
        kind, raw, size = self._kind, "".join(self._pieces), self._bytes
        self._kind, self._pieces, self._bytes = None, [], 0
        if size > MAX_PARTIAL_BYTES:
            why = f"{kind} of {size} bytes was dropped: {MAX_PARTIAL_BYTES} are allowed"
            return Said("stderr", why)
        return self._progress(raw) if kind == PROGRESS else self._partial(raw)

    def _progress(self, raw: str) -> Said:
        value = _object(raw)
        if value is None:
            return Said("stderr", "progress was dropped: it is no JSON object")
        fraction, text = value.get("fraction"), value.get("text")
        known = isinstance(fraction, int | float) and not isinstance(fraction, bool)
        told: JsonObject = {
            "fraction": min(1.0, max(0.0, float(cast("float", fraction)))) if known else None,
            "text": self._redact.text(text)[:MAX_TEXT_CHARS] if isinstance(text, str) else "",
        }
        return Said("progress", to_json(told).decode(), told)

    def _partial(self, raw: str) -> Said:
        value = _object(raw)
        if value is None:
            return Said("stderr", "partial was dropped: it is no JSON object")
        value = cast("JsonObject", self._redact.value(value))
        text = to_json(value).decode()
        if len(text.encode()) > MAX_PARTIAL_BYTES:
            return Said("stderr", f"partial was dropped: {MAX_PARTIAL_BYTES} bytes are allowed")
        return Said("partial", text, value)


def with_partial(ending: Ending, partial: JsonObject | None) -> Ending:
    """Lay what an agent had so far beside the failure that ended it before its time."""
    error = ending.error
    if partial is None or error is None or error.code in _OWN_END:
        return ending
    return replace(ending, error=error.model_copy(update={"partial": partial}))


def _object(raw: str) -> JsonObject | None:
    try:
        value: object = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None
