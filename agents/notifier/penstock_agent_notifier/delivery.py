"""Every channel gets its tries; one failing does not hold up another."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from penstock_agent_notifier import console
from penstock_agent_notifier.addresses import redacted, shown
from penstock_agent_notifier.models import (
    Channel,
    ConsoleChannel,
    Delivery,
    NotifierInput,
    NotifierOutput,
    Retry,
    WebhookChannel,
)
from penstock_agent_notifier.templating import render
from penstock_agent_sdk import AgentError, progress

MAX_PARALLEL = 8
MAX_FAILURE_CHARS = 1_000


class Outcome(Protocol):
    """What one try reports."""

    @property
    def ok(self) -> bool:
        """Whether the receiver took the message."""
        ...

    @property
    def detail(self) -> str:
        """Why, in a few words."""
        ...

    @property
    def again(self) -> bool:
        """Whether another try may end better."""
        ...


Sender = Callable[[str, Mapping[str, object], Mapping[str, str], str], Outcome]


def deliver(
    task: NotifierInput,
    sender: Callable[[], Sender],
    *,
    idempotency_key: str | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> NotifierOutput:
    """Send one message through all its channels.

    Args:
        task: The validated input.
        sender: Opens the network and gives the webhook sender; called once, and only when a
            webhook is among the channels.
        idempotency_key: Sent to webhooks, so that a repeated task can be told from a new one.
        pause: Waits between tries.

    Raises:
        AgentError: `not_delivered`, retryable, when no channel succeeded.
    """
    message, missing = render(task.message, task.context)
    title, missing_too = render(task.title, task.context)
    for name in sorted({*missing, *missing_too}):
        progress(f"no value for placeholder {{{name}}}; left as it is")
    body: dict[str, object] = {"message": message, "severity": task.severity}
    body |= {"title": title} if title else {}
    body["context"] = task.context
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    send, refusal = _opened(task, sender)

    def one(channel: Channel) -> Delivery:
        if isinstance(channel, ConsoleChannel):
            done = console.write(message, task.severity, title)
            return Delivery(channel="console", ok=True, detail=done)
        if send is None:
            return Delivery(channel=label(channel), ok=False, detail=refusal)
        return _webhook(channel, body, headers, task, send, pause)

    with ThreadPoolExecutor(max_workers=min(MAX_PARALLEL, len(task.channels))) as pool:
        delivered = list(pool.map(one, task.channels))
    _demand_one(delivered)
    return NotifierOutput(delivered=delivered)


def label(channel: WebhookChannel) -> str:
    """How a webhook is named in outcomes."""
    return channel.name or f"webhook {shown(channel.url)}"


def _opened(task: NotifierInput, sender: Callable[[], Sender]) -> tuple[Sender | None, str]:
    if not any(isinstance(channel, WebhookChannel) for channel in task.channels):
        return None, ""
    try:
        return sender(), ""
    except AgentError as failure:
        return None, failure.message


def _webhook(
    channel: WebhookChannel,
    body: Mapping[str, object],
    headers: Mapping[str, str],
    task: NotifierInput,
    send: Sender,
    pause: Callable[[float], None],
) -> Delivery:
    """Up to `attempts` tries; a final refusal ends them early."""
    retry: Retry = task.retry
    detail = ""
    for attempt in range(1, retry.attempts + 1):
        outcome = send(channel.url, body, {**headers, **channel.headers}, task.severity)
        tries = "" if attempt == 1 else f" (try {attempt})"
        detail = redacted(outcome.detail, channel.url) + tries
        if outcome.ok or not outcome.again:
            return Delivery(channel=label(channel), ok=outcome.ok, detail=detail)
        if attempt < retry.attempts:
            pause(retry.backoff_s * 2 ** (attempt - 1))
    return Delivery(channel=label(channel), ok=False, detail=detail)


def _demand_one(delivered: list[Delivery]) -> None:
    if any(entry.ok for entry in delivered):
        return
    reasons = "; ".join(f"{entry.channel}: {entry.detail}" for entry in delivered)
    raise AgentError("not_delivered", reasons[:MAX_FAILURE_CHARS], retryable=True)
