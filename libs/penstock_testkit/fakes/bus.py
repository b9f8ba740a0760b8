"""A bus in memory: publishes are kept, the queue gives what a test put in."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue
from pydantic_core import from_json

from penstock_contracts.subjects import matches
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.work import ControlHandler, WorkItem


class KeptPublisher:
    """Fulfils the port `Publisher`; `outcomes` are used up first, then everything is DONE."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.batches: list[int] = []
        self.outcomes: deque[Published] = deque()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Keep the messages that are given the outcome DONE."""
        self.batches.append(len(batch))
        given: list[Published] = []
        for message in batch:
            outcome = self.outcomes.popleft() if self.outcomes else Published.DONE
            given.append(outcome)
            if outcome is Published.DONE:
                self.sent.append(message)
        return given

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Forget what was sent to the subject."""
        self.sent = [
            message
            for message in self.sent
            if (message.stream, message.subject) != (stream, subject)
        ]

    def of_type(self, kind: str) -> list[dict[str, JsonValue]]:
        """Give the envelopes of that type, oldest first."""
        read = [from_json(message.payload) for message in self.sent]
        return [envelope for envelope in read if envelope["type"] == kind]


@dataclass(eq=False)
class KeptItem:
    """Fulfils the port `WorkItem`; `fates` says what was done to it, in order.

    Attributes:
        done: set once it was acknowledged or given back.
    """

    subject: str
    payload: bytes
    queued_us: int = 0
    fates: list[str] = field(default_factory=list[str])
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def in_progress(self) -> None:
        """Note a sign of life."""
        self.fates.append("in_progress")

    async def ack_sync(self) -> None:
        """Note the acknowledgement."""
        self.fates.append("ack")
        self.done.set()

    async def give_back(self, delay_s: float) -> None:
        """Note that it went back."""
        self.fates.append(f"back {delay_s:g}")
        self.done.set()


class KeptQueue:
    """Fulfils the port `WorkQueue`."""

    def __init__(self) -> None:
        self._items: deque[WorkItem] = deque()
        self._arrived = asyncio.Event()
        self.closed = False

    def put(self, *items: WorkItem) -> None:
        """Make tasks available."""
        self._items.extend(items)
        self._arrived.set()

    async def take(self, limit: int, timeout_s: float) -> Sequence[WorkItem]:
        """Give what is there, or wait for it."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._items and not self.closed:
                    self._arrived.clear()
                    _ = await self._arrived.wait()
        except TimeoutError:
            return ()
        return [self._items.popleft() for _ in range(min(limit, len(self._items)))]

    async def close(self) -> None:
        """End a take that waits."""
        self.closed = True
        self._arrived.set()


class KeptControl:
    """Fulfils the port `ControlChannel`: what is sent is handed to whoever listens."""

    def __init__(self) -> None:
        self._listeners: list[tuple[str, ControlHandler]] = []

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """Listen until the result is called."""
        entry = (subject, handler)
        self._listeners.append(entry)

        async def end() -> None:
            self._listeners.remove(entry)

        return end

    async def send(self, subject: str, payload: bytes) -> None:
        """Hand on."""
        for pattern, handler in tuple(self._listeners):
            if matches(pattern, subject):
                await handler(subject, payload)


class KeptHeartbeats:
    """Fulfils the port `Heartbeats`.

    Attributes:
        refused: how many of the next ones are not taken.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Mapping[str, JsonValue]] = {}
        self.refused = 0

    async def put(self, name: str, value: Mapping[str, JsonValue]) -> None:
        """Keep it."""
        if self.refused:
            self.refused -= 1
            raise TransientFault("there is no place for heartbeats")
        self.entries[name] = dict(value)

    async def remove(self, name: str) -> None:
        """Drop it."""
        _ = self.entries.pop(name, None)
