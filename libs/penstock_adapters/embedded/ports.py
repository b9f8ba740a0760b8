"""Free loopback ports, remembered in the state folder and replaced when somebody has taken them."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import read_object, write_private

LOOPBACK: Final = "127.0.0.1"
LOWEST_PORT: Final = 10_240
FALLBACK_HIGHEST_PORT: Final = 32_767
TRIES: Final = 400  # candidates drawn before giving up
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on loopback `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free for them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def draw_free_port(avoid: frozenset[int] = frozenset()) -> int:
    """Choose a free port below the ephemeral range.

    Inside that range the kernel could hand the port of a server that is down to any outgoing
    connection, even to a client that tries to reach that very server.

    Raises:
        EmbeddedError: no free port was found.
    """
    highest = _highest_port()
    source = random.SystemRandom()
    for _ in range(TRIES):
        port = source.randint(LOWEST_PORT, highest)
        if port not in avoid and is_free(port):
            return port
    raise EmbeddedError(f"no free loopback port between {LOWEST_PORT} and {highest}")


def _highest_port() -> int:
    try:
        low = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return FALLBACK_HIGHEST_PORT
    return low - 1 if low > LOWEST_PORT + TRIES else FALLBACK_HIGHEST_PORT


class PortBook:
    """The ports of one instance by purpose, kept in a JSON file."""

    def __init__(self, path: Path) -> None:
        """Open the book kept at `path`; the file need not exist."""
        self._path: Path = path

    def assign(self, purposes: tuple[str, ...]) -> dict[str, int]:
        """Give each purpose a port that is free now: its remembered one, else a new one.

        Call it only while none of the servers in question runs.
        """
        remembered = read_object(self._path) or {}
        chosen: dict[str, int] = {}
        for purpose in purposes:
            taken = frozenset(chosen.values())
            port = remembered.get(purpose)
            if not isinstance(port, int) or port in taken or not is_free(port):
                port = draw_free_port(taken)
            chosen[purpose] = port
        write_private(self._path, json.dumps({**remembered, **chosen}, indent=1) + "\n")
        return chosen
