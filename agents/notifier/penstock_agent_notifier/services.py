"""Slack, Teams and whatever else apprise reaches by HTTP."""

import logging
import re
import sys
import threading

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.plugins.base import NotifyBase

from penstock_agent_notifier.models import (
    ServiceChannel,
    Severity,
    SlackChannel,
    TeamsChannel,
)
from penstock_agent_notifier.outcomes import Outcome, of_status

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 6.0
_STATUS = re.compile(r"error=(\d{3})\b")
_TYPES: dict[Severity, NotifyType] = {
    "info": NotifyType.INFO,
    "low": NotifyType.INFO,
    "medium": NotifyType.WARNING,
    "high": NotifyType.WARNING,
    "critical": NotifyType.FAILURE,
}


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
    channel: SlackChannel | TeamsChannel | ServiceChannel,
    message: str,
    title: str,
    severity: Severity,
) -> Outcome:
    """Send one message to one service; redirects are not followed."""
    # What apprise was not asked for stays as it is: no global state, no files, no other channel.
    asset = AppriseAsset(async_mode=False, http_redirects=False, app_id="Penstock")
    plugin = Apprise.instantiate(channel.url, asset=asset, suppress_exceptions=True)
    if not isinstance(plugin, NotifyBase):
        return Outcome(False, "apprise cannot read this address")
    if not _by_http(plugin):
        return Outcome(False, "this service is not reached by HTTP, and nothing else leads out")
    plugin.socket_connect_timeout = CONNECT_TIMEOUT_S
    plugin.socket_read_timeout = READ_TIMEOUT_S
    logger = logging.getLogger("apprise")
    capture = _Capture()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(capture)
    try:
        sent = plugin.notify(
            body=message, title=title, notify_type=_TYPES[severity], body_format=NotifyFormat.TEXT
        )
    finally:
        logger.removeHandler(capture)
    return Outcome(True, "accepted") if sent else _refusal(" ".join(capture.lines))


def _by_http(plugin: NotifyBase) -> bool:
    """Whether its module uses requests, which goes by the proxy's variables."""
    return hasattr(sys.modules[type(plugin).__module__], "requests")


def _refusal(said: str) -> Outcome:
    match = _STATUS.search(said)
    if match is None:
        return Outcome(False, "connection failed", again=True)
    return of_status(int(match[1]))
