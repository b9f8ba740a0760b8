"""The channel book: addresses and their credentials, which no workflow has to know.

It is the secret `notifier-channels`: a JSON object from names to channels, such as
`{"on-call": {"type": "slack", "url": "https://hooks.slack.com/services/.."}}`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from penstock_agent_notifier.models import BookedChannel, Channel, PlainChannel
from penstock_agent_sdk import AgentError

VARIABLE = "NOTIFIER_CHANNELS"
MAX_BYTES = 64 * 1024
_CHANNEL: TypeAdapter[PlainChannel | BookedChannel] = TypeAdapter(Channel)


@dataclass(frozen=True, slots=True)
class Book:
    """Channels by name; read when one of them is asked for."""

    text: str | None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Book":
        """Take the book out of the environment, where the executor puts secrets."""
        return cls(environment.get(VARIABLE))

    def channel(self, asked: BookedChannel) -> PlainChannel:
        """Look up a channel; what the task says of it goes before what the book says.

        Raises:
            AgentError: `no_channel_book` or `bad_channel_book`: there is none, or it cannot be
                read; `no_such_channel`. No message shows what the book holds.
        """
        entries = self._entries()
        if asked.entry not in entries:
            raise AgentError("no_such_channel", f"the channel book has no {asked.entry!r}")
        try:
            found = _CHANNEL.validate_python(entries[asked.entry])
        except ValidationError as error:
            parts = {".".join(str(part) for part in item["loc"][1:]) for item in error.errors()}
            wrong = ", ".join(sorted(part for part in parts if part)) or "type"
            raise _bad(f"entry {asked.entry!r} is wrong in: {wrong}") from None
        if isinstance(found, BookedChannel):
            raise _bad(f"entry {asked.entry!r} names another entry")
        said = asked.model_dump(exclude={"type", "entry"}, exclude_unset=True)
        return found.model_copy(update={"name": found.name or asked.entry, **said})

    def _entries(self) -> Mapping[str, object]:
        if self.text is None:
            raise AgentError(
                "no_channel_book",
                "channels are named, and there is no channel book: provide the secret "
                "notifier-channels to the executor and grant it to the notifier",
            )
        if len(self.text.encode()) > MAX_BYTES:
            raise _bad(f"it has more than {MAX_BYTES} bytes")
        try:
            entries: object = json.loads(self.text)
        except (ValueError, RecursionError):
            raise _bad("it is not JSON") from None
        if not isinstance(entries, dict):
            raise _bad("it is not a JSON object from names to channels")
        return entries


def _bad(fault: str) -> AgentError:
    return AgentError("bad_channel_book", f"the channel book cannot be used: {fault}")
