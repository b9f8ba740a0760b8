"""Publishing: effects, the fenced relay of events, and purges of task subjects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from penstock_contracts.partition.v1 import Marker


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        stream: JetStream stream that must acknowledge it; None for a core subject.
        message_id: written as `Nats-Msg-Id` (saves work only; nothing relies on it).
        traceparent: what its envelope carries, and `parent` what that is the child of; they tell
            a tracing publisher which span to report and are not sent.
    """

    stream: str | None
    subject: str
    payload: bytes
    message_id: str | None = None
    traceparent: str | None = None
    parent: str | None = None


class Published(StrEnum):
    """Outcome of one publish."""

    DONE = "done"
    ALREADY_THERE = "already_there"  # one message per subject, and it has one
    FULL = "full"  # refused for lack of space
    FAILED = "failed"  # no answer, or refused for another reason


class Publisher(Protocol):
    """Pipelined publishes. Nothing is sent or buffered while disconnected."""

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Publish all, wait for all acknowledgements (bounded), give each outcome in order."""
        ...

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Delete what the subject holds.

        Raises:
            TransientFault: the server does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlacedMarker:
    """A valid marker and its stream sequence."""

    marker: Marker
    sequence: int


class RelayLog(Protocol):
    """The EVENTS stream as the relay of one partition sees it."""

    async def last_marker(self, partition: str) -> PlacedMarker | None:
        """Give the last valid marker, skipping void ones back to the start; None if none.

        A marker is void when its last event or its previous marker is not at the sequence it
        names (the stream was rolled back and refilled).

        Raises:
            TransientFault: the server does not answer.
        """
        ...

    async def last_sequence(self, partition: str) -> int:
        """Give the sequence of the last message on the marker subject, valid or void; 0: none."""
        ...

    async def publish_unit(
        self,
        partition: str,
        messages: Sequence[tuple[str, bytes]],
        marker: Callable[[int], Marker],
        fence_sequence: int,
    ) -> int:
        """Publish (subject, payload) in order, then the marker, each conditional on the fence.

        The marker is sent only after every message was acknowledged on the same connection;
        `marker` receives the sequence of the last message (0 without messages).

        Returns:
            The sequence of the marker: the next fence.

        Raises:
            Fenced: the marker subject's last sequence is not `fence_sequence`.
            TransientFault: anything else; publish the whole unit again after reading the marker.
        """
        ...
