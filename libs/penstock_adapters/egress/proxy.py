"""A forward proxy for one task: CONNECT, and plain HTTP in absolute form.

It reads one request head, decides, opens one connection to the pinned address and then only
copies bytes. A plain request is forwarded with `Connection: close`, so that no second request
for another host can ride on an allowed connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from penstock_adapters.egress.rules import Destination, EgressDenied, EgressPolicy

MAX_CONNECTIONS = 32
"""Connections one task may have open at once."""

HEAD_BYTES = 16 * 1024
"""Largest request head."""

HEAD_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0
"""Seconds without a byte in either direction after which a connection is closed."""

COPY_BYTES = 64 * 1024

_HOP_HEADERS = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"host",
    }
)
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class EgressDecision:
    """One decision, for the log: who was asked for, whether it was allowed, and why not."""

    host: str
    port: int
    allowed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request head as far as the proxy understands it."""

    host: str
    port: int
    forward: bytes | None  # head to send on, None for CONNECT


class BadRequest(Exception):
    """A request head the proxy does not understand."""


class EgressProxy:
    """Serves one task on one Unix socket.

    Args:
        policy: What the task may reach.
        on_decision: Called on the event loop for each decision.
        max_connections: Connections served at once; further ones are closed at once.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        on_decision: Callable[[EgressDecision], None],
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._policy = policy
        self._on_decision = on_decision
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen at `path`, however long it is, for whoever can reach its folder."""
        listener = bind_unix(path)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=HEAD_BYTES
        )

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=CONNECT_TIMEOUT_S)
        self._policy.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._max_connections:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._relay(parse_head(head), reader, writer)
        except (BadRequest, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            await _answer(writer, b"400 Bad Request", type(error).__name__)
        except (OSError, TimeoutError):
            pass  # either side went away: nothing to tell anybody
        finally:
            writer.transport.abort()

    async def _relay(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            destination = await self._policy.decide(request.host, request.port)
        except EgressDenied as denied:
            self._on_decision(EgressDecision(request.host, request.port, False, str(denied)))
            await _answer(writer, b"403 Forbidden", f"egress denied: {denied}")
            return
        self._on_decision(
            EgressDecision(request.host, request.port, True, f"as {destination.address}")
        )
        try:
            out_reader, out_writer = await _connect(destination)
        except (OSError, TimeoutError):
            await _answer(writer, b"502 Bad Gateway", "the destination does not answer")
            return
        try:
            if request.forward is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                out_writer.write(request.forward)
            await _join(reader, writer, out_reader, out_writer)
        finally:
            out_writer.transport.abort()


async def _connect(
    destination: Destination,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await asyncio.open_connection(destination.address, destination.port)


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    out_reader: asyncio.StreamReader,
    out_writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until the destination has said everything, or both fall silent."""
    async with asyncio.timeout(IDLE_TIMEOUT_S) as idle:
        upward = asyncio.create_task(_copy(reader, out_writer, idle))
        try:
            await _copy(out_reader, writer, idle)
            writer.close()  # flushes, where the abort that follows would throw away
            with suppress(ConnectionError):
                await writer.wait_closed()
        finally:
            upward.cancel()
            await asyncio.wait({upward})


async def _copy(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, idle: asyncio.Timeout
) -> None:
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while data := await source.read(COPY_BYTES):
            idle.reschedule(loop.time() + IDLE_TIMEOUT_S)
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
        await sink.drain()


async def _answer(writer: asyncio.StreamWriter, status: bytes, detail: str) -> None:
    body = detail.encode() + b"\n"
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n" % (
        status,
        len(body),
    )
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            writer.write(head + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()


def parse_head(head: bytes) -> Request:
    """Understand a request head.

    Raises:
        BadRequest: It is neither CONNECT host:port nor an absolute http:// request.
    """
    first, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    try:
        method, target, version = first.decode("ascii").split(" ")
    except ValueError as error:  # UnicodeDecodeError is one too
        raise BadRequest("request line") from error
    if not version.startswith("HTTP/1.") or not method.isalpha():
        raise BadRequest("request line")
    if method == "CONNECT":
        return Request(*_host_port(f"//{target}", None), forward=None)
    if not target.lower().startswith("http://"):
        raise BadRequest("absolute form expected")
    host, port = _host_port(target, _HTTP_PORT)
    return Request(host, port, _rewrite(method, target, headers))


def _host_port(url: str, default_port: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or default_port
    except ValueError as error:
        raise BadRequest("port") from error
    if parts.username is not None or not parts.hostname or port is None:
        raise BadRequest("host and port")
    return parts.hostname, port


def _rewrite(method: str, target: str, headers: list[bytes]) -> bytes:
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [
        header
        for header in headers
        if header[:1] not in (b" ", b"\t")
        and header.partition(b":")[0].strip().lower() not in _HOP_HEADERS
    ]
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + parts.netloc.encode(), *kept]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n"


def bind_unix(path: Path) -> socket.socket:
    """Bind a listening socket at a path that may exceed the 107 bytes an address can hold."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            # The folder above is private; the agent's own uid must be able to connect.
            # penstock: ignore[open-permissions, wide-permissions] -- a socket in a private folder
            os.chmod(path, 0o666)
        except OSError:
            listener.close()
            raise
    finally:
        os.close(folder)
    return listener
