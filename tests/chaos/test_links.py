"""The proxy between services and servers, and the clocks of single processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_testkit.chaos.clocks import Clocks
from penstock_testkit.chaos.proxy import Link, Weather

ANSWERS_WITHIN_S = 30.0
STAYS_SILENT_S = 0.3
LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def echo() -> AsyncGenerator[Link]:
    """A link to a server that gives back what it is sent."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = Link("test", lambda: port)
        await link.open()
        try:
            yield link
        finally:
            await link.close()


async def said(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(ANSWERS_WITHIN_S):
        return await reader.read(100)


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await said(reader) == b""
    except ConnectionResetError:
        return True


async def test_a_clear_link_carries_both_ways() -> None:
    async with echo() as link:
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        writer.close()


async def test_a_cut_link_resets_what_is_open_and_what_is_opened() -> None:
    async with echo() as link:
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        link.change(Weather.CUT)
        assert await ended(reader)
        writer.close()
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        assert await ended(reader)
        writer.close()
        link.change(Weather.CLEAR)
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        writer.write(b"again")
        assert await said(reader) == b"again"
        writer.close()


async def test_a_black_hole_swallows_until_it_is_gone() -> None:
    async with echo() as link:
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        link.change(Weather.HOLE)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(STAYS_SILENT_S):
                _ = await reader.read(100)
        link.change(Weather.CLEAR)
        assert await said(reader) == b"hello"
        writer.close()


async def test_a_slow_link_is_slow() -> None:
    async with echo() as link:
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        link.change(Weather.SLOW, 0.1)
        began = time.monotonic()
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        assert time.monotonic() - began >= 0.2
        writer.close()


async def test_nobody_behind_a_link_ends_the_connection() -> None:
    link = Link("test", lambda: 1)
    await link.open()
    reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
    assert await said(reader) == b""
    writer.close()
    await link.close()


def seen_by(clocks: Clocks, name: str) -> float:
    """Ask a process of its own for the time of day."""
    environ = {
        **os.environ,
        "LD_PRELOAD": str(clocks.library),
        "CHAOS_CLOCK": str(clocks.folder / name),
    }
    code = "import time; print(time.time(), time.monotonic())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    wall, steady = map(float, done.stdout.split())
    assert abs(steady - time.monotonic()) < 60
    return wall - time.time()


def test_one_process_has_a_wrong_clock_and_others_have_not(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path / "clocks", ("here", "there"))
    if clocks.library is None:
        pytest.skip(clocks.obstacle)
    clocks.set("here", -7200.5)
    assert -7261 < seen_by(clocks, "here") <= -7200
    assert -61 < seen_by(clocks, "there") <= 0
    clocks.set("here", 0.0)
    assert -61 < seen_by(clocks, "here") <= 0
