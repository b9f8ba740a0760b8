"""A TCP proxy on loopback whose links can be cut, made to swallow everything, or slowed down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
CONNECT_S = 5.0


class Weather(StrEnum):
    """What happens to a link."""

    CLEAR = "clear"
    CUT = "cut"  # connections are reset, and new ones at once
    HOLE = "hole"  # nothing passes and nobody is told; later it does, as after TCP's own repeats
    SLOW = "slow"  # every piece waits


class Link:
    """The way from one client to one server; listens on a port of its own for life."""

    def __init__(self, name: str, port_of_server: Callable[[], int]) -> None:
        """Name a link; the server's port is asked for at each connection."""
        self.name = name
        self.port = 0
        self.weather = Weather.CLEAR
        self._delay_s = 0.0
        self._port_of_server = port_of_server
        self._passable = asyncio.Event()
        self._passable.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and end what goes on."""
        if self._server is not None:
            self._server.close()
        self._reset()
        for task in tuple(self._tasks):
            _ = task.cancel()
        _ = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reset()  # what had still something to write to nobody
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)  # what was reset is told so by the loop

    def change(self, weather: Weather, delay_s: float = 0.0) -> None:
        """Change the weather, for what is open as for what is opened later."""
        self.weather, self._delay_s = weather, delay_s
        if weather is Weather.HOLE:
            self._passable.clear()
        else:
            self._passable.set()
        if weather is Weather.CUT:
            self._reset()

    def _reset(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                await self._pass(reader, writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather is Weather.CUT:
            return
        await self._passable.wait()
        async with asyncio.timeout(CONNECT_S):
            there, back = await asyncio.open_connection(
                LOOPBACK, self._port_of_server(), limit=CHUNK_BYTES
            )
        self._writers.add(back)
        ways = [
            asyncio.create_task(self._pump(reader, back)),
            asyncio.create_task(self._pump(there, writer)),
        ]
        try:
            _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                _ = way.cancel()
            _ = await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(back)
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes one way until an end is gone."""
        while piece := await reader.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._passable.wait()
            writer.write(piece)
            await writer.drain()
