"""Plays a container's first process: speaks as it does, and runs agents as plain processes."""

from __future__ import annotations

import asyncio
import marshal
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAREWELL_S = 5.0
_HEAD_BYTES = 5
_PIECE_BYTES = 32 * 1024
_SIGNALLED = 128

Say = Callable[[bytes, bytes], Awaitable[None]]


@dataclass(frozen=True)
class Faults:
    """What goes wrong, as files in a folder say."""

    folder: Path

    def on(self, name: str) -> bool:
        """Say whether a fault is switched on."""
        return (self.folder / name).exists()

    def letter(self) -> bytes | None:
        """Give the reason that is to be told."""
        with suppress(OSError):
            return (self.folder / "letter").read_bytes()[:1]
        return None


@dataclass
class Container:
    """What a container was asked to have.

    Attributes:
        places: places of this machine, by the one inside.
        order: of a task that is remembered.
    """

    places: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    channel: str = ""
    words: list[str] = field(default_factory=list[str])
    order: dict[str, Any] | None = None
    text: str = ""


class Play:
    """One agent, from its order to its end."""

    def __init__(
        self, order: dict[str, Any], container: Container, faults: Faults, say: Say
    ) -> None:
        self._order = order
        self._container = container
        self._faults = faults
        self._say = say
        self._agent: asyncio.subprocess.Process | None = None
        self._killed = False
        # The path of a socket has to be short; everything else goes with the state folder.
        place = None if order["egress"] else faults.folder
        self._folder = Path(tempfile.mkdtemp(prefix="fake-", dir=place))

    async def run(self) -> int:
        """Run the agent, and tell its end; gives its exit code."""
        folder = self._folder
        try:
            (folder / "work").mkdir()
            (folder / "input.json").write_bytes(self._order["input"])
            (folder / "output.json").touch()
            async with _way_out(self._container, self._order["egress"], folder / "egress.sock"):
                code = await self._ran()
            await self._say(b"X", self._ending(code))
        finally:
            self.kill()
            shutil.rmtree(folder)
        return code

    async def _ran(self) -> int:
        try:
            agent = self._agent = await asyncio.create_subprocess_exec(
                *map(self._settled, self._order["argv"]),
                env=self._environment(), cwd=self._folder / "work", start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            await self._say(b"E", f"cannot start: {error.strerror}\n".encode())
            return 127
        if self._killed:
            self.kill()
        assert agent.stdout is not None
        assert agent.stderr is not None
        await asyncio.gather(self._pump(agent.stdout, b"O"), self._pump(agent.stderr, b"E"))
        code = await agent.wait()
        return code if code >= 0 else _SIGNALLED - code

    async def _pump(self, stream: asyncio.StreamReader, kind: bytes) -> None:
        while data := await stream.read(_PIECE_BYTES):
            await self._say(kind, data)

    def _settled(self, word: bytes) -> str:
        """Replace places inside by those of this machine."""
        own = ("input.json", "output.json", "egress.sock", "work")
        places = {f"/penstock/{name}": str(self._folder / name) for name in own}
        places |= self._container.places
        text = os.fsdecode(word)
        for place in sorted(places, key=len, reverse=True):
            text = text.replace(place, places[place])
        return text

    def _environment(self) -> dict[str, str]:
        given = {os.fsdecode(k): self._settled(v) for k, v in self._order["env"].items()}
        return {"PATH": os.environ["PATH"], **self._container.secrets, **given}

    def _ending(self, code: int) -> bytes:
        stop = self._faults.letter() or (b"K" if self._killed else b"-")
        data = (self._folder / "output.json").read_bytes()
        state = b"P"
        if len(data) > self._order["output_bytes"]:
            state, data = b"L", b""
        numbers = (code, 10_000, 2**20)
        return stop + state + b"".join(n.to_bytes(8, "big") for n in numbers) + data

    def terminate(self) -> None:
        """Ask the agent to end."""
        if self._agent is not None and self._agent.returncode is None:
            self._agent.terminate()

    def kill(self) -> None:
        """End everything."""
        self._killed = True
        if self._agent is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._agent.pid, signal.SIGKILL)


def order_of(data: bytes) -> dict[str, Any]:
    """Read an order."""
    # penstock: ignore[unsafe-deserialisation] -- the adapter under test wrote it
    return marshal.loads(data)  # noqa: S302 - the adapter's own


async def called(container: Container, faults: Faults) -> int:
    """Play a task with a channel; gives the exit code of its first process."""
    if faults.on("silent"):
        await asyncio.Event().wait()
    reader, writer = await asyncio.open_unix_connection(container.channel)
    lock = asyncio.Lock()

    async def say(kind: bytes, payload: bytes) -> None:
        with suppress(OSError):
            async with lock:
                writer.write(_frame(kind, payload))
                await writer.drain()

    token = container.words[-1].encode()
    try:
        await say(b"H", b"?" * len(token) if faults.on("bad-hello") else token)
        kind, payload = await _heard(reader)
        if kind != b"S":
            return 126
        if faults.on("dies"):
            return 137
        play = Play(order_of(payload), container, faults, say)
        obeying = asyncio.create_task(_obey(reader, play, faults))
        try:
            await play.run()
            await asyncio.wait({obeying}, timeout=FAREWELL_S)
        finally:
            obeying.cancel()
        return 0
    except (OSError, asyncio.IncompleteReadError):
        return 126
    finally:
        writer.close()


async def remembered(container: Container, faults: Faults) -> tuple[int, bytes]:
    """Play a task without a channel; gives its exit code and its record."""
    record = bytearray()

    async def say(kind: bytes, payload: bytes) -> None:
        if payload:
            record.extend(_frame(kind, payload))

    assert container.order is not None
    code = await Play(container.order, container, faults, say).run()
    return code, bytes(record)


async def _obey(reader: asyncio.StreamReader, play: Play, faults: Faults) -> None:
    kind = b""
    while kind != b"B":
        try:
            kind, _ = await _heard(reader)
        except (OSError, asyncio.IncompleteReadError):
            kind = b"B"
        if faults.on("deaf"):
            continue
        if kind == b"T":
            play.terminate()
        elif kind in (b"K", b"B"):
            play.kill()


class _way_out:  # noqa: N801 - used as a function is
    """The agent's way to the proxy; see `inside/egress.py`."""

    def __init__(self, container: Container, token: bytes, path: Path) -> None:
        self._container = container
        self._token = token
        self._path = path
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        if self._token:
            self._server = await asyncio.start_unix_server(self._carry, self._path)

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _carry(self, agent: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_unix_connection(self._container.channel)
        writer.write(_frame(b"G", self._token))

        async def there() -> None:
            while data := await agent.read(_PIECE_BYTES):
                writer.write(_frame(b"D", data))
            writer.write(_frame(b"F", b""))

        going = asyncio.create_task(there())
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, data = await _heard(reader)
                if kind == b"F":
                    break
                back.write(data)
        going.cancel()
        for end in (writer, back):
            end.close()


def _frame(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


async def _heard(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(_HEAD_BYTES)
    return head[:1], await reader.readexactly(int.from_bytes(head[1:], "big"))
