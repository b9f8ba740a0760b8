"""From a channel to what sends through it. Imported only when something is sent."""

from datetime import UTC, datetime

from penstock_agent_notifier.delivery import Letter
from penstock_agent_notifier.models import (
    EmailChannel,
    NotifierInput,
    SentChannel,
    WebhookChannel,
)
from penstock_agent_notifier.outcomes import Outcome


def send(channel: SentChannel, letter: Letter, task: NotifierInput) -> Outcome:
    """Send one letter once; each kind of channel imports its own library."""
    match channel:
        case WebhookChannel():
            from penstock_agent_notifier import webhook  # noqa: PLC0415

            now = datetime.now(UTC)
            return webhook.send(channel, body_of(letter, task), letter.message_id, now)
        case EmailChannel():
            from penstock_agent_notifier import mail  # noqa: PLC0415

            return mail.send(
                channel, letter.message, letter.title, task.severity, letter.message_id
            )
        case _:
            from penstock_agent_notifier import services  # noqa: PLC0415

            return services.send(channel, letter.message, letter.title, task.severity)


def body_of(letter: Letter, task: NotifierInput) -> dict[str, object]:
    """Give what a webhook receives."""
    body: dict[str, object] = {"title": letter.title} if letter.title else {}
    return body | {"message": letter.message, "severity": task.severity, "context": task.context}
