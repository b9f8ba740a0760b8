"""Executors make themselves known; nothing relies on it but people and autoscalers."""

import logging
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

_log = logging.getLogger(__name__)


class Heartbeats(Protocol):
    """Where executors say that they live."""

    async def put(self, name: str, value: Mapping[str, JsonValue]) -> None:
        """Replace the entry of `name`.

        Raises:
            TransientFault: the server does not answer.
        """
        ...

    async def remove(self, name: str) -> None:
        """Drop the entry of `name`, at a graceful stop.

        Raises:
            TransientFault: the server does not answer.
        """
        ...


class HeartbeatReader(Protocol):
    """Who lives, for those who may read it."""

    async def entries(self) -> Mapping[str, Mapping[str, JsonValue]]:
        """Give what each executor has told last, by its key; who is silent for long is left out.

        Raises:
            TransientFault: the server does not answer.
        """
        ...


class NoHeartbeats:
    """Keeps nothing and says so once."""

    def __init__(self) -> None:
        self._said = False

    async def put(self, name: str, value: Mapping[str, JsonValue]) -> None:
        """Do nothing."""
        if not self._said:
            self._said = True
            _log.info("heartbeats are not kept here", extra={"executor": name, **value})

    async def remove(self, name: str) -> None:
        """Do nothing."""

    async def entries(self) -> Mapping[str, Mapping[str, JsonValue]]:
        """Give none."""
        return {}
