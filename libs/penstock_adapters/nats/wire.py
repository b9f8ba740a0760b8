"""Bytes of the NATS protocol: publishes, status lines, and the place named in a reply subject."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

CRLF = b"\r\n"
HEADER_START = "NATS/1.0\r\n"
ACK_PREFIX = b"$JS.ACK."
NO_RESPONDERS = 503

_STATUS_START = b"NATS/1.0 "
_SUBJECT = re.compile(r"[^\s\x00-\x1f\x7f]+")
_HEADER_VALUE = re.compile(r"[^\r\n]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORT_FORM_TOKENS = 9  # without domain and account hash
_LONG_FORM_SHIFT = 2
_INLINE_LIMIT_BYTES = 32 * 1024  # above this a payload is queued on its own instead of copied


class Place(NamedTuple):
    """Where a delivered message stands, as its reply subject says.

    Attributes:
        consumer: name of the consumer that delivered it.
        sequence: stream sequence.
        consumer_sequence: count of deliveries of that consumer, gap-free.
        time_us: server time, truncated to microseconds.
        pending: matching messages behind it at that time.
    """

    consumer: bytes
    sequence: int
    consumer_sequence: int
    time_us: int
    pending: int


@dataclass(frozen=True, slots=True)
class Status:
    """A status message of the server, with its headers (names in lower case)."""

    code: int
    text: str
    headers: dict[str, str]

    def number(self, name: str) -> int | None:
        """Give a header as a number; None if absent."""
        value = self.headers.get(name.lower())
        return int(value) if value is not None and value.isdigit() else None


def place_of(reply: bytes) -> Place:
    """Read `$JS.ACK.<stream>.<consumer>...` in its short and its long form.

    Raises:
        ValueError: not such a subject.
    """
    tokens = reply.split(b".")
    shift = 0 if len(tokens) == _SHORT_FORM_TOKENS else _LONG_FORM_SHIFT
    if len(tokens) < _SHORT_FORM_TOKENS + shift:
        raise ValueError("not the reply subject of a delivered message")
    return Place(
        tokens[3 + shift],
        int(tokens[5 + shift]),
        int(tokens[6 + shift]),
        int(tokens[7 + shift]) // 1000,
        int(tokens[8 + shift]),
    )


def status_of(headers: bytes | None) -> Status | None:
    """Read an inline status; None if the headers carry none.

    Trust it only on a message that came without a `$JS.ACK.` reply subject: a stored message may
    carry any header its publisher liked, this one included.
    """
    if headers is None or not headers.startswith(_STATUS_START):
        return None
    line, _, rest = headers[len(_STATUS_START) :].partition(CRLF)
    code = line[:3]
    if not code.isdigit():
        return None
    return Status(
        int(code),
        line[3:].strip().decode("utf-8", "replace"),
        {name.lower(): value for name, value in headers_of(HEADER_START.encode() + rest).items()},
    )


def headers_of(headers: bytes | None) -> dict[str, str]:
    """Read message headers; of a repeated name the last value counts."""
    if headers is None:
        return {}
    found: dict[str, str] = {}
    for line in headers.split(CRLF)[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found[name.strip().decode("utf-8", "replace")] = value.strip().decode(
                "utf-8", "replace"
            )
    return found


def header_block(headers: dict[str, str]) -> bytes:
    """Encode headers.

    Raises:
        ValueError: a value has a line break.
    """
    lines = [HEADER_START]
    for name, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"header {name} must be one line")
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode()


def checked_subject(subject: str) -> str:
    """Refuse a subject that would break the protocol's line.

    Raises:
        ValueError: it is empty, or has white space or control characters.
    """
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(f"not a subject: {subject!r}")
    return subject


def publish_parts(
    subject: str, reply: str, payload: bytes, headers: bytes | None
) -> tuple[bytes, ...]:
    """Encode one publish; `subject` has been checked."""
    if headers is None:
        head = f"PUB {subject} {reply} {len(payload)}\r\n".encode()
    else:
        size = len(headers)
        head = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n".encode() + headers
    if len(payload) > _INLINE_LIMIT_BYTES:
        return head, payload, CRLF
    return (head + payload + CRLF,)


def time_us_of(text: str) -> int:
    """Read an RFC 3339 time with up to nine digits of a second, truncated to microseconds.

    Raises:
        ValueError: not such a time.
    """
    delta = datetime.fromisoformat(text) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
