"""The egress proxy against an agent that means no good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from penstock_adapters.egress import EgressDecision, EgressPolicy, EgressProxy
from penstock_runtime.ports.sandbox import EgressRule

WAIT_S = 10.0
CONNECTIONS = 4


class Origin:
    """A server that writes down what it is sent, and answers once."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.port = server.sockets[0].getsockname()[1]
    yield origin
    server.close()


@pytest.fixture
def decisions() -> list[EgressDecision]:
    return []


@pytest.fixture
async def door(
    tmp_path: Path, origin: Origin, decisions: list[EgressDecision]
) -> AsyncIterator[Path]:
    deep = tmp_path / ("deep" * 20) / ("er" * 20)  # beyond what a socket's address can hold
    deep.mkdir(parents=True)
    policy = EgressPolicy([EgressRule("127.0.0.1", origin.port)])
    proxy = EgressProxy(policy, decisions.append, max_connections=CONNECTIONS)
    await proxy.start(deep / "egress.sock")
    link = tmp_path / "d"
    link.symlink_to(deep)
    yield link / "egress.sock"
    await asyncio.wait_for(proxy.close(), WAIT_S)


async def ask(door: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(_address(door))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), WAIT_S)
    writer.close()
    return answer


def _address(door: Path) -> str:
    return str(door)


async def test_decisions_are_told(door: Path, origin: Origin, decisions: list[EgressDecision]):
    allowed = f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1\r\n\r\n".encode()
    assert (await ask(door, allowed)).startswith(b"HTTP/1.1 204")
    assert (await ask(door, b"CONNECT 10.1.1.1:22 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403")
    assert [(told.host, told.port, told.allowed) for told in decisions] == [
        ("127.0.0.1", origin.port, True),
        ("10.1.1.1", 22, False),
    ]


async def test_credentials_for_a_proxy_go_nowhere(door: Path, origin: Origin):
    head = f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1\r\n"
    await ask(door, f"{head}Proxy-Authorization: secret\r\n\r\n".encode())
    assert b"secret" not in origin.heard[0]
    assert b"Connection: close" in origin.heard[0]


@pytest.mark.parametrize(
    "request_head",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 40_000 + b"\r\n\r\n"],
)
async def test_nonsense_is_refused(door: Path, request_head: bytes):
    assert (await ask(door, request_head)).startswith(b"HTTP/1.1 400")


async def test_connections_are_bounded(door: Path):
    held = [await asyncio.open_unix_connection(_address(door)) for _ in range(CONNECTIONS)]
    reader, writer = await asyncio.open_unix_connection(_address(door))
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()
    for _, other in held:
        other.close()
