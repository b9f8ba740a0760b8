"""Typed input and output of the notifier."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from penstock_agent_notifier.addresses import checked_url
from penstock_agent_sdk.models import AgentModel

MAX_CHANNELS = 20
MAX_MESSAGE_CHARS = 16_000
MAX_TITLE_CHARS = 200
MAX_HEADERS = 16
MAX_ATTEMPTS = 5
MAX_BACKOFF_S = 5.0
MAX_RECIPIENTS = 50

Severity = Literal["info", "low", "medium", "high", "critical"]
RANK: dict[Severity, int] = {name: rank for rank, name in enumerate(get_args(Severity))}

HeaderText = Annotated[str, Field(max_length=2_000, pattern=r"^[\x20-\x7e]*$")]
HeaderName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9-]+$")]
Url = Annotated[str, Field(max_length=2_000), AfterValidator(checked_url)]
Mailbox = Annotated[str, Field(max_length=254, pattern=r"^[^@\s<>\x00-\x1f]+@[^@\s<>\x00-\x1f]+$")]
Host = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
Message = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARS)]


class _Channel(AgentModel):
    """What every channel may say of itself.

    Attributes:
        name: How the outcome is labelled; the default shows no credentials.
        message: Takes the place of the task's, for this channel.
        title: Likewise.
        severity_threshold: Messages below it are not sent here.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    message: Message | None = None
    title: Title | None = None
    severity_threshold: Severity = "info"


class ConsoleChannel(_Channel):
    """The task's own log."""

    type: Literal["console"]


class WebhookChannel(_Channel):
    """An HTTP receiver of JSON.

    Attributes:
        url: http or https; user information in it becomes basic authentication.
        headers: Sent as they are.
        signing_secret: `whsec_` and base64: each message is signed by Standard Webhooks.
    """

    type: Literal["webhook"]
    url: Url
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, max_length=MAX_HEADERS)
    signing_secret: Annotated[str, Field(pattern=r"^(whsec_)?[A-Za-z0-9+/]{24,}={0,2}$")] | None = (
        None
    )


class SlackChannel(_Channel):
    """Slack's incoming webhook: the address Slack gives out."""

    type: Literal["slack"]
    url: Annotated[Url, Field(pattern=r"^https://hooks\.slack(-gov)?\.com/")]


class TeamsChannel(_Channel):
    """Microsoft Teams: the address of a workflow that posts to a chat or channel."""

    type: Literal["teams"]
    url: Annotated[Url, Field(pattern=r"^https://[^/]+/.*workflows/.+[?&]sig=")]


class EmailChannel(_Channel):
    """Mail through a submission server.

    Attributes:
        host: Of the server.
        port: 587 with `starttls`, 465 with `tls` and 25 with `none`, unless given.
        security: `none` sends in the clear, and refuses to send a password so.
        user: Logs in with `password`; neither: no login.
        sender: Address in From, and of bounces.
        to: Recipients.
    """

    type: Literal["email"]
    host: Host
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, Field(max_length=254)] | None = None
    password: Annotated[str, Field(max_length=1_000)] | None = None
    sender: Mailbox
    to: Annotated[list[Mailbox], Field(min_length=1, max_length=MAX_RECIPIENTS)]


class ServiceChannel(_Channel):
    """Any service that apprise knows and reaches by HTTP, by apprise's own address."""

    type: Literal["apprise"]
    url: Annotated[str, Field(max_length=2_000, pattern=r"^[a-z][a-z0-9+]*://[^\s\x00-\x1f]+$")]


class BookedChannel(_Channel):
    """A channel of the channel book, by the name of its entry there."""

    type: Literal["booked"]
    entry: Annotated[str, Field(min_length=1, max_length=100)]


def _channel(value: object) -> object:
    """`console` alone stands for that, an address for a webhook, and any other word for a name."""
    if not isinstance(value, str):
        return value
    if value == "console":
        return {"type": "console"}
    if "://" in value:
        return {"type": "webhook", "url": value}
    return {"type": "booked", "entry": value}


SentChannel = WebhookChannel | SlackChannel | TeamsChannel | EmailChannel | ServiceChannel
PlainChannel = ConsoleChannel | SentChannel
Channel = Annotated[
    Annotated[PlainChannel | BookedChannel, Field(discriminator="type")],
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
        message: A template (`templating`).
        severity: Goes along with the message.
        context: Values for the template; sent to webhooks as it is.
        title: Optional headline, also a template.
        retry: Bounded; the workflow's own retry comes on top.
    """

    channels: Annotated[list[Channel], Field(min_length=1, max_length=MAX_CHANNELS)]
    message: Message
    severity: Severity = "info"
    context: dict[str, Any] = Field(default_factory=dict)
    title: Title = ""
    retry: Retry = Retry()


class Delivery(AgentModel):
    """The outcome of one channel; `detail` holds no credentials."""

    channel: str
    ok: bool
    detail: str


class NotifierOutput(AgentModel):
    """One entry per channel, in the order asked for."""

    delivered: list[Delivery]
