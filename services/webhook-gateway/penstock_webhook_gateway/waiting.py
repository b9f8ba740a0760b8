"""Awaiting a command's outcome: the event that carries the command's id as its cause."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import kind_of
from penstock_contracts.values import Wire

WAITERS_MAX = 10_000
_BY_PEOPLE = "token:"  # begins the actor of what came by an API
_KNOWN_BY_ID = "trigger"  # kind of aggregate whose rows answer repeated requests

Applied = tuple[ReadEvent, Wire]


class TooManyWaiters(Exception):
    """The bound on requests that wait for an outcome is reached."""


class Waiters:
    """Requests that wait for the projection to hold what they caused."""

    def __init__(self) -> None:
        """Begin without any."""
        self._waiting: dict[str, list[asyncio.Future[Applied]]] = {}
        self._count = 0

    @contextmanager
    def expect(self, cause: str) -> Generator["asyncio.Future[Applied]"]:
        """Wait for the first event caused by `cause` from now on.

        Enter before the command is sent, and before the rows are asked for what came of it.

        Args:
            cause: id of the command or trigger.

        Raises:
            TooManyWaiters: try again later.
        """
        if self._count >= WAITERS_MAX:
            raise TooManyWaiters
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(cause, []).append(future)
        self._count += 1
        try:
            yield future
        finally:
            self._count -= 1
            left = [other for other in self._waiting.get(cause, ()) if other is not future]
            if left:
                self._waiting[cause] = left
            else:
                self._waiting.pop(cause, None)
            future.cancel()

    def wants(self, event: ReadEvent) -> bool:
        """Tell whether somebody waits for this event, or may wait for it before rows have it."""
        return event.meta.causation_id in self._waiting or may_be_repeated(event)

    def applied(self, events: Sequence[Applied]) -> None:
        """Tell whoever waits for one of these."""
        for event, body in events:
            for future in self._waiting.get(event.meta.causation_id, ()):
                if not future.done():
                    future.set_result((event, body))


def may_be_repeated(event: ReadEvent) -> bool:
    """Tell whether the request that caused an event may be repeated with its key, by anybody."""
    by_people = event.meta.actor.startswith(_BY_PEOPLE)
    return by_people and kind_of(event.topic) != _KNOWN_BY_ID
