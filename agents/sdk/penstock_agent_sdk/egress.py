"""Network for an agent whose sandbox has none of its own.

The executor puts one Unix socket into the sandbox of an agent that may reach the network. Behind
it is a proxy that speaks HTTP CONNECT and decides, outside the sandbox, what is reachable.
Libraries cannot use a Unix socket as their proxy, so this module listens on the sandbox's own
loopback and forwards. CONNECT requests pass through byte for byte; a plain `http://` request,
which libraries send in absolute form, becomes a CONNECT of its own, so that the executor's proxy
needs to know one method only.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Mapping, MutableMapping
from urllib.parse import urlsplit

from penstock_agent_sdk.errors import AgentError

SOCKET_VARIABLE = "PENSTOCK_EGRESS_SOCKET"
# Written by hand by a developer who runs an agent outside any sandbox. Inside one it opens
# nothing: there is no network to use directly.
DIRECT = "direct"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
BYPASS_VARIABLES = ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy")
MAX_CONNECTIONS = 32
MAX_HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 15.0
IDLE_TIMEOUT_S = 120.0
NO_NETWORK = (
    "this agent has no network: its manifest needs `network: egress` and its pool an allow-list"
)
_HEAD_END = b"\r\n\r\n"


def open_egress(environment: MutableMapping[str, str] | None = None) -> "Forwarder | None":
    """Start the forwarder and point the proxy variables at it; None when set to `direct`.

    Args:
        environment: Read for `PENSTOCK_EGRESS_SOCKET` and written with the proxy variables, which
            must happen before an HTTP library is used. Default: the process environment.

    Raises:
        AgentError: `no_network` when the sandbox was given no socket, or it does not answer.
    """
    settings = os.environ if environment is None else environment
    path = settings.get(SOCKET_VARIABLE)
    if not path:
        raise AgentError("no_network", NO_NETWORK)
    if path == DIRECT:
        return None
    forwarder = Forwarder(path)
    for name in BYPASS_VARIABLES:
        settings.pop(name, None)
    for name in PROXY_VARIABLES:
        settings[name] = forwarder.url
    return forwarder


def open_tunnel(
    host: str, port: int, timeout_s: float, environment: Mapping[str, str] | None = None
) -> socket.socket:
    """Connect to a host for a protocol that is not HTTP, such as SMTP.

    Args:
        host: Name or address; resolved by the proxy, outside the sandbox.
        port: Of the service.
        timeout_s: For the connection, and then for each read and write.
        environment: Read for `PENSTOCK_EGRESS_SOCKET`; the process environment by default.

    Raises:
        AgentError: `no_network` without a socket; `refused` when the proxy does not let through.
        OSError: The proxy or the service does not answer in time.
    """
    path = (os.environ if environment is None else environment).get(SOCKET_VARIABLE)
    if not path:
        raise AgentError("no_network", NO_NETWORK)
    if path == DIRECT:
        return socket.create_connection((host, port), timeout_s)
    upstream = _dial(path)
    try:
        upstream.settimeout(timeout_s)
        named = f"[{host}]" if ":" in host else host
        authority = f"{named}:{port}".encode("idna" if not host.isascii() else "ascii")
        upstream.sendall(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + _HEAD_END)
        # Byte for byte: what follows the head belongs to the service.
        answer = _exact_head(upstream)
    except BaseException:
        upstream.close()
        raise
    status = answer.split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        upstream.close()
        raise AgentError("refused", f"the egress proxy does not let {host}:{port} through")
    return upstream


def _exact_head(source: socket.socket) -> bytes:
    head = b""
    while not head.endswith(_HEAD_END):
        byte = source.recv(1)
        if not byte or len(head) > MAX_HEAD_BYTES:
            raise ConnectionError("the egress proxy closed the connection")
        head += byte
    return head


class Forwarder:
    """Loopback TCP to Unix socket, one thread per direction, bounded.

    At most `MAX_CONNECTIONS` at a time; further ones wait in the listen queue. All threads are
    daemons: an agent that ends takes them along.
    """

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        _dial(socket_path).close()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        threading.Thread(target=self._accept, name="egress-accept", daemon=True).start()

    def close(self) -> None:
        """Take no further connections; those under way go on to their end."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            if not self._slots.acquire(timeout=IDLE_TIMEOUT_S):
                continue
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(
                target=self._serve, args=(client,), name="egress-serve", daemon=True
            ).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.settimeout(IDLE_TIMEOUT_S)
            with client, _dial(self._path) as upstream:
                upstream.settimeout(IDLE_TIMEOUT_S)
                head, rest = _read_head(client)
                if head.startswith(b"CONNECT "):
                    upstream.sendall(head + rest)
                    _pump_both(client, upstream, None, None)
                else:
                    _plain(client, upstream, head, rest)
        except AgentError as failure:
            _answer(client, b"502 Bad Gateway", failure.message.encode())
        except (OSError, ValueError, IndexError):
            # One connection failing is the client's to notice: it sees its socket closed.
            pass
        finally:
            self._slots.release()


def _dial(path: str) -> socket.socket:
    upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    upstream.settimeout(CONNECT_TIMEOUT_S)
    try:
        upstream.connect(path)
    except OSError as error:
        upstream.close()
        raise AgentError(
            "no_network", f"the egress proxy does not answer: {error.strerror}", retryable=True
        ) from error
    return upstream


def _read_head(source: socket.socket, seen: bytes = b"") -> tuple[bytes, bytes]:
    """The head of a message with its blank line, and what came after it."""
    while _HEAD_END not in seen:
        chunk = source.recv(CHUNK_BYTES)
        if not chunk:
            raise ValueError("connection closed inside a head")
        seen += chunk
        if len(seen) > MAX_HEAD_BYTES:
            raise ValueError("head too long")
    head, rest = seen.split(_HEAD_END, 1)
    return head + _HEAD_END, rest


def _plain(client: socket.socket, upstream: socket.socket, head: bytes, rest: bytes) -> None:
    """One absolute-form request through a tunnel of its own."""
    authority, origin_head, body_bytes = origin_form(head)
    upstream.sendall(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + _HEAD_END)
    answer, early = _read_head(upstream)
    status = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[1].startswith(b"2"):
        code = status[1] if len(status) > 1 and status[1].isdigit() else b"502"
        _answer(client, code + b" Refused by egress proxy", b"refused by the egress proxy\n")
        return
    upstream.sendall(origin_head + rest)
    remaining = None if body_bytes is None else max(0, body_bytes - len(rest))
    _pump_both(client, upstream, remaining, early)


def origin_form(head: bytes) -> tuple[bytes, bytes, int | None]:
    """Turn an absolute-form request head into what its origin server expects.

    The connection is made single-use (`Connection: close`): a proxy connection may be re-used for
    another host, a tunnel may not.

    Returns:
        The `host:port` to tunnel to, the rewritten head, and how many body bytes follow (None for
        a chunked body).

    Raises:
        ValueError: Not an absolute-form `http://` request.
    """
    request, *fields = head.removesuffix(_HEAD_END).split(b"\r\n")
    method, target, version = request.split(b" ")
    url = urlsplit(target.decode("ascii"))
    if url.scheme != "http" or not url.hostname:
        raise ValueError("not an absolute-form http request")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    path = url.path or "/"
    origin = f"{path}?{url.query}" if url.query else path
    kept = [b" ".join([method, origin.encode("ascii"), version])]
    length: int | None = 0
    for field in fields:
        name, _, value = field.partition(b":")
        name = name.strip().lower()
        if name in (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive"):
            continue
        if name == b"content-length" and length is not None:
            length = int(value)
        if name == b"transfer-encoding":
            length = None
        kept.append(field)
    kept.append(b"Connection: close")
    return f"{host}:{url.port or 80}".encode("ascii"), b"\r\n".join(kept) + _HEAD_END, length


def _answer(client: socket.socket, status: bytes, body: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(
            b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            b"Content-Length: " + str(len(body)).encode() + _HEAD_END + body
        )


def _pump_both(
    client: socket.socket, upstream: socket.socket, limit: int | None, early: bytes | None
) -> None:
    """Both directions until each side has closed; at most `limit` further bytes from the client.

    With `early` (bytes already received) the answer is an HTTP response, whose head is made to say
    that the connection closes: many servers do not repeat that, and a client would send its next
    request into a connection that is going away.
    """
    outward = threading.Thread(
        target=_pump, args=(client, upstream, limit), name="egress-pump", daemon=True
    )
    outward.start()
    if early is not None:
        _answer_head(client, upstream, early)
    _pump(upstream, client, None)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    outward.join(timeout=CONNECT_TIMEOUT_S)


def _answer_head(client: socket.socket, upstream: socket.socket, early: bytes) -> None:
    """Pass on interim answers (1xx) as they are and the final head with `Connection: close`."""
    while True:
        head, early = _read_head(upstream, early)
        status = head.split(b" ", 2)[1]
        if not status.startswith(b"1") or status == b"101":
            break
        client.sendall(head)
    client.sendall(closing(head) + early)


def closing(head: bytes) -> bytes:
    """A response head that says the connection closes after it."""
    first, *fields = head.removesuffix(_HEAD_END).split(b"\r\n")
    kept = [
        field
        for field in fields
        if field.partition(b":")[0].strip().lower() not in (b"connection", b"keep-alive")
    ]
    return b"\r\n".join([first, *kept, b"Connection: close"]) + _HEAD_END


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    remaining = limit
    with contextlib.suppress(OSError):
        while remaining is None or remaining > 0:
            want = CHUNK_BYTES if remaining is None else min(CHUNK_BYTES, remaining)
            chunk = source.recv(want)
            if not chunk:
                break
            sink.sendall(chunk)
            if remaining is not None:
                remaining -= len(chunk)
        if limit is None:
            sink.shutdown(socket.SHUT_WR)
