"""What every conformance test of a sandbox works with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from penstock_runtime.ports.sandbox import (
    Sandbox,
    SandboxResult,
    SandboxSpec,
)
from penstock_testkit.sandbox_probes import (
    LIMITS,
    PRELUDE,
    WAIT_S,
    Log,
    processes_marked,
)

BuildSpec = Callable[..., SandboxSpec]


class SandboxTasks:
    """An agent's folder, tasks, and an end to each.

    Attributes:
        isolates: Whether the adapter has mounts, a network of its own and an egress proxy.
        bounds_processes: Whether a fork bomb is held by the kernel.
        local: Whether its processes can be seen from here.
    """

    isolates = True
    bounds_processes = True
    local = True

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        """An agent's folder, in a place with a space in its name."""
        folder = tmp_path / "an agent"
        folder.mkdir()
        (folder / "shipped.txt").write_text("shipped")
        return folder

    @pytest.fixture
    def spec(self, bundle: Path) -> BuildSpec:
        """Build a task from a line of Python."""

        def build(code: str, *arguments: str, given: object = None) -> SandboxSpec:
            command = ("python", "-S", "-c", PRELUDE + code, *arguments)
            return SandboxSpec("task-1", bundle, command, json.dumps(given).encode(), LIMITS)

        return build

    @pytest.fixture
    def mark(self) -> Iterator[str]:
        """A word for command lines; whatever the test does, no process may keep it."""
        word = f"mark-{uuid4().hex}"
        yield word
        assert processes_marked(word) == []

    async def finished(self, sandbox: Sandbox, spec: SandboxSpec, log: Log) -> SandboxResult:
        """Run a task to its end."""
        return await asyncio.wait_for(sandbox.run(spec, log), WAIT_S)

    async def cancelled(self, running: asyncio.Task[SandboxResult]) -> None:
        """Cancel a task and see that the cancellation arrives."""
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_S)

    def needs_isolation(self) -> None:
        """Skip what an adapter without isolation cannot do."""
        if not self.isolates:
            pytest.skip("this adapter isolates nothing")

    @pytest.fixture
    async def greeter(self) -> AsyncIterator[int]:
        """A port of the host's loopback on which an HTTP server says hello."""
        async with greeting() as port:
            yield port


@asynccontextmanager
async def greeting() -> AsyncGenerator[int]:
    """An HTTP server on the host's loopback that says hello; gives its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"hello from outside"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
