"""Where an agent's secrets come from, at the last moment before it starts."""

from typing import Protocol


class Secrets(Protocol):
    """Gives the value of a named secret."""

    async def find(self, name: str) -> str | None:
        """Give the secret called `name`, or None if there is none here."""
        ...

    def places(self, name: str) -> str:
        """Say where `name` was looked for, for a person who has to provide it."""
        ...
