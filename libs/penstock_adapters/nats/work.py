"""The work queue of tasks, and the core subjects beside it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import orjson

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.replies import NOBODY, Frame
from penstock_adapters.nats.wire import ACK_PREFIX, NO_RESPONDERS, place_of, status_of
from penstock_contracts.subjects import Stream, tasks_of_pool, token
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.work import ControlHandler

_log = logging.getLogger(__name__)

ACK_WAIT_S: Final = 5.0  # without a sign of life a task is delivered again
MAX_IN_FLIGHT: Final = 20_000  # tasks of one pool delivered and not acknowledged
MAX_WAITING: Final = 4096  # pull requests of one pool, over all executors
MIN_EXPIRES_S: Final = 0.1
EXPIRY_MARGIN_S: Final = 2.0
RETRY_S: Final = 0.5
CONTROL_BACKLOG_MESSAGES: Final = 1000
SECOND_NS: Final = 1_000_000_000
_BACKLOG_FULL: Final = TransientFault("control messages are dropped: the backlog is full")


def durable_of(pool: str) -> str:
    """Name of the durable consumer that all executors of `pool` share."""
    return f"pool-{token(pool)}"


async def ensure_pool(
    connection: NatsConnection,
    pool: str,
    *,
    durable: str | None = None,
    ack_wait_s: float = ACK_WAIT_S,
) -> None:
    """Create or update a pool's durable consumer; called by the owner of TASKS.

    `max_deliver` is unlimited: a message whose deliveries are used up would be stranded on its
    subject, and only the scheduler counts attempts.

    Raises:
        TransientFault: the server does not answer, or has no such stream yet.
    """
    name = durable or durable_of(pool)
    subject_filter = tasks_of_pool(pool)
    config = {
        "name": name,
        "durable_name": name,
        "filter_subject": subject_filter,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ack_wait_s * SECOND_NS),
        "max_deliver": -1,
        "max_ack_pending": MAX_IN_FLIGHT,
        "max_waiting": MAX_WAITING,
    }
    await JetStreamApi(connection).call(
        f"CONSUMER.CREATE.{Stream.TASKS}.{name}.{subject_filter}",
        {"stream_name": Stream.TASKS.value, "config": config, "action": ""},
    )


class NatsWorkItem:
    """A task in flight to this executor; implements the port `WorkItem`."""

    __slots__ = ("_connection", "_reply", "payload", "subject")

    def __init__(
        self, connection: NatsConnection, subject: str, payload: bytes, reply: str
    ) -> None:
        self._connection = connection
        self._reply = reply
        self.subject = subject
        self.payload = payload

    @property
    def queued_us(self) -> int:
        """See the port."""
        return place_of(self._reply.encode()).time_us

    async def in_progress(self) -> None:
        """See the port; dropped while disconnected."""
        self._connection.send(self._reply, b"+WPI")

    async def ack_sync(self) -> None:
        """See the port."""
        frames = (Frame(self._reply, b"+ACK"),)
        timeout_s = self._connection.settings.request_timeout_s
        answer = (await self._connection.exchange(frames, timeout_s))[0]
        if answer is None or answer is NOBODY:
            raise TransientFault(f"the acknowledgement of {self.subject} was not confirmed")

    async def give_back(self, delay_s: float) -> None:
        """See the port; without a connection it returns after the acknowledgement wait."""
        delay = orjson.dumps({"delay": int(delay_s * SECOND_NS)})
        self._connection.send(self._reply, b"-NAK " + delay)


class NatsWorkQueue:
    """Tasks of one pool; implements the port `WorkQueue`.

    No more is asked for than `take` was asked for, so that nothing lies here while another
    executor is idle.
    """

    def __init__(self, connection: NatsConnection, pool: str, durable: str | None = None) -> None:
        """Pull from the consumer that `ensure_pool` made for `pool`."""
        name = durable or durable_of(pool)
        self._connection = connection
        self._subject = JetStreamApi(connection).subject(f"CONSUMER.MSG.NEXT.{Stream.TASKS}.{name}")
        self._inbox = connection.new_inbox()
        self._items: deque[NatsWorkItem] = deque()
        self._arrived = asyncio.Event()
        self._credit = 0
        self._expires_at = 0.0
        self._absent = False
        self._closed = False
        self._endings: list[Callable[[], None]] = []

    async def take(self, limit: int, timeout_s: float) -> Sequence[NatsWorkItem]:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if not self._endings:
            await self._listen()
        while not self._items and not self._closed:
            left_s = deadline - loop.time()
            if left_s <= 0:
                return []
            self._arrived.clear()
            if self._absent:  # there is no such queue now: pause before asking again
                self._absent = False
                await self._wait(min(left_s, RETRY_S))
                continue
            self._ask(limit, left_s, loop.time())
            await self._wait(left_s if self._credit else min(left_s, RETRY_S))
        return [self._items.popleft() for _ in range(min(limit, len(self._items)))]

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._arrived.wait()

    async def _listen(self) -> None:
        self._endings.append(await self._connection.subscribe(self._inbox, self._on_message))
        self._endings.append(self._connection.on_change(self._on_change))

    def _ask(self, limit: int, left_s: float, now: float) -> None:
        if now > self._expires_at + EXPIRY_MARGIN_S:
            self._credit = 0
        wanted = limit - self._credit
        if wanted <= 0:
            return
        expires_s = max(left_s, MIN_EXPIRES_S)
        request = orjson.dumps({"batch": wanted, "expires": int(expires_s * SECOND_NS)})
        if self._connection.send(self._subject, request, self._inbox):
            self._credit += wanted
            self._expires_at = max(self._expires_at, now + expires_s)

    def _on_message(
        self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None
    ) -> None:
        if reply.startswith(ACK_PREFIX):
            self._credit = max(self._credit - 1, 0)
            self._items.append(
                NatsWorkItem(self._connection, subject.decode(), payload, reply.decode())
            )
            self._arrived.set()
            return
        status = status_of(headers)
        if status is None:
            return
        left = status.number("Nats-Pending-Messages")
        self._credit = max(self._credit - left, 0) if left is not None else 0
        self._absent = left is None
        if status.code == NO_RESPONDERS:
            self._connection.report(
                TransientFault("the pool has no queue yet: its scheduler has to create it")
            )
        self._arrived.set()

    def _on_change(self, connected: bool) -> None:
        self._credit = 0  # requests are not kept over a reconnect, by either side
        if connected:
            self._arrived.set()

    async def close(self) -> None:
        """See the port. What was not taken is given back at once."""
        self._closed = True
        for end in self._endings:
            end()
        self._endings.clear()
        while self._items:
            await self._items.popleft().give_back(0)
        self._arrived.set()


class NatsControl:
    """Core subjects between scheduler and executors; implements the port `ControlChannel`."""

    def __init__(self, connection: NatsConnection) -> None:
        """Speak over `connection`."""
        self._connection = connection

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """See the port. Messages are handled one at a time, in order; a backlog is bounded.

        When this returns, the server knows of the subscription, unless it is away: then it will
        know with the reconnect.

        Raises:
            TransientFault: the connection is closed.
        """
        backlog: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(CONTROL_BACKLOG_MESSAGES)

        def on_message(
            subject: bytes, _reply: bytes, payload: bytes, _headers: bytes | None
        ) -> None:
            try:
                backlog.put_nowait((subject.decode(), payload))
            except asyncio.QueueFull:
                self._connection.report(
                    TransientFault("control messages are dropped: backlog full")
                )

        end = await self._connection.subscribe(subject, on_message)
        await self._connection.flush(self._connection.settings.request_timeout_s)
        worker = asyncio.create_task(_handle(backlog, handler), name=f"control {subject}")

        async def stop() -> None:
            end()
            worker.cancel()
            await asyncio.wait((worker,))

        return stop

    async def send(self, subject: str, payload: bytes) -> None:
        """See the port."""
        self._connection.send(subject, payload)


async def _handle(backlog: asyncio.Queue[tuple[str, bytes]], handler: ControlHandler) -> None:
    while True:
        subject, payload = await backlog.get()
        try:
            await handler(subject, payload)
        except Exception:  # noqa: BLE001 - a handler's fault must not end the listening
            _log.exception("a control message could not be handled", extra={"subject": subject})
