"""nats-py's client with short cuts past its per-message objects, queues and tasks.

What is overridden or reached into is private to nats-py 2.x; this module is the only place that
does so, and the conformance suites on a real server would show a change of it at once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from nats.aio.client import Client

_log = logging.getLogger(__name__)

Handler = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Receives (subject, reply, payload, raw headers or None); called by the read loop itself."""


class DirectClient(Client):
    """A client whose direct subscriptions are called by the read loop, in order and at once.

    A direct handler must not block. It has no pending queue that could overflow: what may arrive
    is bounded by what was asked for (pull requests, awaited replies).
    """

    def __init__(self) -> None:
        super().__init__()
        self._direct: dict[int, Handler] = {}

    async def subscribe_direct(self, subject: str, handler: Handler) -> int:
        """Subscribe and give the subscription's id; it is made again after a reconnect."""
        subscription = await self.subscribe(subject)  # pyright: ignore[reportUnknownMemberType]
        number: int = subscription._id  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self._direct[number] = handler
        return number

    def unsubscribe_direct(self, number: int) -> None:
        """End a direct subscription."""
        self._direct.pop(number, None)
        self._remove_sub(number)
        if self.is_connected:
            self.send_now((b"UNSUB %d\r\n" % number,))

    def send_now(self, parts: Sequence[bytes]) -> None:
        """Queue protocol bytes and wake the flusher. The caller has checked `is_connected`."""
        self._pending.extend(parts)
        self._pending_data_size += sum(map(len, parts))
        queue = self._flush_queue
        if queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    def discard_unsent(self) -> None:
        """Forget what was queued and not written: the library would send it after a reconnect.

        Subscriptions are not lost by it; they are replayed from the library's own table.
        """
        self._pending = []
        self._pending_data_size = 0

    async def flushed(self, timeout_s: float) -> None:
        """Wait until the server has read everything sent so far.

        Raises:
            TimeoutError: it took longer.
            nats.errors.Error: not connected.
        """
        read: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._send_ping(read)  # pyright: ignore[reportUnknownMemberType]
        async with asyncio.timeout(timeout_s):
            await read

    async def shut(self) -> None:
        """Close, even a connection whose opening was broken off half-way."""
        if self._flush_queue is not None:
            await self.close()
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # a turn of the loop: the socket is closed in a callback

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        handler = self._direct.get(sid)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
            return
        try:
            handler(subject, reply, data, headers)
        except Exception:  # noqa: BLE001 - an escaping exception would end the read loop for good, silently
            _log.exception("a handler of bus messages failed", extra={"sid": sid})
