"""The fenced relay of events into EVENTS."""

from collections.abc import Callable, Sequence
from typing import Final, Literal
from uuid import uuid4

import orjson

from penstock_adapters.markers import Entry, encode_marker, last_valid_marker
from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import (
    CONDITION_IN_FLIGHT,
    WRONG_LAST_SEQUENCE,
    JetStreamApi,
    StoredMessage,
)
from penstock_adapters.nats.replies import NOBODY, Frame
from penstock_adapters.nats.wire import header_block
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.subjects import Stream, relay_marker
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.bus import PlacedMarker

UNIT_MESSAGES: Final = 999  # with the marker 1,000, the most that an atomic batch may hold
RelayMode = Literal["pipelined", "atomic"]


class NatsRelayLog:
    """EVENTS as the relay sees it; implements the port `RelayLog`.

    `pipelined` is for a stream that one server keeps: every message carries the fence. `atomic` is
    for one with replicas, where a second conditional publish in flight is refused: the events are
    one atomic batch whose last message carries the fence. In both modes the marker follows alone,
    once the events are acknowledged, because it names the sequence of the last of them.

    Which one is right is asked of the stream, in each session of the connection anew, and after a
    refusal that only a stream with replicas gives: replicas may be added while all runs.
    """

    def __init__(
        self,
        connection: NatsConnection,
        mode: RelayMode | None = None,
        ack_timeout_s: float = 5.0,
    ) -> None:
        """Relay over `connection`.

        Args:
            connection: the owner's connection.
            mode: how units are published; None: as the stream asks for.
            ack_timeout_s: seconds to wait for the acknowledgements of a unit.
        """
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._given: RelayMode | None = mode
        self._found: tuple[int, RelayMode] | None = None  # with the session it was found in
        self._ack_timeout_s = ack_timeout_s

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        """See the port."""
        return await last_valid_marker(_Lookup(self._api), partition)

    async def last_sequence(self, partition: str) -> int:
        """See the port."""
        last = await self._api.last_message_on(Stream.EVENTS, relay_marker(partition))
        return last.sequence if last is not None else 0

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        """See the port.

        Raises:
            ValueError: the unit is larger than `UNIT_MESSAGES`, or one of its messages than the
                server takes.
        """
        if len(messages) > UNIT_MESSAGES:
            raise ValueError(f"a unit of {len(messages)} events exceeds {UNIT_MESSAGES}")
        if not self._connection.is_connected:
            raise TransientFault("the bus is not connected")
        session = self._connection.session
        fence = {
            "Nats-Expected-Last-Subject-Sequence": str(fence_sequence),
            "Nats-Expected-Last-Subject-Sequence-Subject": relay_marker(partition),
        }
        last = 0
        if messages:
            # A single one is a batch of its own, in either mode.
            atomic = len(messages) > 1 and await self._mode(session) == "atomic"
            build = self._batch if atomic else self._row
            last = await self._send(partition, build(messages, fence))
        if self._connection.session != session:
            raise TransientFault("the connection was lost within a unit")
        end = Frame(relay_marker(partition), encode_marker(marker(last)), header_block(fence))
        return await self._send(partition, [end])

    async def _mode(self, session: int) -> RelayMode:
        if self._given is not None:
            return self._given
        if self._found is not None and self._found[0] == session:
            return self._found[1]
        info = await self._api.stream_info(Stream.EVENTS)
        mode: RelayMode = "atomic" if info.replicated else "pipelined"
        self._found = (session, mode)
        return mode

    @staticmethod
    def _row(messages: Sequence[tuple[str, bytes]], fence: dict[str, str]) -> list[Frame]:
        headers = header_block(fence)
        return [Frame(subject, payload, headers) for subject, payload in messages]

    @staticmethod
    def _batch(messages: Sequence[tuple[str, bytes]], fence: dict[str, str]) -> list[Frame]:
        name = uuid4().hex
        frames: list[Frame] = []
        for number, (subject, payload) in enumerate(messages, 1):
            headers = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            if number == len(messages):
                headers |= fence | {"Nats-Batch-Commit": "1"}
            frames.append(Frame(subject, payload, header_block(headers)))
        return frames

    async def _send(self, partition: str, frames: Sequence[Frame]) -> int:
        """Send all, wait for all, and give the sequence of the last."""
        replies = await self._connection.exchange(frames, self._ack_timeout_s)
        sequence = 0
        for reply in replies:
            if reply is None or reply is NOBODY:
                raise TransientFault("EVENTS did not acknowledge a unit")
            if reply:  # within an atomic batch only the commit has a body
                sequence = self._sequence_in(reply, partition)
        if sequence == 0:
            raise TransientFault("EVENTS acknowledged a unit without a sequence")
        return sequence

    def _sequence_in(self, reply: bytes, partition: str) -> int:
        answer = orjson.loads(reply)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") == WRONG_LAST_SEQUENCE:
            raise Fenced(f"{partition}: another marker stands where ours was to follow")
        if error.get("err_code") == CONDITION_IN_FLIGHT:
            self._found = None
        raise TransientFault(f"EVENTS refused an event: {error.get('description')}")


class _Lookup:
    """Reads of EVENTS for judging markers."""

    def __init__(self, api: JetStreamApi) -> None:
        self._api = api

    async def last_on(self, subject: str) -> Entry | None:
        return _entry(await self._api.last_message_on(Stream.EVENTS, subject))

    async def at(self, sequence: int) -> Entry | None:
        return _entry(await self._api.message_at(Stream.EVENTS, sequence))

    async def next_on(self, subject: str, from_sequence: int) -> Entry | None:
        return _entry(await self._api.next_message_on(Stream.EVENTS, subject, from_sequence))

    async def first_sequence(self) -> int:
        return (await self._api.stream_info(Stream.EVENTS)).first_sequence


def _entry(message: StoredMessage | None) -> Entry | None:
    return Entry(message.subject, message.sequence, message.payload) if message else None
