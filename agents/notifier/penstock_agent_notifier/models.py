"""Typed input and output of the notifier."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from penstock_agent_notifier.addresses import checked_url
from penstock_agent_sdk.models import AgentModel

MAX_CHANNELS = 20
MAX_MESSAGE_CHARS = 16_000
MAX_TITLE_CHARS = 200
MAX_HEADERS = 16
MAX_ATTEMPTS = 5
MAX_BACKOFF_S = 5.0

Severity = Literal["info", "low", "medium", "high", "critical"]
HeaderText = Annotated[str, Field(max_length=2_000, pattern=r"^[\x20-\x7e]*$")]
HeaderName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9-]+$")]


class ConsoleChannel(AgentModel):
    """The task's own log."""

    type: Literal["console"]


class WebhookChannel(AgentModel):
    """An HTTP receiver of JSON.

    Attributes:
        url: http or https; user information in it becomes basic authentication.
        name: How the outcome is labelled; default is the address without path and credentials.
        headers: Sent as they are.
    """

    type: Literal["webhook"]
    url: Annotated[str, Field(max_length=2_000), AfterValidator(checked_url)]
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, max_length=MAX_HEADERS)


def _channel(value: object) -> object:
    """`console` alone stands for `{type: console}`, an address alone for a webhook."""
    if value == "console":
        return {"type": "console"}
    if isinstance(value, str):
        return {"type": "webhook", "url": value}
    return value


Channel = Annotated[
    Annotated[ConsoleChannel | WebhookChannel, Field(discriminator="type")],
    BeforeValidator(_channel),
]


class Retry(AgentModel):
    """Tries per channel, waiting `backoff_s`, then twice that, and so on."""

    attempts: int = Field(default=3, ge=1, le=MAX_ATTEMPTS)
    backoff_s: float = Field(default=0.5, ge=0, le=MAX_BACKOFF_S)


class NotifierInput(AgentModel):
    """What to say, to whom.

    Attributes:
        channels: At least one.
        message: A template: `{name}` is replaced by that entry of `context`.
        severity: Goes along with the message.
        context: Values for the template; sent to webhooks as it is.
        title: Optional headline, also a template.
        retry: Bounded; the workflow's own retry comes on top.
    """

    channels: Annotated[list[Channel], Field(min_length=1, max_length=MAX_CHANNELS)]
    message: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]
    severity: Severity = "info"
    context: dict[str, Any] = Field(default_factory=dict)
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] = ""
    retry: Retry = Retry()


class Delivery(AgentModel):
    """The outcome of one channel; `detail` holds no credentials."""

    channel: str
    ok: bool
    detail: str


class NotifierOutput(AgentModel):
    """One entry per channel, in the order asked for."""

    delivered: list[Delivery]
