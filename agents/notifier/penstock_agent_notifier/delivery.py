"""Every channel gets its tries; one failing does not hold up another."""

import hashlib
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from penstock_agent_notifier import console
from penstock_agent_notifier.addresses import redacted, shown
from penstock_agent_notifier.book import Book
from penstock_agent_notifier.models import (
    RANK,
    BookedChannel,
    Channel,
    ConsoleChannel,
    Delivery,
    EmailChannel,
    NotifierInput,
    NotifierOutput,
    PlainChannel,
    SentChannel,
    ServiceChannel,
)
from penstock_agent_notifier.outcomes import Outcome
from penstock_agent_notifier.templating import Values, render
from penstock_agent_sdk import AgentError, progress

MAX_PARALLEL = 8
MAX_FAILURE_CHARS = 1_000
MAX_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """What one channel is sent; `message_id` is the same for each try, in hexadecimal digits."""

    message: str
    title: str
    message_id: str


class Sender(Protocol):
    """Sends one letter once."""

    def __call__(self, channel: SentChannel, letter: Letter, task: NotifierInput) -> Outcome:
        """Send, or say why not.

        Raises:
            AgentError: What the task or the book says of the channel cannot be used.
        """
        ...


def deliver(
    task: NotifierInput,
    sender: Callable[[], Sender],
    *,
    book: Book | None = None,
    about: Values | None = None,
    idempotency_key: str | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> NotifierOutput:
    """Send one message through all its channels.

    Args:
        task: The validated input.
        sender: Opens the network; called once, and only when a channel needs it.
        book: Where named channels are looked up.
        about: Values that templates may use besides the context, such as the run's id.
        idempotency_key: Tells a repeated task from a new one; message ids derive from it.
        pause: Waits between tries.

    Raises:
        AgentError: `not_delivered`, retryable, when no channel succeeded.
    """
    looked_up = [_looked_up(channel, book or Book(None)) for channel in task.channels]
    values = {**(about or {}), "severity": task.severity, **task.context}
    letters = [
        _letter(task, channel, values, f"{idempotency_key or uuid.uuid4()}/{number}")
        for number, channel in enumerate(looked_up)
    ]
    send, refusal = _opened(looked_up, sender)

    def one(channel: PlainChannel | Delivery, letter: Letter) -> Delivery:
        if isinstance(channel, Delivery):
            return channel
        if RANK[task.severity] < RANK[channel.severity_threshold]:
            said = f"not sent: below {channel.severity_threshold}"
            return Delivery(channel=label(channel), ok=True, detail=said)
        if isinstance(channel, ConsoleChannel):
            done = console.write(letter.message, task.severity, letter.title)
            return Delivery(channel=label(channel), ok=True, detail=done)
        if send is None:
            return Delivery(channel=label(channel), ok=False, detail=refusal)
        return _tried(channel, letter, task, send, pause)

    with ThreadPoolExecutor(max_workers=min(MAX_PARALLEL, len(looked_up))) as pool:
        delivered = list(pool.map(one, looked_up, letters))
    _demand_one(delivered)
    return NotifierOutput(delivered=delivered)


def label(channel: PlainChannel) -> str:
    """How a channel is named in outcomes."""
    if channel.name:
        return channel.name
    match channel:
        case ConsoleChannel():
            return "console"
        case EmailChannel():
            return f"email by {channel.host}"
        case ServiceChannel():
            return f"apprise {channel.url.partition('://')[0]}"
        case _:
            return f"{channel.type} {shown(channel.url)}"


def _looked_up(channel: Channel, book: Book) -> PlainChannel | Delivery:
    """A channel, or why there is none: others still get their message."""
    if not isinstance(channel, BookedChannel):
        return channel
    try:
        return book.channel(channel)
    except AgentError as failure:
        return Delivery(channel=channel.name or channel.entry, ok=False, detail=failure.message)


def _letter(
    task: NotifierInput, channel: PlainChannel | Delivery, values: Values, key: str
) -> Letter:
    message, title = task.message, task.title
    if not isinstance(channel, Delivery):
        message = message if channel.message is None else channel.message
        title = title if channel.title is None else channel.title
    text, missing = render(message, values)
    head, missing_too = render(title, values)
    for name in sorted({*missing, *missing_too}):
        progress(f"no value for placeholder {{{name}}}; left as it is")
    return Letter(text, head, hashlib.sha256(key.encode()).hexdigest()[:32])


def _opened(
    channels: list[PlainChannel | Delivery], sender: Callable[[], Sender]
) -> tuple[Sender | None, str]:
    if all(isinstance(channel, ConsoleChannel | Delivery) for channel in channels):
        return None, ""
    try:
        return sender(), ""
    except AgentError as failure:
        return None, failure.message


def _tried(
    channel: SentChannel,
    letter: Letter,
    task: NotifierInput,
    send: Sender,
    pause: Callable[[float], None],
) -> Delivery:
    """Up to `attempts` tries; a final refusal ends them early."""
    retry, detail = task.retry, ""
    for attempt in range(1, retry.attempts + 1):
        try:
            outcome = send(channel, letter, task)
        except AgentError as failure:
            outcome = Outcome(False, failure.message, again=failure.retryable)
        tries = "" if attempt == 1 else f" (try {attempt})"
        detail = _hidden(outcome.detail, channel) + tries
        if outcome.ok or not outcome.again:
            return Delivery(channel=label(channel), ok=outcome.ok, detail=detail)
        if attempt < retry.attempts:
            wait_s = max(retry.backoff_s * 2 ** (attempt - 1), outcome.wait_s)
            pause(min(wait_s, MAX_WAIT_S))
    return Delivery(channel=label(channel), ok=False, detail=detail)


def _hidden(detail: str, channel: SentChannel) -> str:
    return detail if isinstance(channel, EmailChannel) else redacted(detail, channel.url)


def _demand_one(delivered: list[Delivery]) -> None:
    if any(entry.ok for entry in delivered):
        return
    reasons = "; ".join(f"{entry.channel}: {entry.detail}" for entry in delivered)
    raise AgentError("not_delivered", reasons[:MAX_FAILURE_CHARS], retryable=True)
