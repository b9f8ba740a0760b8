"""A connection that never buffers, notices a dead server in seconds, and never gives up."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nats.errors import Error as NatsError

from penstock_adapters.nats.client import DirectClient, Handler
from penstock_adapters.nats.replies import NOBODY, Exchange, Frame, ReplyBox, Tries
from penstock_adapters.nats.wire import checked_subject, publish_parts
from penstock_runtime.faults import TransientFault

ENDLESS: Final = -1
NO_BUFFERING: Final = 0
DEFAULT_PORT: Final = 4222
FIRST_TRIES: Final = 3  # of each server, resets not counted

OnError = Callable[[Exception], None]
OnChange = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """How to reach the bus.

    Attributes:
        url: `nats://host:port` or `tls://...`; several separated by commas.
        inbox_prefix: subject prefix below which this user may listen.
        name: shown in the server's list of connections.
        ca_file: certificates to trust; with it, or with `tls://`, the connection is encrypted.
        cert_file: client certificate, with `key_file`.
        connect_timeout_s: bound of connecting to one server.
        request_timeout_s: bound of every request and acknowledgement.
        drain_timeout_s: bound of writing what is queued, and again of closing.
        ping_interval_s: a server that misses two pings in a row is left, for another one if there
            are several.
        reconnect_wait_s: pause between two tries at the same server.
        domain: JetStream domain of a leaf node's hub; None for the server's own.
        replicas: servers of a cluster that keep each stream ensured over this connection; None:
            one for a new stream, and as many as it has for one that is there.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    inbox_prefix: str = "_INBOX"
    name: str = "penstock"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    tls_hostname: str | None = None
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 5.0
    drain_timeout_s: float = 5.0
    ping_interval_s: int = 2
    reconnect_wait_s: float = 0.25
    domain: str | None = None
    replicas: int | None = None

    def servers(self) -> list[str]:
        """Give the addresses one by one."""
        return [part.strip() for part in self.url.split(",") if part.strip()]

    def address(self) -> str:
        """Give host:port of each server, for messages; never a password."""
        return ", ".join(map(_place_of, self.servers()))

    def tls(self) -> ssl.SSLContext | None:
        """Give the TLS context, or None for a plain connection."""
        if self.ca_file is None and not any(s.startswith("tls://") for s in self.servers()):
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def _place_of(server: str) -> str:
    """Give host:port as written, be it valid or not."""
    place = urlsplit(server if "//" in server else f"//{server}").netloc.rpartition("@")[2]
    return place if ":" in place.rpartition("]")[2] else f"{place}:{DEFAULT_PORT}"


class _Refusals:
    """What the first tries to connect met, until it is enough to give up.

    A reset says nothing: a server that is just starting resets, and one that refuses a login does
    so too when it closes before the client has written its last word. Such a try is repeated
    within the connect timeout, until a server says more.
    """

    def __init__(self, tries: int) -> None:
        self.enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last: Exception | None = None
        self._left = tries

    def add(self, error: Exception) -> None:
        """Count one failure."""
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            self.last = self.last or error
            return
        self.last = error
        self._left -= 1
        if self._left <= 0 and not self.enough.done():
            self.enough.set_result(None)


class NatsConnection:
    """A wrapped client: sends at once or not at all, and awaits replies with a bound.

    Attributes:
        session: raised by every loss of the connection; what was sent in one session and not
            acknowledged in it may or may not have arrived.
    """

    def __init__(self, settings: NatsSettings, on_error: OnError | None = None) -> None:
        """Use `connect` instead."""
        self.settings = settings
        self.session = 1
        self.api_prefix = f"$JS.{settings.domain}.API" if settings.domain else "$JS.API"
        self._client = DirectClient()
        self._on_error = on_error
        self._listeners: set[OnChange] = set()
        self._connected = asyncio.Event()
        self._closed = asyncio.Event()
        self._replies: ReplyBox | None = None

    @property
    def is_connected(self) -> bool:
        """Tell whether something sent now would be written to a server."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Largest size of headers and payload together, in bytes."""
        return self._client.max_payload

    @property
    def server_version(self) -> tuple[int, int]:
        """Major and minor version of the server that answers."""
        version = self._client.connected_server_version
        return version.major, version.minor

    def report(self, error: Exception) -> None:
        """Hand an error that has no caller to the injected callback."""
        if self._on_error is not None:
            self._on_error(error)

    def on_change(self, listener: OnChange) -> Callable[[], None]:
        """Call `listener` with True after each reconnect and False after each loss."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until connected; False when that took longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    async def wait_disconnected(self, session: int, timeout_s: float) -> bool:
        """Wait until `session` has ended; False when that took longer."""
        lost = asyncio.Event()
        end = self.on_change(lambda _connected: lost.set())
        try:
            if self.session == session:
                async with asyncio.timeout(timeout_s):
                    await lost.wait()
        except TimeoutError:
            return False
        finally:
            end()
        return True

    async def wait_closed(self) -> None:
        """Wait until the client is closed for good: by `close`, or by a server that refused us."""
        await self._closed.wait()

    def new_inbox(self) -> str:
        """Give an unused subject below our inbox prefix."""
        return self._client.new_inbox()

    async def subscribe(self, subject: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` for each message; the result ends the subscription.

        Raises:
            TransientFault: the connection is closed.
        """
        try:
            number = await self._client.subscribe_direct(subject, handler)
        except NatsError as error:
            raise TransientFault(f"cannot listen on the bus: {error}") from error
        return lambda: self._client.unsubscribe_direct(number)

    def send(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> bool:
        """Send without waiting; False, and nothing sent, while disconnected.

        Raises:
            ValueError: the subject is none, or the message is larger than the server takes.
        """
        if not self._client.is_connected:
            return False
        self._client.send_now(self._encode(subject, reply, payload, headers))
        return True

    def _encode(
        self, subject: str, reply: str, payload: bytes, headers: bytes | None
    ) -> tuple[bytes, ...]:
        size = len(payload) + (len(headers) if headers else 0)
        if size > self._client.max_payload:  # the server would close the connection for good
            raise ValueError(
                f"a message of {size} bytes for {subject} exceeds the "
                f"{self._client.max_payload} bytes that the bus takes: store it as an artifact"
            )
        return publish_parts(checked_subject(subject), reply, payload, headers)

    async def exchange(self, frames: Sequence[Frame], timeout_s: float) -> Sequence[bytes | None]:
        """Send all and wait for a reply to each.

        Returns:
            By place: the reply; `NOBODY` when no one serves the subject; None when no reply came
            in time, or the connection was lost or absent.

        Raises:
            ValueError: a subject is none, or a message too large; nothing has been sent.
        """
        if not self._client.is_connected or self._replies is None:
            return [None] * len(frames)
        pending = self._replies.open(len(frames))
        try:
            self._send_all(frames, self._replies.subjects(pending))
            await self._wait(pending, timeout_s)
        finally:
            self._replies.close(pending)
        return pending.replies

    def _send_all(self, frames: Sequence[Frame], replies: Sequence[str]) -> None:
        parts: list[bytes] = []
        for (subject, payload, headers), reply in zip(frames, replies, strict=True):
            parts.extend(self._encode(subject, reply, payload, headers))
        self._client.send_now(parts)

    @staticmethod
    async def _wait(pending: Exchange, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await pending.done
        except TimeoutError:
            return

    async def flush(self, timeout_s: float) -> bool:
        """Wait until the server has read everything sent so far; False if it has not."""
        if not self._client.is_connected:
            return False
        try:
            await self._client.flushed(timeout_s)
        except (NatsError, TimeoutError, OSError):  # lost meanwhile, or the server hangs
            return False
        return True

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        ask_again_s: float | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        """Send one message and give its reply.

        Args:
            subject: where it goes.
            payload: what it says.
            ask_again_s: ask again after so long without a reply, within the same bound: for what
                changes nothing, and may have been asked of a server that is just being replaced.
            timeout_s: bound of the wait, if it is less than the settings'.

        Raises:
            TransientFault: no reply in time, or nobody serves the subject.
        """
        most_s = self.settings.request_timeout_s
        bound_s = most_s if timeout_s is None else min(timeout_s, most_s)
        reply = await self._first_reply(Frame(subject, payload), bound_s, ask_again_s)
        if reply is NOBODY:
            raise TransientFault(
                f"nobody at {self.settings.address()} serves {subject}: "
                "is JetStream enabled, and does what it names exist?"
            )
        if reply is None:
            raise TransientFault(
                f"the bus at {self.settings.address()} does not answer {subject}: "
                "is the server running, and may this user publish there?"
            )
        return reply

    async def _first_reply(
        self, frame: Frame, bound_s: float, again_s: float | None
    ) -> bytes | None:
        """Ask, perhaps again and again, and give the first reply to any of the tries."""
        if self._replies is None:
            return None
        loop = asyncio.get_running_loop()
        end = loop.time() + bound_s
        tries = Tries(self._replies)
        try:
            while self.is_connected and (left_s := end - loop.time()) > 0:
                self._send_all((frame,), (tries.another(),))
                wait_s = left_s if again_s is None else min(left_s, again_s)
                if await tries.decided(wait_s) or again_s is None:
                    break
        finally:
            tries.close()
        return tries.reply

    async def open(self) -> None:
        """Connect; called once, by `connect`."""
        servers = len(self.settings.servers())
        refusals = _Refusals(FIRST_TRIES * servers)

        async def on_error(error: Exception) -> None:
            if self._connected.is_set():
                self.report(error)
            else:
                refusals.add(error)

        connecting = asyncio.ensure_future(self._client.connect(**self._options(on_error)))
        try:
            await asyncio.wait(
                (connecting, refusals.enough),
                timeout=self.settings.connect_timeout_s * servers,  # all but one may hang
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not connecting.done():
                raise TransientFault(self._cannot_connect(refusals.last or "no answer in time"))
            await connecting
        except (NatsError, ValueError) as error:
            raise TransientFault(self._cannot_connect(error)) from error
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait((connecting,))
            refusals.enough.cancel()
        self._connected.set()
        box = ReplyBox(self.new_inbox())
        await self.subscribe(box.pattern, box.on_message)
        self._replies = box

    def _cannot_connect(self, reason: object) -> str:
        said = str(reason) or type(reason).__name__
        return (
            f"cannot connect to the bus at {self.settings.address()} as "
            f"{self.settings.user or 'nobody'}: {said}. "
            "Start nats-server there, or correct PENSTOCK_NATS_URL and its credentials."
        )

    def _options(self, on_error: Callable[[Exception], Any]) -> dict[str, Any]:
        settings = self.settings
        return {
            "servers": settings.servers(),
            "user": settings.user,
            "password": settings.password,
            "inbox_prefix": settings.inbox_prefix,
            "name": settings.name,
            "tls": settings.tls(),
            "tls_hostname": settings.tls_hostname,
            "ping_interval": settings.ping_interval_s,
            "max_outstanding_pings": 2,
            "max_reconnect_attempts": ENDLESS,
            "reconnect_time_wait": settings.reconnect_wait_s,
            "connect_timeout": settings.connect_timeout_s,
            "drain_timeout": settings.drain_timeout_s,
            "pending_size": NO_BUFFERING,
            "error_cb": on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
        }

    async def _on_disconnected(self) -> None:
        self.session += 1
        self._connected.clear()
        self._client.discard_unsent()
        if self._replies is not None:
            self._replies.fail_all()
        for listener in tuple(self._listeners):
            listener(False)

    async def _on_reconnected(self) -> None:
        self._connected.set()
        for listener in tuple(self._listeners):
            listener(True)

    async def _on_closed(self) -> None:
        self._closed.set()

    async def reconnect(self) -> None:
        """Leave the server and connect again, as after a change of credentials."""
        await self._client.force_reconnect()

    async def close(self) -> None:
        """Write what is queued and close, within the drain bound.

        The library's own drain is of no use here: it swallows its cancellation, and then waits
        for a hung server without our bound. Direct subscriptions have no queue to drain.
        """
        await self.flush(self.settings.drain_timeout_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await self._client.shut()
        self._connected.clear()
        self._closed.set()


async def connect(settings: NatsSettings, on_error: OnError | None = None) -> NatsConnection:
    """Connect once; afterwards the connection is kept up without end.

    Args:
        settings: where and as whom.
        on_error: receives errors that have no caller, such as a refused subscription.

    Raises:
        TransientFault: no server answers, or it refuses the credentials; says which and the mend.
    """
    connection = NatsConnection(settings, on_error)
    try:
        await connection.open()
    except BaseException:
        await connection.close()
        raise
    return connection
