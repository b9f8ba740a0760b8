"""Where an agent's secrets come from, at the last moment before it starts."""

from typing import Final, Protocol

MIN_AGENT_SECRET_CHARS: Final = 8
"""Shorter ones are refused: in base64 they could not be told from ordinary text."""

MAX_SECRET_BYTES: Final = 64 * 1024


class SecretUnusable(Exception):
    """A secret is there and cannot be given; the message says why, and nothing of its value."""


class Secrets(Protocol):
    """Gives the value of a named secret."""

    async def find(self, name: str) -> str | None:
        """Give the secret called `name`, or None if there is none here.

        Raises:
            SecretUnusable: it is there, and cannot be read as a text of at most
                `MAX_SECRET_BYTES`.
        """
        ...

    def places(self, name: str) -> str:
        """Say where `name` was looked for, for a person who has to provide it."""
        ...
