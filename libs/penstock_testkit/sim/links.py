"""What lies between a process and a server: delays, losses, cuts; and the ports behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from penstock_adapters.markers import encode_marker
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_adapters.memory.streams import MemoryServer
from penstock_adapters.memory.work import MemoryControl, MemoryWorkItem, MemoryWorkQueue
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.subjects import relay_marker
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.inbox import Inbox, Received
from penstock_runtime.ports.work import ControlHandler, WorkItem
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.processes import Life
from penstock_testkit.virtual_time import VirtualClock

P = TypeVar("P")
Later = Callable[[float, str, bytes, tuple[str, int]], None]
"""Brings in a message after so many seconds, under the fence that it was sent with."""
GIVEN_UP_S = (0.05, 5.0)  # after which a call without an answer is given up
STRAY_SHARE = 0.3  # of what its sender gave up; it arrives all the same
STRAY_S = (0.1, 600.0)  # how late


@dataclass(slots=True)
class Weather:
    """How things are between a process and a server.

    Attributes:
        slow: share of calls that take time, up to `slow_s`.
        lost: share of calls that do not arrive.
        unanswered: share of calls that are carried out, and whose answer does not arrive.
        cut: nothing passes.
    """

    slow: float = 0.0
    slow_s: float = 0.05
    lost: float = 0.0
    unanswered: float = 0.0
    cut: bool = False

    def clear(self) -> None:
        """Let everything pass at once."""
        self.slow = self.lost = self.unanswered = 0.0
        self.cut = False


@dataclass(frozen=True, slots=True)
class Link:
    """The way of one life of a process to one server."""

    life: Life
    weather: Weather
    clock: VirtualClock
    dice: Dice = field(repr=False)

    async def there(self) -> None:
        """Pass on the way there.

        Raises:
            TransientFault: it did not arrive.
        """
        await self.life.breathe()
        await self._take_time()
        if self.weather.cut or self.dice.chance(self.weather.lost):
            await self.give_up("nothing arrived")

    async def back(self) -> None:
        """Pass on the way back.

        Raises:
            TransientFault: it was carried out, and the answer did not arrive.
        """
        await self._take_time()
        if self.weather.cut or self.dice.chance(self.weather.unanswered):
            await self.give_up("no answer")
        await self.life.breathe()

    async def give_up(self, why: str) -> None:
        """Wait for nothing.

        Raises:
            TransientFault: always.
        """
        await self.clock.sleep(self.dice.seconds(*GIVEN_UP_S))
        await self.life.breathe()
        raise TransientFault(f"{self.life.process.name}: {why}")

    async def _take_time(self) -> None:
        if self.dice.chance(self.weather.slow):
            await self.clock.sleep(self.dice.uniform(0, self.weather.slow_s))


class _Linked:
    def __init__(self, inner: object, link: Link) -> None:
        self._inner = inner
        self._link = link

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation, link = getattr(self._inner, name), self._link

        async def call(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 - of any port
            await link.there()
            answer = await operation(*args, **kwargs)
            await link.back()
            return answer

        return call


def linked(port: P, link: Link) -> P:
    """Give `port`, whose operations may raise TransientFault, behind a link."""
    return cast("P", _Linked(port, link))


class LinkedPublisher:
    """`Publisher` behind a link: each message has a fate of its own."""

    def __init__(self, inner: Publisher, link: Link, later: Callable[[float, Outgoing], None]):
        """Publish by `inner`; `later` brings in after so many seconds what was given up."""
        self._inner = inner
        self._link = link
        self._later = later

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """See the port."""
        link, fates = self._link, list[Published]()
        try:
            await link.there()
        except TransientFault:
            self._stray(batch)
            return [Published.FAILED] * len(batch)
        for message in batch:
            if link.dice.chance(link.weather.lost):
                self._stray((message,))
                fates.append(Published.FAILED)
                continue
            fates.extend(await self._inner.publish((message,)))
            if link.dice.chance(link.weather.unanswered):
                fates[-1] = Published.FAILED
            await link.life.breathe()
        try:
            await link.back()
        except TransientFault:
            return [Published.FAILED] * len(batch)
        return fates

    def _stray(self, batch: Sequence[Outgoing]) -> None:
        for message in batch:
            if message.stream is not None and self._link.dice.chance(STRAY_SHARE):
                self._later(self._link.dice.seconds(*STRAY_S), message)

    async def purge_subject(self, stream: str, subject: str) -> None:
        """See the port."""
        await self._link.there()
        await self._inner.purge_subject(stream, subject)
        await self._link.back()


class LinkedRelayLog(MemoryRelayLog):
    """The fenced relay behind a link, as it is on a single server: pipelined.

    Messages of a unit arrive one after the other, between them those of others, and each may fail
    alone. What is given up may lie in a buffer, and arrive much later under the fence it was sent
    with.
    """

    def __init__(self, server: MemoryServer, link: Link, later: Later | None = None) -> None:
        """Write to EVENTS of `server`; `later` brings in after a while what was given up."""
        super().__init__(server)
        self._link = link
        self._later = later

    async def last_marker(self, partition: str) -> Any:  # noqa: ANN401 - as the port says
        """See the port."""
        await self._link.there()
        found = await super().last_marker(partition)
        await self._link.back()
        return found

    async def last_sequence(self, partition: str) -> int:
        """See the port."""
        await self._link.there()
        found = await super().last_sequence(partition)
        await self._link.back()
        return found

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        """See the port."""
        fence = relay_marker(partition), fence_sequence
        try:
            await self._link.there()
        except TransientFault:
            for subject, payload in messages:
                self._stray(subject, payload, fence)
            raise
        last = await self._store_each(messages, fence)
        await self._link.life.breathe()
        sequence = self._store(relay_marker(partition), encode_marker(marker(last)), fence)
        await self._link.back()
        return sequence

    async def _store_each(
        self, messages: Sequence[tuple[str, bytes]], fence: tuple[str, int]
    ) -> int:
        link, last, failed = self._link, 0, False
        for subject, payload in messages:
            if link.dice.chance(0.1):
                await link.life.breathe()
            if link.dice.chance(link.weather.lost):
                self._stray(subject, payload, fence)
                failed = True
                continue
            last = self._store(subject, payload, fence)
            failed = failed or link.dice.chance(link.weather.unanswered)
        if failed:
            raise TransientFault("a message of the unit was not acknowledged")
        return last

    def _stray(self, subject: str, payload: bytes, fence: tuple[str, int]) -> None:
        dice = self._link.dice
        if self._later is not None and dice.chance(STRAY_SHARE):
            self._later(dice.seconds(*STRAY_S), subject, payload, fence)


class LinkedInbox:
    """`Inbox` behind a link: what it has taken is never lost on the way to its caller."""

    def __init__(self, inner: Inbox, link: Link) -> None:
        """Read by `inner`."""
        self._inner = inner
        self._link = link

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Give any other operation of the port."""
        return cast("Callable[..., Awaitable[Any]]", getattr(linked(self._inner, self._link), name))

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """See the port."""
        link = self._link
        await link.life.breathe()
        if link.weather.cut:
            await link.clock.sleep(timeout_s)
            await link.life.breathe()
            return ()
        if link.dice.chance(link.weather.slow):
            limit = link.dice.randint(1, limit)  # a slow consumer
        taken = await self._inner.take(limit, timeout_s)
        await link.life.breathe()
        return taken


class LinkedQueue:
    """`WorkQueue` behind a link: what is lost on the way is delivered again, after a while."""

    def __init__(self, inner: MemoryWorkQueue, link: Link) -> None:
        """Take from `inner`."""
        self._inner = inner
        self._link = link

    async def take(self, limit: int, timeout_s: float) -> Sequence[WorkItem]:
        """See the port."""
        await self._link.there()
        items: Sequence[MemoryWorkItem] = await self._inner.take(limit, timeout_s)
        await self._link.back()
        return [_LinkedItem(item, self._link) for item in items]

    async def close(self) -> None:
        """See the port."""
        await self._inner.close()


class _LinkedItem:
    def __init__(self, inner: MemoryWorkItem, link: Link) -> None:
        self._inner = inner
        self._link = link
        self.subject = inner.subject
        self.payload = inner.payload
        self.queued_us = inner.queued_us

    async def in_progress(self) -> None:
        await self._call(self._inner.in_progress())

    async def ack_sync(self) -> None:
        await self._call(self._inner.ack_sync())

    async def give_back(self, delay_s: float) -> None:
        await self._call(self._inner.give_back(delay_s))

    async def _call(self, operation: Any) -> None:  # noqa: ANN401 - a coroutine of the item's
        try:
            await self._link.there()
        except BaseException:
            operation.close()
            raise
        await operation
        await self._link.back()


class LinkedControl:
    """`ControlChannel` behind a link: what does not pass is gone."""

    def __init__(self, inner: MemoryControl, link: Link) -> None:
        """Speak over `inner`."""
        self._inner = inner
        self._link = link

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """See the port."""
        link = self._link

        async def heard(path: str, payload: bytes) -> None:
            await link.life.breathe()
            if not (link.weather.cut or link.dice.chance(link.weather.lost)):
                await handler(path, payload)

        return await self._inner.listen(subject, heard)

    async def send(self, subject: str, payload: bytes) -> None:
        """See the port."""
        await self._link.life.breathe()
        if not self._link.weather.cut:
            await self._inner.send(subject, payload)
