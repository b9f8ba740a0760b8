"""Looking at a server of NATS: its greeting, what a user may ask, what stands in its streams.

Nothing is published to a stream, and nothing is created. Whether a user may do what it must not
is asked by requests for information alone.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

import orjson

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.jetstream import (
    CONSUMER_NOT_FOUND,
    STREAM_NOT_FOUND,
    JetStreamApi,
    RefusedError,
    StreamInfo,
    stream_info_of,
)
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_contracts.permissions import API
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import PlacedMarker

GREETING_LIMIT_BYTES: Final = 64 * 1024
DEFAULT_PORT: Final = 4222
PERMISSION: Final = "permissions violation"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says before anybody logs in.

    Attributes:
        version: as it writes it, such as `2.12.1`.
        max_payload: largest message it takes, bytes.
        jetstream: whether it has streams at all.
    """

    version: str
    max_payload: int
    jetstream: bool
    address: str

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) where that cannot be read."""
        pieces = [piece for piece in self.version.split(".")[:2] if piece.isdigit()]
        return (int(pieces[0]), int(pieces[1])) if len(pieces) == 2 else (0, 0)


async def greeting(server: str, within_s: float) -> Greeting:
    """Read what the server at `nats://host:port` says first.

    Raises:
        TransientFault: nothing answers in time, or it is no server of NATS.
    """
    parts = urlsplit(server if "//" in server else f"nats://{server}")
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    address = f"{host}:{port}"
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port, limit=GREETING_LIMIT_BYTES)
            try:
                line = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError, ssl.SSLError):
                    await writer.wait_closed()
    except TimeoutError:
        raise TransientFault(f"{address} does not answer within {within_s:g} s") from None
    except OSError as error:
        raise TransientFault(f"{address}: {error.strerror or error}") from None
    except ValueError:
        line = b""
    word, _, document = line.partition(b" ")
    try:
        told: object = orjson.loads(document) if word == b"INFO" else None
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise TransientFault(f"{address} does not greet as a server of NATS does")
    info = cast("Mapping[str, Any]", told)
    return Greeting(
        str(info.get("version", "")),
        int(info.get("max_payload", 0)),
        bool(info.get("jetstream")),
        address,
    )


@dataclass(slots=True)
class _Refusals:
    """Subjects that the server refused to this connection, and who waits to hear of it."""

    texts: list[str] = field(default_factory=list[str])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, error: Exception) -> None:
        """Keep what the server said."""
        text = str(error).lower()
        if PERMISSION in text:
            self.texts.append(text)
            self.changed.set()

    def about(self, subject: str) -> bool:
        """Tell whether `subject` was among it."""
        wanted = subject.lower()
        return any(f'"{wanted}"' in text for text in self.texts)

    async def wait(self, subject: str) -> None:
        """Return once `subject` is refused."""
        while not self.about(subject):
            self.changed.clear()
            await self.changed.wait()


class _NotPermitted(TransientFault):
    """The server refused the request itself."""


class BusInspection:
    """Questions to the bus as one user."""

    def __init__(self, connection: NatsConnection, refusals: _Refusals) -> None:
        """Use `inspecting` instead."""
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._refusals = refusals

    @property
    def address(self) -> str:
        """Host and port of the servers that were named."""
        return self._connection.settings.address()

    async def may(self, verb: str) -> bool:
        """Tell whether this user may make an API call, by making it; for looks alone.

        Raises:
            TransientFault: neither an answer nor a refusal came.
        """
        try:
            await self._ask(verb)
        except RefusedError:  # JetStream itself said no: the request came through
            return True
        except _NotPermitted:
            return False
        return True

    async def _ask(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call, and hear at once of a call that is not permitted.

        Raises:
            RefusedError: JetStream said no.
            TransientFault: no answer, or not permitted.
        """
        call = asyncio.ensure_future(self._api.call(verb, body))
        refused = asyncio.ensure_future(self._refusals.wait(f"{API}.{verb}"))
        try:
            await asyncio.wait((call, refused), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise _NotPermitted(f"not permitted to ask for {verb}")
            return call.result()
        finally:
            for task in (call, refused):
                task.cancel()
            await asyncio.gather(call, refused, return_exceptions=True)

    async def stream(self, name: str) -> StreamInfo | None:
        """Look at a stream; None: there is none.

        Raises:
            TransientFault: no answer, or the user may not ask.
        """
        try:
            return stream_info_of(await self._ask(f"STREAM.INFO.{name}"))
        except RefusedError as refused:
            if refused.err_code == STREAM_NOT_FOUND:
                return None
            raise

    async def subjects(self, stream: str, pattern: str) -> Mapping[str, int]:
        """Count the messages of a stream by subject.

        Raises:
            TransientFault: no answer, or no such stream.
        """
        body = {"subjects_filter": pattern}
        answer = await self._ask(f"STREAM.INFO.{stream}", body)
        found: Mapping[str, int] = answer["state"].get("subjects") or {}
        return found

    async def consumer(self, stream: str, name: str) -> Mapping[str, Any] | None:
        """Look at a consumer; None: there is none, or no such stream.

        Raises:
            TransientFault: no answer.
        """
        try:
            return await self._ask(f"CONSUMER.INFO.{stream}.{name}")
        except RefusedError as refused:
            if refused.err_code in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
                return None
            raise

    async def heartbeats(self) -> Mapping[str, Mapping[str, Any]]:
        """Give what executors tell of themselves.

        Raises:
            TransientFault: no answer, or no such bucket.
        """
        return await NatsHeartbeats(self._connection).entries()

    async def marker(self, partition: str) -> PlacedMarker | None:
        """Give the last valid marker of a partition in EVENTS.

        Raises:
            TransientFault: no answer, or no such stream.
        """
        return await NatsRelayLog(self._connection).last_marker(partition)


@asynccontextmanager
async def inspecting(settings: NatsSettings) -> AsyncGenerator[BusInspection]:
    """Log in, look, leave.

    Raises:
        TransientFault: no server answers, or it refuses the login.
    """
    refusals = _Refusals()
    connection = await connect(settings, refusals.note)
    try:
        yield BusInspection(connection, refusals)
    finally:
        await connection.close()
