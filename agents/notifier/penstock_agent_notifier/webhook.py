"""The webhook channel, sent by apprise's JSON plugin.

Apprise's own body is `{version, title, message, attachments, type}`. Its plugin lets a caller
drop and add fields when it is built directly instead of from a `json://` URL (where every value
would be a string), so a receiver gets `{title?, message, severity, context}`.
"""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from apprise import AppriseAsset, NotifyFormat, NotifyType
from apprise.plugins.custom_json import NotifyJSON

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 6.0
USER_AGENT = "Penstock"
_STATUS = re.compile(r"error=(\d{3})\b")
# What a receiver says about itself and may change its mind on; every other 4xx is final.
_PASSING = frozenset({408, 425, 429})
_TYPES = {
    "info": NotifyType.INFO,
    "low": NotifyType.INFO,
    "medium": NotifyType.WARNING,
    "high": NotifyType.WARNING,
    "critical": NotifyType.FAILURE,
}


@dataclass(frozen=True)
class Outcome:
    """How one try ended; `again` says whether another may end better."""

    ok: bool
    detail: str
    again: bool = False


class _Capture(logging.Handler):
    """Keeps what apprise says on this thread; its return value is only true or false."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._thread = threading.get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


def send(
    url: str, body: Mapping[str, object], headers: Mapping[str, str], severity: str
) -> Outcome:
    """One POST of `body`, which must have `message` and may have `title`.

    Redirects are not followed: they would let a receiver choose the next address.
    """
    plugin = _plugin(url, body, headers)
    logger = logging.getLogger("apprise")
    capture = _Capture()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(capture)
    try:
        sent = plugin.notify(
            body=str(body["message"]),
            title=str(body.get("title", "")),
            notify_type=_TYPES[severity],
            body_format=NotifyFormat.TEXT,
        )
    finally:
        logger.removeHandler(capture)
    return Outcome(True, "accepted") if sent else _refusal(" ".join(capture.lines))


def _plugin(url: str, body: Mapping[str, object], headers: Mapping[str, str]) -> NotifyJSON:
    parts = urlsplit(url)
    fields: dict[str, object] = {"version": "", "attachments": "", "type": ""}
    fields |= {key: value for key, value in body.items() if key not in ("title", "message")}
    if not body.get("title"):
        fields["title"] = ""  # an empty value drops the field
    plugin = NotifyJSON(
        secure=parts.scheme == "https",
        host=f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        fullpath=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        headers={"User-Agent": USER_AGENT, **headers},
        payload=fields,
        redirect="no",
        asset=AppriseAsset(async_mode=False),
    )
    plugin.socket_connect_timeout = CONNECT_TIMEOUT_S
    plugin.socket_read_timeout = READ_TIMEOUT_S
    return plugin


def _refusal(said: str) -> Outcome:
    match = _STATUS.search(said)
    if match is None:
        return Outcome(False, "connection failed", again=True)
    status = int(match[1])
    if status < 400:
        return Outcome(False, f"HTTP {status} (redirects are not followed)")
    return Outcome(False, f"HTTP {status}", again=status >= 500 or status in _PASSING)
