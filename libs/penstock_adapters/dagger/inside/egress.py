"""The agent's way to the executor's egress proxy.

An engine carries bytes to a socket of the executor's machine, but not the end of them: whoever
waits for the end of an answer would wait for ever. So a process of its own stands behind the
agent's socket, and carries each connection in frames that tell the end: D data, F the end of one
direction. It is root, as the first process is, and ends with the container.
"""

from __future__ import annotations

import _socket
import _thread
import os

from .speech import CHANNEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SOCKET = "/penstock/egress.sock"

_MAX_CONNECTIONS = 64
_BACKLOG = 16
_PIECE_BYTES = 32 * 1024
_HEAD_BYTES = 5
_BOTH_WAYS, _NO_MORE = 2, 1


def open_way(uid: int, token: bytes) -> None:
    """Listen on the agent's socket, in a process of its own."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(SOCKET)
    os.chown(SOCKET, uid, uid)
    os.chmod(SOCKET, 0o600)
    listener.listen(_BACKLOG)
    if os.fork() == 0:
        serve(listener, token)
    listener.close()


def serve(listener: _socket.socket, token: bytes) -> NoReturn:
    """Carry one connection after another, some at once."""
    places = _thread.allocate_lock()
    free = [_MAX_CONNECTIONS]
    while True:
        accepted = listener._accept()  # pyright: ignore  # noqa: PGH003, SLF001
        fd = int(accepted[0])  # pyright: ignore[reportUnknownArgumentType]
        agent = _socket.socket(fileno=fd)
        with places:
            free[0] -= 1
            full = free[0] < 0
        if full:
            agent.close()
            with places:
                free[0] += 1
        else:
            _thread.start_new_thread(carry, (agent, token, places, free))


def carry(agent: _socket.socket, token: bytes, places: _thread.LockType, free: list[int]) -> None:
    """Carry one connection to its end."""
    line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    ended = _thread.allocate_lock()
    try:
        line.connect(CHANNEL)
        send(line, b"G", token)
        ended.acquire()
        _thread.start_new_thread(carry_back, (line, agent, ended))
        while data := agent.recv(_PIECE_BYTES):
            send(line, b"D", data)
        send(line, b"F", b"")
        ended.acquire()
    except OSError:
        pass
    finally:
        for end in (line, agent):
            close(end)
        with places:
            free[0] += 1


def carry_back(line: _socket.socket, agent: _socket.socket, ended: _thread.LockType) -> None:
    """Carry what comes back."""
    try:
        while True:
            head = exactly(line, _HEAD_BYTES)
            data = exactly(line, int.from_bytes(head[1:], "big"))
            if head[:1] == b"F":
                agent.shutdown(_NO_MORE)
                return
            agent.sendall(data)
    except OSError:
        close(agent)
    finally:
        ended.release()


def send(line: _socket.socket, kind: bytes, payload: bytes) -> None:
    """Send a frame."""
    line.sendall(kind + len(payload).to_bytes(4, "big") + payload)


def exactly(line: _socket.socket, size: int) -> bytes:
    """Read so many bytes.

    Raises:
        OSError: there are no more.
    """
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise OSError(0, "the other side has closed")
        data += piece
    return data


def close(end: _socket.socket) -> None:
    """Close, and wake whoever waits for it."""
    try:
        end.shutdown(_BOTH_WAYS)
    except OSError:
        pass
    end.close()
