"""EVENTS: by its reader's rule exactly the store, and markers that say the truth.

Read EVENTS before the store: what is committed in between is then no fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import (
    ReadEvent,
    StoredRecord,
    chain_hash,
    decode_state,
    genesis_hash,
    published_form,
    read_published,
)
from penstock_contracts.registry import kind_of, name_of
from penstock_contracts.subjects import event as event_subject
from penstock_contracts.subjects import parse, relay_marker
from penstock_testkit.checking.history import History, Published, Violation


@dataclass(frozen=True, slots=True)
class _Placed:
    """A marker and where it stands."""

    sequence: int
    marker: Marker


def _is_marker(message: Published) -> bool:
    return parse(message.subject).kind == "relay"


def events_by_the_rule(history: History) -> Mapping[str, Sequence[ReadEvent]]:
    """Read EVENTS as every reader does: event n = seen + 1 of a partition, nothing else.

    If the beginning of the stream has aged out, a partition begins with the first that is kept.
    """
    found: dict[str, list[ReadEvent]] = {}
    for message in history.published or ():
        if _is_marker(message):
            continue
        try:
            event = read_published(message.payload)
        except MalformedMessage:
            continue  # another check tells of it
        read = found.setdefault(event.partition, [])
        if _follows(history, read, event):
            read.append(event)
    return found


def _follows(history: History, read: Sequence[ReadEvent], event: ReadEvent) -> bool:
    if read:
        return event.n == read[-1].n + 1
    return event.n == 1 or history.first_sequence > 1


def events_are_the_stores(history: History) -> Iterator[Violation]:
    """EVENTS holds nothing but what the store holds, byte for byte, under its own subject."""
    for message in history.published or ():
        if _is_marker(message):
            continue
        place = f"EVENTS/{message.sequence}"
        try:
            event = read_published(message.payload)
        except MalformedMessage as fault:
            yield Violation("published", place, str(fault))
            continue
        records = history.store.get(event.partition)
        if records is None:
            continue
        if not 1 <= event.n <= len(records):
            detail = f"{event.partition}/{event.n} is not in the store"
            yield Violation("published", place, detail)
        elif published_form(records[event.n - 1]) != message.payload:
            yield Violation("published", place, f"{event.partition}/{event.n} differs")
        elif _subject(records[event.n - 1]) != message.subject:
            yield Violation("published", place, "stands under another subject")


def _subject(record: StoredRecord) -> str:
    tenant = decode_state(record.state)[0].tenant
    kind, name = kind_of(record.topic), name_of(record.topic)
    return event_subject(tenant, kind, record.aggregate_id, name)


def events_are_complete(history: History) -> Iterator[Violation]:
    """Once there was time, a reader of EVENTS has read everything that is stored."""
    if history.published is None or not history.caught_up:
        return
    read = events_by_the_rule(history)
    for partition, records in history.store.items():
        events = read.get(partition, ())
        last = events[-1].n if events else 0
        aged_out = history.first_sequence > 1 and not events
        if last != len(records) and not aged_out:
            detail = f"a reader stands at {last} of {len(records)}"
            yield Violation("relayed", partition, detail)


def markers_tell_the_truth(history: History) -> Iterator[Violation]:
    """Each marker names a state that the store was in."""
    heads: dict[str, list[str]] = {}
    for placed in _markers(history):
        marker, place = placed.marker, f"EVENTS/{placed.sequence}"
        if marker.partition not in history.store:
            continue
        if marker.partition not in heads:
            heads[marker.partition] = _heads(marker.partition, history)
        known = heads[marker.partition]
        if not 0 <= marker.last < len(known):
            detail = f"{marker.partition}/{marker.last} is not in the store"
            yield Violation("markers", place, detail)
        elif known[marker.last] != marker.chain_head:
            yield Violation("markers", place, "names another history than the store's")


def _heads(partition: str, history: History) -> list[str]:
    head = genesis_hash(partition)
    found = [head.hex()]
    for record in history.store[partition]:
        head = chain_hash(head, record.aggregate_id, record.version, record.topic, record.state)
        found.append(head.hex())
    return found


def _markers(history: History) -> Iterator[_Placed]:
    for message in history.published or ():
        if _is_marker(message):
            try:
                marker = Marker.model_validate(Envelope.decode(message.payload).data)
            except (MalformedMessage, ValidationError):
                continue
            if message.subject == relay_marker(marker.partition):
                yield _Placed(message.sequence, marker)


def the_last_marker_has_no_hole(history: History) -> Iterator[Violation]:
    """What the last valid marker says is relayed can be read in front of it."""
    messages = {message.sequence: message for message in history.published or ()}
    markers: dict[str, list[_Placed]] = {}
    for placed in _markers(history):
        markers.setdefault(placed.marker.partition, []).append(placed)
    for partition, found in markers.items():
        valid = [placed for placed in found if _is_valid(history, messages, placed)]
        if not valid:
            continue
        last = valid[-1]
        before = [m for m in history.published or () if m.sequence < last.sequence]
        read = _read_until(history, before, partition)
        if read < last.marker.last:
            detail = f"says {last.marker.last}, and a reader in front of it stands at {read}"
            yield Violation("last marker", f"EVENTS/{last.sequence}", f"{partition}: {detail}")


def _read_until(history: History, messages: Sequence[Published], partition: str) -> int:
    seen = 0
    for message in messages:
        if not _is_marker(message):
            try:
                event = read_published(message.payload)
            except MalformedMessage:
                continue
            first = seen == 0 and history.first_sequence > 1
            if event.partition == partition and (event.n == seen + 1 or first):
                seen = event.n
    return seen


def _is_valid(history: History, messages: Mapping[int, Published], placed: _Placed) -> bool:
    if not _stands(history, messages, placed):
        return False
    before = messages.get(placed.marker.previous_marker_sequence)
    if before is None or not _is_marker(before):
        return True
    marker = Marker.model_validate(Envelope.decode(before.payload).data)
    if marker.last >= placed.marker.first - 1:
        return True
    return not _stands(history, messages, _Placed(before.sequence, marker))


def _stands(history: History, messages: Mapping[int, Published], placed: _Placed) -> bool:
    """Tell whether the marker's last event and its previous marker are where it says."""
    marker, first = placed.marker, history.first_sequence
    event_at, marker_at = marker.last_event_sequence, marker.previous_marker_sequence
    if max(event_at, marker_at) >= placed.sequence:
        return False
    if event_at == 0 and marker.last >= marker.first:
        return False
    if event_at >= first and not _holds(messages.get(event_at), marker):
        return False
    previous = messages.get(marker_at)
    there = previous is not None and previous.subject == relay_marker(marker.partition)
    return marker_at < first or there


def _holds(message: Published | None, marker: Marker) -> bool:
    if message is None or _is_marker(message):
        return False
    event = read_published(message.payload)
    return (event.partition, event.n) == (marker.partition, marker.last)
