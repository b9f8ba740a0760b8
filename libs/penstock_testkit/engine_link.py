"""A way to a Dagger engine that a test can cut, or hold still, without touching the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_PIECE_BYTES = 64 * 1024


class EngineLink:
    """Listens on a Unix socket and passes on to the engine.

    Args:
        engine: Runner host, `unix://` or `tcp://`.
        path: Where to listen; short, as paths of sockets are.
    """

    def __init__(self, engine: str, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def host(self) -> str:
        """The runner host that leads through here."""
        return f"unix://{self._path}"

    async def restore(self) -> None:
        """Listen, and let everything flow."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)

    def cut(self) -> None:
        """End every connection at once and take no other, as if the engine had been killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
        for writer in tuple(self._open):
            writer.transport.abort()

    def hold(self) -> None:
        """Pass nothing on any more, as if the engine hung."""
        self._flowing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, _, place = self._engine.partition("://")
        if kind == "unix":
            answers, engine = await asyncio.open_unix_connection(place)
        else:
            host, _, port = place.rpartition(":")
            answers, engine = await asyncio.open_connection(host, int(port))
        ends = {writer, engine}
        self._open |= ends
        with suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as ways:
                _ = ways.create_task(self._pass_on(reader, engine))
                _ = ways.create_task(self._pass_on(answers, writer))
        self._open -= ends
        for end in ends:
            end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE_BYTES):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()


@asynccontextmanager
async def linked(engine: str, folder: Path) -> AsyncGenerator[EngineLink]:
    """A link that is up."""
    link = EngineLink(engine, folder / "engine.sock")
    await link.restore()
    try:
        yield link
    finally:
        link.cut()
