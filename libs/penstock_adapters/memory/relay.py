"""The fenced relay in memory."""

from collections.abc import Callable, Sequence

from penstock_adapters.markers import Entry, encode_marker, last_valid_marker
from penstock_adapters.memory.streams import MemoryServer, MemoryStream, Refusal
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.subjects import Stream, relay_marker
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.bus import PlacedMarker
from penstock_runtime.ports.inbox import Received


class MemoryRelayLog:
    """`RelayLog` over a `MemoryServer`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        """See the port."""
        return await last_valid_marker(_Lookup(self._events()), partition)

    async def last_sequence(self, partition: str) -> int:
        """See the port."""
        return self._events().last_on.get(relay_marker(partition), 0)

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        """See the port."""
        fence = relay_marker(partition), fence_sequence
        last = 0
        for subject, payload in messages:
            last = self._store(subject, payload, fence)
        return self._store(relay_marker(partition), encode_marker(marker(last)), fence)

    def _store(self, subject: str, payload: bytes, fence: tuple[str, int]) -> int:
        stored = self._server.store(subject, payload, expected=fence)
        if stored is Refusal.WRONG_SEQUENCE:
            raise Fenced(f"another marker stands on {fence[0]}")
        if isinstance(stored, Refusal):
            raise TransientFault(f"EVENTS refused an event: {stored}")
        return stored

    def _events(self) -> MemoryStream:
        return self._server.stream(Stream.EVENTS)


class _Lookup:
    """Reads of EVENTS for judging markers."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    async def last_on(self, subject: str) -> Entry | None:
        return _entry(self._stream.last_matching(subject))

    async def at(self, sequence: int) -> Entry | None:
        return _entry(self._stream.messages.get(sequence))

    async def next_on(self, subject: str, from_sequence: int) -> Entry | None:
        return _entry(next(self._stream.after(from_sequence - 1, subject), None))

    async def first_sequence(self) -> int:
        return self._stream.first_sequence


def _entry(message: Received | None) -> Entry | None:
    return Entry(message.subject, message.sequence, message.payload) if message else None
