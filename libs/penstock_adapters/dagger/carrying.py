"""Connections of agents to the egress proxy, which arrive in frames; see `inside/egress.py`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

_HEAD_BYTES = 5
_PIECE_BYTES = 32 * 1024


async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: Path) -> None:
    """Carry one connection to the proxy and back, to its end."""
    try:
        answers, proxy = await asyncio.open_unix_connection(socket)
    except OSError:
        writer.close()
        return
    with suppress(OSError, asyncio.IncompleteReadError, ExceptionGroup):
        async with asyncio.TaskGroup() as ways:
            _ = ways.create_task(_there(reader, proxy))
            _ = ways.create_task(_back(answers, writer))
    for end in (proxy, writer):
        end.close()


async def _there(frames: asyncio.StreamReader, proxy: asyncio.StreamWriter) -> None:
    while True:
        head = await frames.readexactly(_HEAD_BYTES)
        size = int.from_bytes(head[1:], "big")
        if head[:1] != b"D" or size > _PIECE_BYTES:
            break
        proxy.write(await frames.readexactly(size))
        await proxy.drain()
    proxy.write_eof()


async def _back(answers: asyncio.StreamReader, frames: asyncio.StreamWriter) -> None:
    while data := await answers.read(_PIECE_BYTES):
        frames.write(b"D" + len(data).to_bytes(4, "big") + data)
        await frames.drain()
    frames.write(b"F" + bytes(4))
    await frames.drain()
