"""Where containers' first processes report: one Unix socket, a line for each task."""

from __future__ import annotations

import asyncio
import marshal
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_adapters.dagger.carrying import carried
from penstock_adapters.process.child import Exit
from penstock_adapters.process.output import Output, OutputState
from penstock_adapters.process.supervision import Stop, memory_detail
from penstock_runtime.ports.sandbox import ARTIFACT_ENTRIES_MAX, ExitReason, Limits

FRAME_BYTES = 64 * 1024
"""Longest piece of what an agent prints."""

_HELLO_WAIT_S = 10.0
_TOKEN_BYTES = 16
_HEAD_BYTES = 5
_NUMBER_BYTES = 8
_ENDING_BYTES = 2 + 3 * _NUMBER_BYTES


@dataclass(frozen=True, slots=True)
class End:
    """What a container's first process says at the end.

    Attributes:
        stop: one letter: why it ended the agent; `-` if that ended by itself.
    """

    exit: Exit
    output: Output
    stop: str


class Line:
    """The connection with one task's first process.

    Attributes:
        opened: Done when the process has called.
        ended: Done with the end; its result is None where the line broke before.
        egress: Socket of the proxy that the task may use.
    """

    def __init__(self, output_bytes: int, on_print: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.token = secrets.token_hex(_TOKEN_BYTES)
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[End | None] = loop.create_future()
        self._bound = max(output_bytes + _ENDING_BYTES, FRAME_BYTES)
        self._on_print = on_print
        self.egress: Path | None = None
        self._writer: asyncio.StreamWriter | None = None

    def say(self, kind: bytes, payload: bytes = b"") -> None:
        """Send a frame; nothing happens if nobody has called, or nobody listens any more."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(kind + len(payload).to_bytes(4, "big") + payload)

    def start(self, order: dict[str, Any]) -> None:
        """Tell the process what to run; it is run by the same interpreter as we are."""
        self.say(b"S", marshal.dumps(order))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in all that is said."""
        self._writer = writer
        self.opened.set_result(None)
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while not self.ended.done():
                head = await reader.readexactly(_HEAD_BYTES)
                size = int.from_bytes(head[1:], "big")
                if size > self._bound:
                    break
                self.take(head[:1], await reader.readexactly(size))
        self.hang_up()

    def take(self, kind: bytes, payload: bytes) -> None:
        """Take in a frame."""
        if self.ended.done():
            return
        if kind in (b"O", b"E"):
            self._on_print("stdout" if kind == b"O" else "stderr", payload)
        elif kind == b"X":
            self.ended.set_result(_end_of(payload))

    def hang_up(self) -> None:
        """Say goodbye; the process then kills whatever is left."""
        if self._writer is not None:
            self.say(b"B")
            self._writer.close()
        if not self.ended.done():
            self.ended.set_result(None)


class Exchange:
    """Listens for first processes, and connects each with the line that it names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, Line] = {}
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._called, self.path)
        self.path.chmod(0o600)

    def expect(self, line: Line) -> None:
        """Await a call for a line."""
        self._lines[line.token] = line

    def forget(self, line: Line) -> None:
        """Await it no longer, and close it."""
        self._lines.pop(line.token, None)
        line.hang_up()

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, line = b"", None
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_HELLO_WAIT_S):
                hello = await reader.readexactly(_HEAD_BYTES + 2 * _TOKEN_BYTES)
            kind = hello[:1]
            line = self._lines.get(hello[_HEAD_BYTES:].decode("ascii", "replace"))
        if line is not None and kind == b"H" and not line.opened.done():
            await line.serve(reader, writer)
        elif line is not None and kind == b"G" and line.egress is not None:
            await carried(reader, writer, line.egress)
        else:
            writer.close()

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        for line in tuple(self._lines.values()):
            self.forget(line)


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Cut a record into its frames; an unfinished last one is left out."""
    at = 0
    while at + _HEAD_BYTES <= len(data):
        end = at + _HEAD_BYTES + int.from_bytes(data[at + 1 : at + _HEAD_BYTES], "big")
        if end > len(data):
            return
        yield data[at : at + 1], data[at + _HEAD_BYTES : end]
        at = end


def _end_of(payload: bytes) -> End | None:
    if len(payload) < _ENDING_BYTES:
        return None
    places = range(2, _ENDING_BYTES, _NUMBER_BYTES)
    numbers = [int.from_bytes(payload[at : at + _NUMBER_BYTES], "big") for at in places]
    data = payload[_ENDING_BYTES:]
    state = OutputState.PRESENT if data else OutputState.MISSING
    output = Output(OutputState.TOO_LARGE) if payload[1:2] == b"L" else Output(state, data or None)
    return End(
        Exit(numbers[0], numbers[1] / 1e6, numbers[2]),
        output,
        payload[:1].decode("ascii", "replace"),
    )


def stop_of(letter: str, limits: Limits) -> Stop | None:
    """Say why the first process ended an agent; None if it did not, or was asked to."""
    match letter:
        case "M":
            return Stop(ExitReason.MEMORY, memory_detail(limits))
        case "C":
            return Stop(ExitReason.TIMEOUT, f"used more than {limits.cpu_s:g} s of CPU time")
        case "W":
            return Stop(ExitReason.TIMEOUT, f"ran longer than {limits.wall_s:g} s")
        case "A":
            bound = f"{limits.artifacts_bytes // 2**20} MB or {ARTIFACT_ENTRIES_MAX} files"
            return Stop(ExitReason.ARTIFACTS_TOO_LARGE, f"over {bound} of artifacts")
        case "G":
            grown = f"a workspace grew by more than {limits.disk_bytes} bytes"
            return Stop(ExitReason.OUTPUT_TOO_LARGE, grown)
        case _:
            return None
