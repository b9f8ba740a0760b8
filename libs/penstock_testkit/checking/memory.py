"""Histories out of the adapters in memory: stores, streams and rows as they are this moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.memory.projection import MemoryProjection
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts.records import StoredRecord
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream, run_partition
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewKey
from penstock_testkit.checking.folding import rows_of
from penstock_testkit.checking.history import History, Published

# The adapters show these to nobody in production; a checker has to see all of them at once.
# ruff: noqa: SLF001


def stored_in(*ledgers: MemoryLedger, runs: int = 1) -> dict[str, Sequence[StoredRecord]]:
    """Give all records of all partitions, of those without events too."""
    names = [CATALOG_PARTITION, APPROVAL_PARTITION, *map(run_partition, range(runs))]
    found: dict[str, Sequence[StoredRecord]] = dict.fromkeys(names, ())
    for ledger in ledgers:
        found.update((name, tuple(records)) for name, records in ledger._events.items() if records)
    return found


def indexed_in(*ledgers: MemoryLedger) -> dict[str, Mapping[str, int]]:
    """Give the index of open aggregates."""
    found: dict[str, Mapping[str, int]] = {}
    for ledger in ledgers:
        for name in ledger._partitions.names():
            found[name] = dict(ledger._open.get(name, {}))
    return found


def published_in(bus: MemoryServer) -> Sequence[Published]:
    """Give all messages of EVENTS, whether or not the bus answers."""
    stream = bus._streams.get(Stream.EVENTS)
    if stream is None:
        return ()
    return tuple(
        Published(message.sequence, message.subject, message.payload)
        for message in stream.messages.values()
    )


def first_kept_in(bus: MemoryServer) -> int:
    """Give the first sequence that EVENTS keeps."""
    stream = bus._streams.get(Stream.EVENTS)
    return 1 if stream is None else stream.first_sequence


def messages_in(bus: MemoryServer, streams: Iterable[Stream]) -> Sequence[tuple[str, bytes]]:
    """Give the payloads of other streams, for secrets."""
    return [
        (f"{stream}/{message.sequence}", message.payload)
        for stream in streams
        if stream in bus._streams
        for message in bus._streams[stream].messages.values()
    ]


def shown_in(views: MemoryProjection) -> Mapping[ViewKey, JsonObject]:
    """Give the gateway's rows."""
    return {key: row.body for key, row in views._rows.items()}


def history_in(
    ledgers: Sequence[MemoryLedger],
    bus: MemoryServer,
    views: MemoryProjection,
    **more: Any,  # noqa: ANN401 - further fields of the history
) -> History:
    """Give the history of a whole world; `more` are further fields of it."""
    return History(
        store=stored_in(*ledgers),
        published=published_in(bus),
        first_sequence=first_kept_in(bus),
        views=shown_in(views),
        seen=dict(views._seen),
        fold=rows_of,
        open_index=indexed_in(*ledgers),
        now_us=bus.clock.now_us(),
        **more,
    )
