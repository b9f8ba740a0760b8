"""One session with an engine: the CLI that leads to it, and the GraphQL client of its API.

The SDK starts the CLI with whatever is in this process' environment, which it shares with agents'
secrets, and waits for minutes for one that hangs. Here the CLI gets an environment of its own, its
own end is awaited for a moment only, and every request has a time limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock_adapters.dagger.faults import EngineAway
from penstock_adapters.dagger.waits import Waits
from penstock_adapters.process.leftovers import owned

if TYPE_CHECKING:
    from penstock_adapters.dagger.sdk import Api

_SDK = "penstock_adapters.dagger.sdk"
_HELLO_BYTES = 4_096
_REASON_CHARS = 300
_PASSED_ON = ("PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY",
              "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "DOCKER_HOST",
              "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")  # fmt: skip


class Session:
    """A CLI process and a client; broken for good once a request could not be made.

    Attributes:
        waits: How long its requests may take.
        broken: Set once a request got no answer.
    """

    def __init__(self, cli: asyncio.subprocess.Process, waits: Waits) -> None:
        self._cli = cli
        self.waits = waits
        self._sdk: Any = None
        self._api: Api | None = None
        self.broken = False

    @classmethod
    async def open(cls, cli: Path, engine: str | None, folder: Path, waits: Waits) -> Session:
        """Start a CLI and connect through it.

        Args:
            cli: The `dagger` program.
            engine: Runner host, as `_EXPERIMENTAL_DAGGER_RUNNER_HOST` takes it; None leaves the
                choice to the CLI.
            folder: Private folder for the CLI's own files and its log.
            waits: How long everything may take.

        Raises:
            EngineAway: There is no CLI, or it does not reach an engine in time.
        """
        if engine is not None:
            await _knock(engine, waits.hello_s)
        log = folder / "cli.log"
        with log.open("wb") as said:
            try:
                process = await asyncio.create_subprocess_exec(
                    str(cli), "session", "--label", "dagger.io/sdk.name:python",
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=said,
                    env=_environment(engine, folder), cwd=folder, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise EngineAway(f"{cli} cannot be started: {error.strerror}") from error
        session = cls(process, waits)
        try:
            async with asyncio.timeout(waits.hello_s):
                await session._connect()
        except TimeoutError:
            await session.close()
            where = engine or "an engine of its own choice"
            raise EngineAway(f"no answer from {where} in {waits.hello_s:g} s") from None
        except EngineAway as error:
            await session.close()
            raise EngineAway(f"{error}{_last_line(log)}") from error
        except BaseException:
            await session.close()
            raise
        return session

    async def _connect(self) -> None:
        stdout = self._cli.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        line = await stdout.readline()
        try:
            told = json.loads(line)
            port, token = int(told["port"]), str(told["session_token"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineAway("the CLI ended without a session") from error
        try:
            self._sdk = await asyncio.to_thread(import_module, _SDK)
        except ImportError as error:
            raise EngineAway("dagger-io is missing: install penstock[dagger]") from error
        self._api = self._sdk.Api(port, token, self.waits.schema_s)
        await self.api.open()

    @property
    def api(self) -> Api:
        """The engine's API."""
        assert self._api is not None  # noqa: S101 - open() has connected
        return self._api

    @property
    def usable(self) -> bool:
        """Whether requests can still be made."""
        return not self.broken and self._cli.returncode is None

    async def ask(self, document: str, wait_s: float | None) -> Mapping[str, Any]:
        """Make one request.

        Args:
            document: GraphQL.
            wait_s: Seconds until the engine is taken for hung; None where the caller watches.

        Raises:
            EngineAway: There was no answer; the session is of no use any more.
            Refused: The engine says no.
        """
        async with self.asking(wait_s):
            return await self.api.execute(document)

    @asynccontextmanager
    async def asking(self, wait_s: float | None) -> AsyncGenerator[None]:
        """Turn what the SDK raises into our own faults, and bound the time.

        Raises:
            EngineAway: There was no answer; the session is of no use any more.
            Refused: The engine says no.
        """
        if not self.usable:
            raise EngineAway("the session with the engine is over")
        try:
            async with asyncio.timeout(wait_s):
                yield
        except TimeoutError as error:
            self.broken = True
            raise EngineAway(f"no answer in {wait_s or 0:g} s") from error
        except Exception as error:
            fault = self._sdk.translated(error)
            self.broken = self.broken or isinstance(fault, EngineAway)
            raise fault from error

    async def close(self) -> None:
        """End the client and the CLI; what hangs is killed."""
        self.broken = True
        with suppress(Exception):  # it is going away, in whatever state it is
            async with asyncio.timeout(self.waits.end_s):
                if self._api is not None:
                    await self._api.close()
        if self._cli.stdin is not None:
            self._cli.stdin.close()
        try:
            async with asyncio.timeout(self.waits.end_s):
                await self._cli.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._cli.pid, signal.SIGKILL)
            await self._cli.wait()


async def _knock(engine: str, wait_s: float) -> None:
    """Tell at once that nobody listens; the CLI would try for minutes.

    Raises:
        EngineAway: Nobody does.
    """
    kind, _, place = engine.partition("://")
    try:
        async with asyncio.timeout(wait_s):
            if kind == "unix":
                _, writer = await asyncio.open_unix_connection(place)
            elif kind == "tcp":
                host, _, port = place.rpartition(":")
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            else:
                return
    except (OSError, TimeoutError, ValueError, socket.gaierror) as error:
        raise EngineAway(f"nobody listens at {engine}") from error
    writer.close()


def _environment(engine: str | None, folder: Path) -> dict[str, str]:
    own = {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "state"),
        "DO_NOT_TRACK": "1",
        "DAGGER_NO_NAG": "1",
        "NO_COLOR": "1",
        **owned(),
    }
    if engine is not None:
        own["_EXPERIMENTAL_DAGGER_RUNNER_HOST"] = engine
    return {**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, **own}


def _last_line(log: Path) -> str:
    with suppress(OSError):
        said = log.read_bytes()[-_HELLO_BYTES:].decode(errors="replace").strip().splitlines()
        if said:
            return f"; it said: {said[-1][:_REASON_CHARS]}"
    return ""
