"""Relay markers on the wire, and which of them are to be believed. Shared by all relay logs.

A marker is void when its last event or its previous marker is not at the sequence it names: the
stream was cut and filled again. It is void as well when it leaves a hole behind a previous marker
that stands: sequences are used again after a cut, so that a conditional publish may have passed
on another marker than the one it was meant to follow.
"""

from typing import NamedTuple, Protocol

from pydantic import ValidationError

from penstock_contracts.envelope import Envelope, MalformedMessage, first_fault
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import read_published
from penstock_contracts.subjects import relay_marker
from penstock_contracts.values import SYSTEM_TENANT
from penstock_runtime.ports.bus import PlacedMarker


class Entry(NamedTuple):
    """A message of the stream."""

    subject: str
    sequence: int
    payload: bytes


class MarkerLookup(Protocol):
    """Reads of the stream by its leader."""

    async def last_on(self, subject: str) -> Entry | None:
        """Give the last message on `subject`."""
        ...

    async def at(self, sequence: int) -> Entry | None:
        """Give the message at `sequence`."""
        ...

    async def next_on(self, subject: str, from_sequence: int) -> Entry | None:
        """Give the first message on `subject` at or behind `from_sequence`."""
        ...

    async def first_sequence(self) -> int:
        """Give the sequence of the first message kept."""
        ...


def encode_marker(marker: Marker) -> bytes:
    """Give the CloudEvent of a marker."""
    place = f"{marker.epoch}/{marker.last}/{marker.previous_marker_sequence}"
    return Envelope(
        id=f"{marker.partition}/marker/{place}",
        source=f"penstock/{marker.partition}",
        type=Marker.TYPE,
        subject=marker.partition,
        tenant=SYSTEM_TENANT,
        data=marker.model_dump(mode="json"),
    ).encode()


def decode_marker(raw: bytes) -> Marker:
    """Read a marker.

    Raises:
        MalformedMessage: it is none.
    """
    envelope = Envelope.decode(raw)
    if envelope.type != Marker.TYPE:
        raise MalformedMessage(f"not a marker: {envelope.type}")
    try:
        return Marker.model_validate(envelope.data)
    except ValidationError as error:
        raise MalformedMessage(f"marker: {first_fault(error)}") from None


async def last_valid_marker(log: MarkerLookup, partition: str) -> PlacedMarker | None:
    """Give the last marker of `partition` that stands; None if none does."""
    subject = relay_marker(partition)
    entry = await log.last_on(subject)
    while entry is not None:
        marker = _marker_in(entry, partition)
        if marker is not None and await _is_valid(log, entry, marker):
            return PlacedMarker(marker, entry.sequence)
        entry = await _previous_on(log, subject, entry.sequence)
    return None


def _marker_in(entry: Entry, partition: str) -> Marker | None:
    try:
        marker = decode_marker(entry.payload)
    except MalformedMessage:
        return None
    return marker if marker.partition == partition else None


async def _is_valid(log: MarkerLookup, entry: Entry, marker: Marker) -> bool:
    if not await _stands(log, entry, marker):
        return False
    before = (
        await log.at(marker.previous_marker_sequence) if marker.previous_marker_sequence else None
    )
    previous = _marker_in(before, marker.partition) if before is not None else None
    if before is None or previous is None or previous.last >= marker.first - 1:
        return True
    return not await _stands(log, before, previous)


async def _stands(log: MarkerLookup, entry: Entry, marker: Marker) -> bool:
    """Check what the marker says of its last event and its previous marker."""
    if max(marker.last_event_sequence, marker.previous_marker_sequence) >= entry.sequence:
        return False
    return await _event_is_there(log, marker) and await _previous_is_there(log, marker)


async def _event_is_there(log: MarkerLookup, marker: Marker) -> bool:
    sequence = marker.last_event_sequence
    if sequence == 0:
        return marker.last < marker.first
    event = await log.at(sequence)
    if event is None:
        return sequence < await log.first_sequence()  # aged out
    try:
        read = read_published(event.payload)
    except MalformedMessage:
        return False
    return (read.partition, read.n) == (marker.partition, marker.last)


async def _previous_is_there(log: MarkerLookup, marker: Marker) -> bool:
    sequence = marker.previous_marker_sequence
    if sequence == 0:
        return True
    before = await log.at(sequence)
    if before is None:
        return sequence < await log.first_sequence()
    return before.subject == relay_marker(marker.partition)


async def _previous_on(log: MarkerLookup, subject: str, sequence: int) -> Entry | None:
    """Give the last message on `subject` below `sequence`, in a logarithmic number of reads."""
    step, low = 1, sequence
    found: Entry | None = None
    while found is None and low > 1:
        low = max(sequence - step, 1)
        step *= 2
        candidate = await log.next_on(subject, low)
        if candidate is not None and candidate.sequence < sequence:
            found = candidate
    if found is None:
        return None
    low, high = found.sequence + 1, sequence
    while low < high:  # the first one at or behind `middle` narrows from one side or the other
        middle = (low + high) // 2
        candidate = await log.next_on(subject, middle)
        if candidate is not None and candidate.sequence < sequence:
            found, low = candidate, candidate.sequence + 1
        else:
            high = middle
    return found
