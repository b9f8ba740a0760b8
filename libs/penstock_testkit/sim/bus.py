"""The bus of a simulated world: what was sent once may come again, at any age."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from penstock_adapters.memory.streams import MemoryServer, MemoryStream, Refusal
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing
from penstock_testkit.sim.dice import Dice
from penstock_testkit.virtual_time import VirtualClock

AGAIN_S = (0.01, 900.0)  # how much later a copy comes
REMEMBERED_MAX = 4_000  # messages that may come again
_COMMANDS = frozenset({Stream.TRIGGERS, Stream.CATALOG, Stream.RUNS, Stream.APPROVALS})


class SimBus(MemoryServer):
    """A `MemoryServer` that repeats messages.

    Attributes:
        repeats: share of commands that come a second time.
        said: commands that were ever stored, oldest first, for those that come again by chance.
        lossy: streams that have lost messages.
        ahead_us: by how much the stamp of a message was ever ahead of the clock: no two have the
            same, and all that is stored in one instant of virtual time is stamped from it on.
        on_stored: called with the stream, subject and payload of all that is stored.
    """

    def __init__(self, clock: VirtualClock, dice: Dice) -> None:
        """Begin empty."""
        super().__init__(clock)
        self.repeats = 0.0
        self.said: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.lossy: set[str] = set()
        self.ahead_us = 0
        self.on_stored: Callable[[str, str, bytes], None] = lambda _stream, _subject, _payload: None
        self._dice = dice

    def store(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        expected: tuple[str, int] | None = None,
    ) -> int | Refusal:
        """Store a message, and perhaps once more later."""
        stored = super().store(subject, payload, headers, expected)
        if not isinstance(stored, int):
            return stored
        stream = self._stream_of(subject)
        assert stream is not None
        self.on_stored(stream.name, subject, payload)
        if stream.name in _COMMANDS:
            if len(self.said) < REMEMBERED_MAX:
                self.said.append((subject, payload, headers or {}))
            if self._dice.chance(self.repeats):
                self.bring(self._dice.seconds(*AGAIN_S), subject, payload, headers)
        return stored

    def _tick(self) -> int:
        stamp = super()._tick()
        self.ahead_us = max(self.ahead_us, stamp - self.clock.now_us())
        return stamp

    def delete_stream(self, name: str) -> None:
        """Delete a stream, and note that it has lost what it held."""
        self.lossy.add(str(name))
        super().delete_stream(name)

    def cut(self, name: str, last_sequence: int) -> None:
        """Lose a tail, and note it."""
        self.lossy.add(str(name))
        super().cut(name, last_sequence)

    def put_back(self, copy: Mapping[str, MemoryStream]) -> None:
        """Put an older copy back, and note what has lost its newest messages by that."""
        self.lossy.update(map(str, copy))
        super().put_back(copy)

    def bring(
        self,
        after_s: float,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        expected: tuple[str, int] | None = None,
    ) -> None:
        """Let a message arrive later, if there is then who takes it, and what is `expected`."""

        def arrive() -> None:
            try:
                super(SimBus, self).store(subject, payload, headers, expected)
            except TransientFault:
                return

        asyncio.get_running_loop().call_later(after_s, arrive)

    def bring_fenced(
        self, after_s: float, subject: str, payload: bytes, fence: tuple[str, int]
    ) -> None:
        """Let what a relay gave up arrive all the same, if its fence still holds then."""
        self.bring(after_s, subject, payload, expected=fence)

    def bring_later(self, after_s: float, message: Outgoing) -> None:
        """Let what its sender gave up arrive all the same."""
        headers = {"Nats-Msg-Id": message.message_id} if message.message_id else {}
        self.bring(after_s, message.subject, message.payload, headers)
