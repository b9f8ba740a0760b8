"""Partitions: what belongs to no other aggregate, and the relay's markers."""

from typing import ClassVar

from pydantic import Field

from penstock_contracts.values import Id, TimeUs, Wire
from penstock_contracts.workflow.v1 import Problem


class MessageParked(Wire):
    """A message that could not be processed, kept with its reason.

    Attributes:
        aggregate: id of the aggregate that is frozen by it, if one is.
        raw: the message's bytes in base64, at most 64 KiB of them.
        size_bytes: their whole length.
    """

    TYPE: ClassVar[str] = "partition.message_parked.v1"
    stream: str
    sequence: int
    subject: str
    code: str
    detail: str = Field(default="", max_length=4096)
    aggregate: Id | None = None
    raw: str = ""
    size_bytes: int = 0
    headers: dict[str, str] = {}


class MessageRedriven(Wire):
    """A parked message was put back on its stream."""

    TYPE: ClassVar[str] = "partition.message_redriven.v1"
    stream: str
    sequence: int
    by: str = ""


class RedriveMessages(Wire):
    """Put all parked messages of an aggregate back on their streams, in their order."""

    TYPE: ClassVar[str] = "partition.redrive_messages.v1"
    aggregate: Id


class CommandRejected(Wire):
    """A command whose target is unknown was refused."""

    TYPE: ClassVar[str] = "partition.command_rejected.v1"
    command_id: str
    command: str
    target: str = ""
    code: str
    detail: str = Field(default="", max_length=4096)
    problems: tuple[Problem, ...] = ()


class StoreRecovered(Wire):
    """The store was put back to an earlier state, and an operator has let it go on from there.

    Attributes:
        recovery: names the recovery; every partition of the store has an event of it.
        by: who.
        reason: why, as they have said.
        recovered_us: when; what came before may have been at work in what was lost.
        store_n: n of the last event that the store holds from before.
        events_n: n of the last event that EVENTS held; 0: EVENTS held nothing.
        lost_events: how many events EVENTS held that the store does not.
        lost_runs: runs that the lost events have started.
        settled: attempts whose outcome is unknown from here on.
        epoch: of the partition afterwards; higher than any that has been seen.
    """

    TYPE: ClassVar[str] = "partition.store_recovered.v1"
    recovery: Id
    partition: str
    by: str
    reason: str = Field(default="", max_length=4096)
    recovered_us: TimeUs
    store_n: int
    events_n: int = 0
    lost_events: int = 0
    lost_runs: tuple[Id, ...] = ()
    settled: int = 0
    epoch: int


class Marker(Wire):
    """End of a relayed unit: the relay's position, proved by the stream itself.

    Attributes:
        epoch: of the owner that wrote it.
        first: n of the unit's first event (last + 1 for a unit without events).
        last: n of its last event.
        chain_head: hash after event `last`, hex.
        last_event_sequence: stream sequence of that event, 0 if the unit has none.
        previous_marker_sequence: stream sequence of the marker before, 0 if there was none.
    """

    TYPE: ClassVar[str] = "partition.marker.v1"
    partition: str
    epoch: int
    first: int
    last: int
    chain_head: str
    last_event_sequence: int
    previous_marker_sequence: int
