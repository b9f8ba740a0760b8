"""The HTTP side of a simulated gateway: the server's own protocol, and no sockets.

What a client sends is read by the server's own parser and passes all its middlewares and handlers;
only the wire is a piece of memory. Whoever kills the process breaks the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from pydantic_core import from_json, to_json

from penstock_contracts.values import JsonObject
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.processes import Life

CLIENT = ("192.0.2.1", 40_000)  # of no loopback: every request counts against the rate limit
HOST = "gateway.example"
HEAD_END = b"\r\n\r\n"


class Broken(Exception):
    """No answer: nobody listens, the connection broke, or the client waited long enough."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told."""

    status: int
    body: JsonObject

    @property
    def code(self) -> str:
        """Give the code of a refusal; empty if it is none."""
        return str(self.body.get("code", ""))


class Door:
    """One life of a gateway, as its clients reach it."""

    def __init__(self, life: Life, app: web.Application, dice: Dice) -> None:
        """Serve `app` in `life`, once it is open."""
        self._life = life
        self._dice = dice
        self._runner = web.AppRunner(app, access_log=None)
        self._server: web.Server | None = None

    async def open(self) -> None:
        """Listen from now on."""
        await self._runner.setup()
        self._server = self._runner.server

    async def post(
        self, path: str, body: JsonObject, headers: Mapping[str, str], within_s: float
    ) -> Answer:
        """Send a request on a connection of its own.

        Raises:
            Broken: there is no answer; what was asked may have been done all the same.
        """
        server = self._server
        if server is None or not self._life.alive:
            raise Broken("connection refused")
        wire = _Wire(server)
        self._life.spawn(self._serve(wire, _written(path, to_json(body), headers)))
        try:
            async with asyncio.timeout(within_s):
                return _read(await wire.told)
        except TimeoutError:
            raise Broken("no answer in time") from None
        finally:
            wire.cut()

    async def _serve(self, wire: _Wire, request: bytes) -> None:
        """Bring in a request in two pieces, and stay until the connection ends."""
        part = self._dice.randint(0, len(request))
        try:
            await self._life.breathe()
            wire.open()
            wire.receive(request[:part])
            await self._life.breathe()
            wire.receive(request[part:])
            await wire.ended.wait()
        finally:
            wire.cut()


class _Wire(asyncio.Transport):
    """A connection in memory.

    Attributes:
        told: what the server wrote before it closed the connection.
        ended: the connection is closed.
    """

    def __init__(self, server: web.Server) -> None:
        super().__init__({"peername": CLIENT})
        self.ended = asyncio.Event()
        self.told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._server = server
        self._protocol: asyncio.Protocol | None = None
        self._written = bytearray()

    def open(self) -> None:
        """Connect, unless the client is gone already."""
        if not self.ended.is_set():
            self._protocol = self._server()
            self._protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """Bring in what the client has sent."""
        if self._protocol is not None and data:
            self._protocol.data_received(data)

    def cut(self) -> None:
        """Break it, unless it is closed: the server learns of it, and the client as well."""
        if not self.told.done():
            self.told.set_exception(Broken("the connection broke"))
            self.told.exception()  # a client that has given up does not ask
        self._end(ConnectionResetError("the connection broke"))

    def _end(self, why: Exception | None) -> None:
        self.ended.set()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(why)

    # --- what the server calls ------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what is written; behind a broken wire nobody reads it."""
        self._written += data

    def close(self) -> None:
        """End the answer; the server is told in its next step, as of a socket."""
        if not self.told.done():
            self.told.set_result(bytes(self._written))
        asyncio.get_running_loop().call_soon(self._end, None)

    def abort(self) -> None:
        """End at once."""
        self.close()

    def is_closing(self) -> bool:
        """Tell whether it is at an end."""
        return self.told.done()

    def pause_reading(self) -> None:
        """Know no haste."""

    def resume_reading(self) -> None:
        """Know no haste."""


def _written(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    named = {
        "Host": HOST, "Connection": "close", "Content-Type": "application/json",
        "Content-Length": str(len(body)), **headers,
    }  # fmt: skip
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + HEAD_END + body


def _read(told: bytes) -> Answer:
    """Read an answer.

    Raises:
        Broken: it is not whole.
    """
    head, found, body = told.partition(HEAD_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    named = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
    }
    if not found or len(body) != int(named.get("content-length", "-1")):
        raise Broken("the answer is not whole")
    return Answer(int(first.split(" ", 2)[1]), cast("JsonObject", from_json(body)))
