"""Following a stream live."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.reader import SourceReader
from penstock_runtime.ports.inbox import Received, Source

BUFFER_MESSAGES: Final = 2000


class NatsStreamTail:
    """Ordered, gap-free following; implements the port `StreamTail`.

    A slow follower is not dropped: once its buffer is full nothing more is asked for.
    """

    def __init__(self, connection: NatsConnection) -> None:
        """Follow over `connection`."""
        self._connection = connection

    @asynccontextmanager
    async def follow(
        self, stream: str, subject_filter: str, from_sequence: int = 1, since_us: int = 0
    ) -> AsyncGenerator[AsyncIterator[Received]]:
        """See the port.

        Raises:
            TransientFault: the server does not answer.
        """
        messages = _Messages()
        source = Source(stream, subject_filter)
        reader = SourceReader(self._connection, source, messages.deliver, BUFFER_MESSAGES)
        messages.on_taken = reader.taken
        try:
            await reader.start(max(from_sequence, 1) - 1, since_us)
            yield messages
        finally:
            await reader.close()


class _Messages:
    """What has arrived, as an asynchronous iterator without end."""

    def __init__(self) -> None:
        self.on_taken: Callable[[int], None] = lambda _count: None
        self._buffer: deque[Received] = deque()
        self._arrived = asyncio.Event()

    def deliver(self, message: Received) -> None:
        self._buffer.append(message)
        self._arrived.set()

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Received:
        while not self._buffer:
            self._arrived.clear()
            await self._arrived.wait()
        self.on_taken(1)
        return self._buffer.popleft()
