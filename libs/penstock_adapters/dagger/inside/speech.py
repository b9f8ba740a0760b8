"""How the container tells the executor what happens."""

from __future__ import annotations

import _socket
import binascii
import marshal
import select
import sys

TYPE_CHECKING = False  # importing typing would double the time of a start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHANNEL = "/penstock/.channel"
RECORD = "/penstock/.record"

_PENDING_BYTES = 256 * 1024  # said and not yet taken; beyond it the agent's pipes are not read
_PIECE_BYTES = 64 * 1024
_HEAD_BYTES = 5
_FAREWELL_S = 5.0
_NOT_STARTED = 126


class Channel:
    """The connection to the executor, through the engine."""

    def __init__(self, token: bytes) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self.socket.connect(CHANNEL)
        self._unsent = bytearray()
        self._heard = bytearray()
        self.full = False
        self.closed = False
        self.say(b"H", token)
        self.send()

    def say(self, kind: bytes, payload: bytes) -> None:
        """Queue a frame."""
        self._unsent += kind + len(payload).to_bytes(4, "big") + payload
        self.full = len(self._unsent) > _PENDING_BYTES

    def waits(self) -> int:
        """What to poll the socket for."""
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def send(self) -> None:
        """Send as much as goes."""
        try:
            sent = self.socket.send(self._unsent[:_PIECE_BYTES]) if self._unsent else 0
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
            return
        del self._unsent[:sent]
        self.full = len(self._unsent) > _PENDING_BYTES

    def heard(self) -> Iterator[tuple[bytes, bytes]]:
        """Give the frames that have arrived."""
        try:
            data = self.socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closed = self.closed or not data
        self._heard += data
        while len(self._heard) >= _HEAD_BYTES:
            end = _HEAD_BYTES + int.from_bytes(self._heard[1:_HEAD_BYTES], "big")
            if len(self._heard) < end:
                return
            frame = bytes(self._heard[:1]), bytes(self._heard[_HEAD_BYTES:end])
            del self._heard[:end]
            yield frame

    def started(self) -> dict[str, Any]:
        """Wait for the order to start."""
        while not self.closed:
            for kind, payload in self.heard():
                if kind == b"S":
                    # penstock: ignore[unsafe-deserialisation] -- only the executor speaks here
                    return marshal.loads(payload)  # noqa: S302 - from the executor only
                sys.exit(_NOT_STARTED)
        sys.exit(_NOT_STARTED)

    def finish(self) -> None:
        """Send everything, and wait until the other side has said goodbye."""
        self.socket.settimeout(_FAREWELL_S)
        while self._unsent and not self.closed:
            self.send()
        while not self.closed:
            if any(kind == b"B" for kind, _ in self.heard()):
                return


class Tape:
    """Frames kept for later, as base64 in a file; those of logs are dropped past their bound."""

    def __init__(self, log_bytes: int) -> None:
        self._left = log_bytes
        self._frames = bytearray()
        self.full = False

    def say(self, kind: bytes, payload: bytes) -> None:
        """Keep a frame."""
        if kind in b"OE":
            payload = payload[: self._left]
            self._left -= len(payload)
        if payload:
            self._frames += kind + len(payload).to_bytes(4, "big") + payload

    def keep(self, path: str = RECORD) -> None:
        """Write everything."""
        with open(path, "wb") as file:
            file.write(binascii.b2a_base64(self._frames, newline=False))
