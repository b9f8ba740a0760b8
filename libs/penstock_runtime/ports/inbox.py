"""Positioned consumption of one or more streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock_runtime.ports.ledger import Witness


@dataclass(frozen=True, slots=True)
class Source:
    """A stream and the subject filter within it."""

    stream: str
    subject_filter: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message with its place.

    Attributes:
        sequence: stream sequence.
        time_us: server time, microseconds since the epoch.
        pending: messages of its source that were behind it when it was delivered.
    """

    stream: str
    subject: str
    sequence: int
    time_us: int
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """Outcome of attaching.

    Attributes:
        positions: where reading starts, per stream.
        renewed: streams found to be a new incarnation; their start is in `positions`, is to be
            committed at once, and a sweep is due.
        ends: last sequence of each stream at attach; consumed up to there, the inbox held no
            older message (0: empty stream).
        lost: streams whose unread messages have aged out (alert).
    """

    positions: Mapping[str, Witness]
    renewed: frozenset[str] = frozenset()
    ends: Mapping[str, int] = field(default_factory=dict[str, int])
    lost: frozenset[str] = frozenset()


class Inbox(Protocol):
    """Messages of all sources in arrival order, each source in stream order, none twice.

    Gaps, missed heartbeats and disconnects are repaired inside: the consumer is made again from
    the last message handed out.
    """

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        """Check each position's witness against its stream and start reading behind it.

        Raises:
            TransientFault: the server does not answer.
        """
        ...

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """Give what has arrived, at most `limit`; wait up to `timeout_s` for a first one.

        After a reconnect it may give nothing before the time is up, so that its caller verifies
        its positions at once.
        """
        ...

    async def verify(self, positions: Mapping[str, Witness]) -> frozenset[str]:
        """Name the streams whose message at the position no longer has its time.

        A position whose message has aged out below the first sequence is in order.

        Raises:
            TransientFault: the server does not answer.
        """
        ...

    async def confirm_empty(self) -> bool:
        """Ask the server whether everything sent so far was taken by `take`."""
        ...

    async def purge(self, source: Source, before_sequence: int) -> None:
        """Delete the source's messages below `before_sequence`."""
        ...

    async def close(self) -> None:
        """Stop reading and delete the consumers."""
        ...
