"""The gateway shows what the stream holds, which is what the store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock_contracts.records import ReadEvent, read_record
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewKey
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.streams import events_by_the_rule

SHOWN = 3  # differing rows that are named


def nothing_is_shown_that_is_not_stored(history: History) -> Iterator[Violation]:
    """The gateway has applied no more than there is; in the end it has applied everything."""
    if history.views is None:
        return
    for partition, records in history.store.items():
        seen = history.seen.get(partition, 0)
        if seen > len(records):
            yield Violation("seen", partition, f"{seen} events of {len(records)} are shown")
        elif history.caught_up and seen < len(records):
            yield Violation("seen", partition, f"stops at {seen} of {len(records)}")


def views_are_the_fold_of_the_store(history: History) -> Iterator[Violation]:
    """The rows are those that the store's events give, up to what the gateway has applied."""
    if history.views is None or history.fold is None:
        return
    events = [
        read_record(record)
        for partition, records in history.store.items()
        for record in records[: history.seen.get(partition, 0)]
    ]
    yield from _differences("view of store", history.views, history.fold(events))


def views_are_the_fold_of_the_stream(history: History) -> Iterator[Violation]:
    """The rows are those that EVENTS gives when it is read from its first event on.

    Only while its beginning is still there, and as far as it can be read.
    """
    if history.views is None or history.fold is None or history.published is None:
        return
    read = events_by_the_rule(history)
    if history.first_sequence > 1 or not _reaches(history, read):
        return
    events = [
        event
        for partition, found in read.items()
        for event in found
        if event.n <= history.seen.get(partition, 0)
    ]
    yield from _differences("view of stream", history.views, history.fold(events))


def _reaches(history: History, read: Mapping[str, Sequence[ReadEvent]]) -> bool:
    """Tell whether EVENTS holds what was applied; a cut that is not mended yet is no fault."""
    return all(
        bool(found := read.get(partition)) and found[-1].n >= seen
        for partition, seen in history.seen.items()
        if seen
    )


def _differences(
    check: str, shown: Mapping[ViewKey, JsonObject], due: Mapping[ViewKey, JsonObject]
) -> Iterator[Violation]:
    wrong = sorted(key for key in shown.keys() | due.keys() if shown.get(key) != due.get(key))
    for key in wrong[:SHOWN]:
        if key not in shown:
            detail = "is missing"
        elif key not in due:
            detail = "is not in the fold"
        else:
            ours, theirs = shown[key], due[key]
            fields = sorted(f for f in ours.keys() | theirs.keys() if ours.get(f) != theirs.get(f))
            detail = f"differs in {', '.join(fields)}"
        yield Violation(check, "/".join(key), detail)
