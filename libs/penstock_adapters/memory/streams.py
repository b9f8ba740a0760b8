"""JetStream in memory: streams, their limits and everything that can befall them.

The rules are the server's: sequences are used again after a stream was cut, and `created`
survives a restore, so that only the server time of a message tells one incarnation from another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penstock_contracts.envelope import MAX_MESSAGE_BYTES
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream, matches
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Received

CoreListener = Callable[[str, bytes], None]


class Refusal(StrEnum):
    """Why a stream does not take a message."""

    SUBJECT_TAKEN = "maximum messages per subject exceeded"
    FULL = "maximum messages exceeded"
    WRONG_SEQUENCE = "wrong last sequence"
    NO_STREAM = "no stream takes that subject"


@dataclass(slots=True)
class MemoryStream:
    """One incarnation of a stream.

    Attributes:
        created_us: when it was created.
        messages: by sequence, ascending.
        last_sequence: of the last message ever stored.
        max_messages: bound; None without one.
    """

    name: str
    created_us: int
    one_per_subject: bool = False
    max_messages: int | None = None
    last_sequence: int = 0
    messages: dict[int, Received] = field(default_factory=dict[int, Received])
    last_on: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def first_sequence(self) -> int:
        """Sequence of the first message kept; last + 1 when there is none."""
        return next(iter(self.messages), self.last_sequence + 1)

    def refusal(self, subject: str, expected: tuple[str, int] | None) -> Refusal | None:
        """Tell why a message on `subject` is refused; None if it is taken.

        Args:
            subject: where it is to be stored.
            expected: a subject and the sequence of the last message on it (0: none).
        """
        if expected is not None and self.last_on.get(expected[0], 0) != expected[1]:
            return Refusal.WRONG_SEQUENCE
        if self.one_per_subject and subject in self.last_on:
            return Refusal.SUBJECT_TAKEN
        if self.max_messages is not None and len(self.messages) >= self.max_messages:
            return Refusal.FULL
        return None

    def append(self, subject: str, payload: bytes, time_us: int, headers: Mapping[str, str]) -> int:
        """Store a message and give its sequence."""
        self.last_sequence += 1
        sequence = self.last_sequence
        message = Received(self.name, subject, sequence, time_us, payload, headers)
        self.messages[sequence] = message
        self.last_on[subject] = sequence
        return sequence

    def after(self, sequence: int, subject_filter: str) -> Iterator[Received]:
        """Give messages behind `sequence` that match, in order."""
        for place in range(max(sequence + 1, self.first_sequence), self.last_sequence + 1):
            message = self.messages.get(place)
            if message is not None and matches(subject_filter, message.subject):
                yield message

    def last_matching(self, subject_filter: str) -> Received | None:
        """Give the last message that matches."""
        place = self.last_on.get(subject_filter)
        if place is not None:
            return self.messages[place]
        newest_first = reversed(self.messages.values())
        return next((m for m in newest_first if matches(subject_filter, m.subject)), None)

    def remove(self, sequences: Iterable[int]) -> None:
        """Delete messages; what is last on a subject is found again."""
        touched: set[str] = set()
        for sequence in sequences:
            message = self.messages.pop(sequence, None)
            if message is not None and self.last_on.get(message.subject) == sequence:
                del self.last_on[message.subject]
                touched.add(message.subject)
        if touched and not self.one_per_subject:
            self.last_on.update(
                (m.subject, m.sequence) for m in self.messages.values() if m.subject in touched
            )

    def copy(self) -> "MemoryStream":
        """Give an independent copy."""
        return MemoryStream(
            self.name, self.created_us, self.one_per_subject, self.max_messages,
            self.last_sequence, dict(self.messages), dict(self.last_on),
        )  # fmt: skip


class MemoryServer:
    """All streams and core subjects of one bus.

    Attributes:
        up: while False nothing is answered and nothing is delivered.
        session: raised by each outage, as a connection would notice it.
    """

    def __init__(self, clock: Clock, max_payload: int = MAX_MESSAGE_BYTES) -> None:
        """Start empty; server times come from `clock` and are strictly ascending."""
        self.up = True
        self.session = 1
        self.max_payload = max_payload
        self.clock = clock
        self.in_flight: dict[str, dict[int, int]] = {}  # pool -> sequence -> due for redelivery
        self.delivered: dict[str, int] = {}  # pool -> last sequence delivered for the first time
        self._streams: dict[str, MemoryStream] = {}
        self._last_time_us = 0
        self._wakers: dict[Callable[[], None], None] = {}  # in order, or no run could be repeated
        self._core: dict[int, tuple[str, CoreListener]] = {}
        self._core_number = 0

    def ensure_streams(self, which: Iterable[Stream]) -> frozenset[Stream]:
        """Create what is absent; give what was created."""
        absent = [stream for stream in which if stream not in self._streams]
        for stream in absent:
            one_per_subject = stream is Stream.TASKS
            self._streams[stream] = MemoryStream(stream.value, self._tick(), one_per_subject)
        return frozenset(absent)

    def ensure_pool(self, pool: str) -> None:
        """Create the consumer that the executors of `pool` share."""
        self.in_flight.setdefault(pool, {})
        self.delivered.setdefault(pool, 0)

    def stream(self, name: str) -> MemoryStream:
        """Give a stream.

        Raises:
            TransientFault: the server is down, or there is no such stream.
        """
        self.expect_up()
        found = self._streams.get(name)
        if found is None:
            raise TransientFault(f"there is no stream {name}")
        return found

    @property
    def streams(self) -> Mapping[str, MemoryStream]:
        """All streams by name, whether the server is up or not."""
        return self._streams

    def exists(self, name: str) -> bool:
        """Tell whether there is such a stream."""
        return name in self._streams

    def expect_up(self) -> None:
        """Raise unless the server is up.

        Raises:
            TransientFault: it is down.
        """
        if not self.up:
            raise TransientFault("the bus does not answer")

    def store(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        expected: tuple[str, int] | None = None,
    ) -> int | Refusal:
        """Store a message in the stream of its subject; give its sequence or why not.

        Raises:
            TransientFault: the server is down.
        """
        self.expect_up()
        stream = self._stream_of(subject)
        if stream is None:
            return Refusal.NO_STREAM
        refusal = stream.refusal(subject, expected)
        if refusal is not None:
            return refusal
        sequence = stream.append(subject, payload, self._tick(), headers or {})
        self.wake()
        return sequence

    def _stream_of(self, subject: str) -> MemoryStream | None:
        for stream in self._streams.values():
            if any(matches(pattern, subject) for pattern in STREAM_SUBJECTS[Stream(stream.name)]):
                return stream
        return None

    def _tick(self) -> int:
        self._last_time_us = max(self.clock.now_us(), self._last_time_us + 1)
        return self._last_time_us

    def purge(self, name: str, subject_filter: str, before_sequence: int = 0) -> None:
        """Delete what matches, below a sequence if one is given."""
        stream = self.stream(name)
        below = before_sequence or stream.last_sequence + 1
        stream.remove([m.sequence for m in stream.after(0, subject_filter) if m.sequence < below])

    # ---- what can befall it ------------------------------------------------------------------

    def stop(self) -> None:
        """Answer nothing from now on."""
        self.up = False
        self.session += 1
        self.wake()

    def start(self) -> None:
        """Answer again, with everything that was stored."""
        self.up = True
        self.wake()

    def drop_connections(self) -> None:
        """Break every connection once."""
        self.session += 1
        self.wake()

    def delete_stream(self, name: str) -> None:
        """Delete a stream with its consumers."""
        self._streams.pop(name, None)
        if name == Stream.TASKS:
            self.in_flight.clear()
            self.delivered.clear()

    def recreate(self, stream: Stream) -> None:
        """Delete a stream and create it again, empty."""
        self.delete_stream(stream)
        self.ensure_streams((stream,))

    def keep_copy(self) -> Mapping[str, MemoryStream]:
        """Give a copy of all streams for `put_back`."""
        return {name: stream.copy() for name, stream in self._streams.items()}

    def put_back(self, copy: Mapping[str, MemoryStream]) -> None:
        """Put the streams of a copy back; creation times stay, sequences will be used again."""
        self._streams.update((name, stream.copy()) for name, stream in copy.items())
        if Stream.TASKS in copy:
            for pool in self.in_flight:
                self.in_flight[pool] = {}
                self.delivered[pool] = 0
        self.wake()

    def cut(self, name: str, last_sequence: int) -> None:
        """Lose the tail behind `last_sequence`; it will be used again."""
        stream = self._streams[name]
        stream.remove([place for place in stream.messages if place > last_sequence])
        stream.last_sequence = min(stream.last_sequence, last_sequence)

    def limit(self, name: str, max_messages: int | None) -> None:
        """Bound the number of messages of a stream."""
        self._streams[name].max_messages = max_messages

    # ---- core subjects and waiting -----------------------------------------------------------

    def listen(self, pattern: str, listener: CoreListener) -> Callable[[], None]:
        """Call `listener` with each core message that matches; the result ends it."""
        self._core_number += 1
        number = self._core_number
        self._core[number] = (pattern, listener)

        def end() -> None:
            self._core.pop(number, None)

        return end

    def send(self, subject: str, payload: bytes) -> bool:
        """Deliver a core message; False, and nothing delivered, while down."""
        if not self.up:
            return False
        for pattern, listener in tuple(self._core.values()):
            if matches(pattern, subject):
                listener(subject, payload)
        return True

    def on_wake(self, waker: Callable[[], None]) -> Callable[[], None]:
        """Call `waker` whenever something may have arrived; the result ends it."""
        self._wakers[waker] = None

        def end() -> None:
            self._wakers.pop(waker, None)

        return end

    def wake(self) -> None:
        """Let everyone who waits look again."""
        for waker in tuple(self._wakers):
            waker()
