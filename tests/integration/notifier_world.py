"""What the notifier talks to: an egress proxy that leads names to local servers, TLS, SMTP."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TIMEOUT_S = 10.0
RUN_TIMEOUT_S = 60.0


@dataclass
class Authority:
    """A certificate authority of this test only; `bundle` is what clients are told to trust."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._name, self._key, None)
        self.bundle = self.folder / "authority.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str) -> ssl.SSLContext:
        """Give a server's context for one host name."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key, host)
        path = self.folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, host: str | None
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if host is not None:
            built = built.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
            )
        else:
            usage = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True,
                content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            built = built.add_extension(usage, critical=True)
        return built.sign(self._key, hashes.SHA256())


@dataclass
class Seen:
    """One HTTP request."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The body as JSON."""
        return json.loads(self.raw)


@dataclass
class Web:
    """An HTTP receiver; `answers` are the first statuses (with headers), then 200."""

    port: int = 0
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def web(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve HTTP, under TLS with a context."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            state.seen.append(Seen(self.path, dict(self.headers), raw))
            status, headers = state.answers.pop(0) if state.answers else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is None:
                super().finish_request(request, client_address)
                return
            with context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    with _serving(server):
        yield state


@dataclass
class Mail:
    """An SMTP server that keeps what it accepts; `refusals` are answers to verbs, used up."""

    port: int = 0
    refusals: dict[str, list[str]] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)
    letters: list[tuple[list[str], str, bool]] = field(default_factory=list)


@contextmanager
def mail(context: ssl.SSLContext | None, *, tls_first: bool = False) -> Iterator[Mail]:
    """Serve SMTP with STARTTLS where there is a context, or TLS from the first byte."""
    state = Mail()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(TIMEOUT_S)
            if not tls_first or context is None:
                self._converse(self.request, secure=False)
                return
            with context.wrap_socket(self.request, server_side=True) as wrapped:
                self._converse(wrapped, secure=True)

        def _converse(self, connection: socket.socket, *, secure: bool) -> None:
            recipients: list[str] = []

            def say(line: str) -> None:
                connection.sendall(line.encode() + b"\r\n")

            if not secure or tls_first:
                say("220 test")
            with connection.makefile("rb") as reader:
                while line := reader.readline().decode():
                    verb, _, rest = line.strip().partition(" ")
                    answer = _answer(state, verb.upper(), rest, secure, context is not None)
                    say(answer)
                    match verb.upper(), answer[0]:
                        case "STARTTLS", "2":
                            break
                        case "RCPT", "2":
                            recipients.append(rest)
                        case "DATA", "3":
                            text = b""
                            while not text.endswith(b"\r\n.\r\n"):
                                text += reader.readline()
                            state.letters.append((recipients, text.decode(), secure))
                            say("250 kept")
                        case "QUIT", _:
                            return
                        case _:
                            pass
                else:
                    return
            assert context is not None
            with context.wrap_socket(connection, server_side=True) as wrapped:
                self._converse(wrapped, secure=True)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up on a certificate is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    with _serving(server):
        yield state


def _answer(state: Mail, verb: str, rest: str, secure: bool, offers_tls: bool) -> str:
    if state.refusals.get(verb):
        return state.refusals[verb].pop(0)
    match verb:
        case "EHLO":
            extra = ["250-STARTTLS"] if offers_tls and not secure else []
            login = ["250-AUTH PLAIN"] if secure else []
            return "\r\n".join(["250-test", *extra, *login, "250 8BITMIME"])
        case "STARTTLS":
            return "220 go" if offers_tls else "502 no"
        case "AUTH":
            state.logins.append(rest)
            return "235 welcome"
        case "DATA":
            return "354 go"
        case "QUIT":
            return "221 bye"
        case _:
            return "250 ok"


@dataclass
class Egress:
    """A CONNECT proxy on a Unix socket; `routes` leads `host:port` to local ports."""

    path: str
    routes: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def egress(folder: Path) -> Iterator[Egress]:
    """Serve the proxy; what has no route is refused."""
    state = Egress(str(folder / "egress.sock"))

    class Handler(socketserver.StreamRequestHandler):
        timeout = TIMEOUT_S

        def handle(self) -> None:
            request = self.rfile.readline().decode()
            if not request:  # the forwarder's first look
                return
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            target = request.split()[1]
            state.asked.append(target)
            if target not in state.routes:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            local = ("127.0.0.1", state.routes[target])
            with socket.create_connection(local, TIMEOUT_S) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                out = threading.Thread(target=self._outward, args=(upstream,), daemon=True)
                out.start()
                while chunk := upstream.recv(65_536):
                    self.connection.sendall(chunk)
                self.connection.shutdown(socket.SHUT_WR)
                out.join(TIMEOUT_S)

        def _outward(self, upstream: socket.socket) -> None:
            with contextlib.suppress(OSError):  # either side may hang up
                while chunk := self.rfile.read1(65_536):
                    upstream.sendall(chunk)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that goes away mid-way is what some tests are about

    with _serving(Server(state.path, Handler)):
        yield state


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(TIMEOUT_S)


def notify(folder: Path, given: object, **environment: str) -> tuple[int, Any, str]:
    """Run the notifier as a process; gives exit code, output and all it printed."""
    source, target = folder / "input.json", folder / "output.json"
    source.write_text(json.dumps(given))
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ended = subprocess.run(
        [sys.executable, "-m", "penstock_agent_notifier"],
        env={
            **clean,
            **environment,
            "PENSTOCK_INPUT": str(source),
            "PENSTOCK_OUTPUT": str(target),
        },
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    return ended.returncode, json.loads(target.read_text()), ended.stdout + ended.stderr
