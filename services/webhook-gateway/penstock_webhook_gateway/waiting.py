"""Awaiting a command's outcome: the event that carries the command's id as its cause."""

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import kind_of
from penstock_contracts.values import Wire

WAITERS_MAX = 10_000
REMEMBERED_MAX = 1_000  # outcomes kept for requests that are repeated with their key
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
        self._remembered: OrderedDict[str, Applied | None] = OrderedDict()
        self._count = 0

    @contextmanager
    def expect(
        self, cause: str, *, remember: bool = False, another: bool = False
    ) -> Generator["asyncio.Future[Applied]"]:
        """Wait for the first event caused by `cause`; enter before the command is sent.

        Args:
            cause: id of the command or trigger.
            remember: keep the outcome, so that the same cause is answered again at once: what is
                sent a second time leaves no second event.
            another: wait for an event after those that are applied already.

        Raises:
            TooManyWaiters: try again later.
        """
        if self._count >= WAITERS_MAX:
            raise TooManyWaiters
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        told = self._remembered.get(cause)
        if told is not None and not another:
            future.set_result(told)
        elif remember:
            self._remember(cause)
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

    def _remember(self, cause: str) -> None:
        self._remembered.setdefault(cause, None)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def wants(self, event: ReadEvent) -> bool:
        """Tell whether somebody waits for this event, or may ask for it again."""
        cause = event.meta.causation_id
        return cause in self._waiting or cause in self._remembered or _may_be_repeated(event)

    def applied(self, events: Sequence[Applied]) -> None:
        """Tell whoever waits for one of these.

        What people have caused is remembered, too, whichever gateway they asked: should that one
        go away, they repeat their request here.
        """
        for event, body in events:
            cause = event.meta.causation_id
            if cause not in self._remembered and _may_be_repeated(event):
                self._remember(cause)
            if cause in self._remembered and self._remembered[cause] is None:
                self._remembered[cause] = (event, body)
            for future in self._waiting.get(cause, ()):
                if not future.done():
                    future.set_result((event, body))


def _may_be_repeated(event: ReadEvent) -> bool:
    by_people = event.meta.actor.startswith(_BY_PEOPLE)
    return by_people and kind_of(event.topic) != _KNOWN_BY_ID
