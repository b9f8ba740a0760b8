"""Following a stream in memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from penstock_adapters.memory.streams import MemoryServer
from penstock_runtime.ports.inbox import Received


class MemoryStreamTail:
    """`StreamTail` over a `MemoryServer`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    @asynccontextmanager
    async def follow(
        self, stream: str, subject_filter: str, from_sequence: int = 1, since_us: int = 0
    ) -> AsyncGenerator[AsyncIterator[Received]]:
        """See the port."""
        there = self._server.stream(stream)
        after = max(from_sequence, 1) - 1
        if since_us:
            older = (one.sequence for one in there.messages.values() if one.time_us < since_us)
            after = max(older, default=0)
        messages = _Messages(self._server, stream, subject_filter, after)
        end = self._server.on_wake(messages.arrived.set)
        try:
            yield messages
        finally:
            end()


class _Messages:
    """What has arrived, as an asynchronous iterator without end."""

    def __init__(self, server: MemoryServer, stream: str, subject_filter: str, after: int) -> None:
        self.arrived = asyncio.Event()
        self._server = server
        self._stream = stream
        self._filter = subject_filter
        self._after = after

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Received:
        while (message := self._look()) is None:
            self.arrived.clear()
            await self.arrived.wait()
        self._after = message.sequence
        return message

    def _look(self) -> Received | None:
        if not self._server.up or not self._server.exists(self._stream):
            return None
        return next(self._server.stream(self._stream).after(self._after, self._filter), None)
