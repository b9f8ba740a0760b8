"""Reading one source: an unacknowledged pull consumer with hand-driven requests.

Requests are always outstanding, so a message arrives without a round trip. Only the consumer
sequence tells a real gap: under a filter stream sequences have holes of their own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4

import orjson

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import At, JetStreamApi, RefusedError, Start
from penstock_adapters.nats.wire import ACK_PREFIX, headers_of, place_of, status_of
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received, Source

BATCH_MESSAGES: Final = 500
LOW_CREDIT_MESSAGES: Final = 250  # ask again when no more than this may still arrive
BATCH_BYTES: Final = 32 * 1024 * 1024  # must exceed the largest message
EXPIRES_S: Final = 30
# A consumer is on one server of a cluster, and dies with it without a word.
HEARTBEAT_S: Final = 2
DROPPED_WITHIN_S: Final = 1.0
SILENCE_S: Final = 5.0  # two heartbeats and a margin
CONSUMER_IDLE_S: Final = 60
RETRY_S: Final = 0.5
# A cluster may put a consumer on a server that has just been lost; a second one comes elsewhere.
CREATED_WITHIN_S: Final = (1.5, 3.0, 5.0)
HEARTBEAT_STATUS: Final = 100
_REQUEST: Final = orjson.dumps(
    {
        "batch": BATCH_MESSAGES,
        "max_bytes": BATCH_BYTES,
        "expires": EXPIRES_S * 1_000_000_000,
        "idle_heartbeat": HEARTBEAT_S * 1_000_000_000,
    }
)


class SourceReader:
    """Gives each message of a source once, in stream order, from a sequence on.

    The consumer is made again from the last accepted message after a gap, a heartbeat that is
    ahead, silence, any unexpected status and every loss of the connection.

    Attributes:
        accepted: sequence of the last message given on; reading goes on behind it.
        rebuilt: how often the consumer was made again.
    """

    def __init__(
        self,
        connection: NatsConnection,
        source: Source,
        deliver: Callable[[Received], None],
        capacity: int,
    ) -> None:
        """Prepare a reader; nothing is sent before `start`.

        Args:
            connection: where to read.
            source: stream and filter.
            deliver: called by the read loop with each message, in order; must not block.
            capacity: bound of messages delivered and not yet reported as `taken`.
        """
        self.source = source
        self.accepted = 0
        self.rebuilt = 0
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._deliver = deliver
        self._capacity = max(capacity, 2 * BATCH_MESSAGES)
        self._since_us = 0  # holds until the first message has told a sequence
        self._held = 0
        self._credit = 0
        self._expected = 1
        self._consumer = ""
        self._heard = 0.0
        self._inbox = ""
        self._broken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._endings: list[Callable[[], None]] = []
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, after: int, since_us: int = 0) -> None:
        """Read behind sequence `after`; with `since_us`, from that server time on instead.

        Raises:
            TransientFault: the server does not answer.
        """
        self.accepted = after
        self._since_us = since_us
        inbox = self._connection.new_inbox()
        self._inbox = inbox
        self._endings.append(await self._connection.subscribe(f"{inbox}.*", self._on_message))
        self._endings.append(self._connection.on_change(self._on_change))
        await self._open()
        self._keeper = asyncio.create_task(self._keep(), name=f"reader {self.source.stream}")

    def taken(self, count: int) -> None:
        """Note that `count` delivered messages left the caller's buffer."""
        self._held -= count
        self._ask()

    def stop(self) -> None:
        """Read no further; `close` does the rest."""
        for end in self._endings:
            end()
        self._endings.clear()
        if self._keeper is not None:
            self._keeper.cancel()

    async def close(self) -> None:
        """Stop reading and delete the consumer."""
        self.stop()
        if self._keeper is not None:
            await asyncio.wait((self._keeper,))
            self._keeper = None
        await self._drop_consumer()

    async def _keep(self) -> None:
        while True:
            await self._watch()
            self.rebuilt += 1
            await self._drop_consumer()
            while not await self._reopen():
                await self._connection.wait_connected(RETRY_S)

    async def _reopen(self) -> bool:
        if not await self._connection.wait_connected(EXPIRES_S):
            return False
        try:
            await self._open()
        except TransientFault as fault:
            self._connection.report(fault)
            self._broken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._broken.wait()
            return False
        return True

    async def _watch(self) -> None:
        """Return when the consumer has to be made again."""
        while not self._broken.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    await self._broken.wait()
            silent_s = self._loop.time() - self._heard
            if self._credit > 0 and silent_s > SILENCE_S:
                return

    async def _open(self) -> None:
        self._broken.clear()
        await self._create()
        self._heard = self._loop.time()
        self._ask()

    async def _create(self) -> None:
        source = self.source
        for timeout_s in CREATED_WITHIN_S:
            name = f"inbox-{uuid4().hex}"
            self._consumer = name
            self._expected, self._credit = 1, 0
            try:
                await self._api.create_ephemeral(
                    source.stream, name, source.subject_filter, self._start(), CONSUMER_IDLE_S,
                    timeout_s,
                )  # fmt: skip
            except RefusedError:
                raise
            except TransientFault:
                if timeout_s == CREATED_WITHIN_S[-1] or not self._connection.is_connected:
                    raise
            else:
                return

    def _start(self) -> Start:
        return At(self._since_us) if self._since_us else self.accepted + 1

    async def _drop_consumer(self) -> None:
        name, self._consumer = self._consumer, ""
        if name and self._connection.is_connected:
            with suppress(TransientFault):  # it may be gone already; else it expires by itself
                await self._api.delete_consumer(self.source.stream, name, DROPPED_WITHIN_S)

    def _ask(self) -> None:
        """Send requests while little may still arrive and there is room for what would come."""
        while (
            self._consumer
            and not self._broken.is_set()
            and self._credit <= LOW_CREDIT_MESSAGES
            and self._held + self._credit + BATCH_MESSAGES <= self._capacity
        ):
            verb = f"CONSUMER.MSG.NEXT.{self.source.stream}.{self._consumer}"
            reply = f"{self._inbox}.{self._consumer}"
            if not self._connection.send(self._api.subject(verb), _REQUEST, reply):
                return
            self._credit += BATCH_MESSAGES

    def _on_change(self, connected: bool) -> None:
        if not connected:
            self._broken.set()

    def _on_message(
        self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None
    ) -> None:
        if not reply.startswith(ACK_PREFIX):
            if subject.endswith(self._consumer.encode()):
                self._on_status(headers)
            return
        place = place_of(reply)
        if self._broken.is_set() or place.consumer != self._consumer.encode():
            return
        if place.consumer_sequence != self._expected or place.sequence <= self.accepted:
            self._broken.set()
            return
        self._heard = self._loop.time()
        self._expected += 1
        self._credit -= 1
        self._held += 1
        self.accepted, self._since_us = place.sequence, 0
        self._deliver(
            Received(
                self.source.stream,
                subject.decode(),
                place.sequence,
                place.time_us,
                payload,
                headers_of(headers),
                place.pending,
            )
        )
        if self._credit <= LOW_CREDIT_MESSAGES:
            self._ask()

    def _on_status(self, headers: bytes | None) -> None:
        status = status_of(headers)
        if status is None:
            return
        self._heard = self._loop.time()
        if status.code == HEARTBEAT_STATUS:
            if (status.number("Nats-Last-Consumer") or 0) >= self._expected:
                self._broken.set()
            return
        left = status.number("Nats-Pending-Messages")
        if left is None:  # consumer deleted or unknown, leadership moved, nobody there
            self._broken.set()
            return
        self._credit -= left  # the request expired, or its bytes were used up
        self._ask()
