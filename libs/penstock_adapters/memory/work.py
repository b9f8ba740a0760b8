"""The work queue of tasks, and the core subjects beside it, in memory."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts.subjects import Stream, tasks_of_pool
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.work import ControlHandler

_log = logging.getLogger(__name__)

ACK_WAIT_S = 30.0
CONTROL_BACKLOG_MESSAGES = 1000


class MemoryWorkItem:
    """`WorkItem` of a `MemoryWorkQueue`."""

    def __init__(self, queue: "MemoryWorkQueue", message: Received) -> None:
        self._queue = queue
        self._sequence = message.sequence
        self.subject = message.subject
        self.payload = message.payload
        self.queued_us = message.time_us

    async def in_progress(self) -> None:
        """See the port."""
        self._queue.postpone(self._sequence)

    async def ack_sync(self) -> None:
        """See the port."""
        self._queue.settle(self._sequence)

    async def give_back(self, delay_s: float) -> None:
        """See the port."""
        self._queue.postpone(self._sequence, delay_s)


class MemoryWorkQueue:
    """`WorkQueue` over a `MemoryServer`; queues of one pool share their state there."""

    def __init__(self, server: MemoryServer, pool: str, ack_wait_s: float = ACK_WAIT_S) -> None:
        self._server = server
        self._pool = pool
        self._ack_wait_s = ack_wait_s
        self._arrived = asyncio.Event()
        self._end = server.on_wake(self._arrived.set)

    async def take(self, limit: int, timeout_s: float) -> Sequence[MemoryWorkItem]:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not (items := self._look(limit)) and (left_s := deadline - loop.time()) > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, self._next_due_s())):
                    await self._arrived.wait()
        return items

    def _look(self, limit: int) -> list[MemoryWorkItem]:
        flying = self._server.in_flight.get(self._pool)
        if flying is None or not self._server.up or not self._server.exists(Stream.TASKS):
            return []
        taken = list(islice(self._deliverable(flying), limit))
        due_us = self._due_us(self._ack_wait_s)
        for message in taken:
            flying[message.sequence] = due_us
            last = self._server.delivered[self._pool]
            self._server.delivered[self._pool] = max(last, message.sequence)
        return [MemoryWorkItem(self, message) for message in taken]

    def _deliverable(self, flying: dict[int, int]) -> Iterator[Received]:
        stream = self._server.stream(Stream.TASKS)
        now_us = self._server.clock.now_us()
        for sequence, due_us in sorted(flying.items()):
            message = stream.messages.get(sequence)
            if message is None:
                del flying[sequence]  # acknowledged or purged
            elif due_us <= now_us:
                yield message
        yield from stream.after(self._server.delivered[self._pool], tasks_of_pool(self._pool))

    def _next_due_s(self) -> float:
        flying = self._server.in_flight.get(self._pool)
        if not flying:
            return self._ack_wait_s
        return max(min(flying.values()) - self._server.clock.now_us(), 0) / MICROSECONDS + 0.001

    def _due_us(self, after_s: float) -> int:
        return self._server.clock.now_us() + int(after_s * MICROSECONDS)

    def postpone(self, sequence: int, delay_s: float | None = None) -> None:
        """Put the next delivery off, by the acknowledgement wait if nothing else is said."""
        flying = self._server.in_flight.get(self._pool)
        if self._server.up and flying is not None and sequence in flying:
            flying[sequence] = self._due_us(self._ack_wait_s if delay_s is None else delay_s)
            self._server.wake()

    def settle(self, sequence: int) -> None:
        """Take the task off the queue.

        Raises:
            TransientFault: the server is down, or the queue is gone.
        """
        stream = self._server.stream(Stream.TASKS)
        flying = self._server.in_flight.get(self._pool)
        if flying is None:
            raise TransientFault(f"there is no queue of pool {self._pool}")
        flying.pop(sequence, None)
        stream.remove((sequence,))

    async def close(self) -> None:
        """See the port."""
        self._end()


class MemoryControl:
    """`ControlChannel` over a `MemoryServer`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """See the port."""
        backlog: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(CONTROL_BACKLOG_MESSAGES)

        def on_message(path: str, payload: bytes) -> None:
            with suppress(asyncio.QueueFull):
                backlog.put_nowait((path, payload))

        end = self._server.listen(subject, on_message)
        worker = asyncio.create_task(_handle(backlog, handler), name=f"control {subject}")

        async def stop() -> None:
            end()
            worker.cancel()
            await asyncio.wait((worker,))

        return stop

    async def send(self, subject: str, payload: bytes) -> None:
        """See the port."""
        self._server.send(subject, payload)


async def _handle(backlog: asyncio.Queue[tuple[str, bytes]], handler: ControlHandler) -> None:
    while True:
        subject, payload = await backlog.get()
        try:
            await handler(subject, payload)
        except Exception:  # noqa: BLE001 - a handler's fault must not end the listening
            _log.exception("a control message could not be handled", extra={"subject": subject})
