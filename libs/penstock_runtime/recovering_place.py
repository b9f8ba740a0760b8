"""What a recovery is about, and holding all of it so that no service begins meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from penstock_contracts.records import genesis_hash
from penstock_contracts.subjects import GATEWAY_PARTITION, ROOT, Stream
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import Fenced, PenstockFault
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Inbox, Source
from penstock_runtime.ports.ledger import DueIndex, EventReader, Ledger, PartitionRow
from penstock_runtime.ports.projection import ProjectionStore
from penstock_runtime.telemetry.metrics import Metrics

EVENTS_SOURCE = Source(Stream.EVENTS.value, f"{ROOT}.>")
OPERATOR = "penstock recover"
LEASE_S = 60.0  # while no service runs; renewed three times within it
PATIENCE_S = 15.0  # for the lease of a service that has died to run out
LOOK_S = 0.5
Rows = dict[str, dict[str, PartitionRow]]
"""Rows that are `held`, by store and partition; whoever raises an epoch notes it there at once."""


class StillServed(PenstockFault):
    """A partition is held by a service: it has to be stopped first."""


@dataclass(frozen=True, slots=True)
class Store:
    """One event store, as its owner's role sees it.

    Attributes:
        name: shown to people, such as `scheduler`.
        founding: partitions that it has in any case, so that one without a row is seen to be lost.
    """

    name: str
    ledger: Ledger
    reader: EventReader
    index: DueIndex
    founding: Sequence[str] = ()

    async def partitions(self) -> Sequence[str]:
        """Name its partitions."""
        return sorted({*await self.ledger.partitions(), *self.founding})

    async def row(self, partition: str) -> PartitionRow:
        """Give a partition's row, as it begins if there is none."""
        if partition in await self.ledger.partitions():
            return await self.ledger.row(partition)
        return PartitionRow(partition, "", 0, 0, 0, genesis_hash(partition), {})


@dataclass(frozen=True, slots=True)
class Place:
    """Everything a recovery is about.

    Attributes:
        stores: every event store whose events are in EVENTS.
        events: gives an inbox on `EVENTS_SOURCE`, whose owner may purge EVENTS; the stream exists.
        read_models: what is folded from EVENTS.
    """

    stores: Sequence[Store]
    events: Callable[[], Inbox]
    read_models: Sequence[ProjectionStore]
    clock: Clock
    metrics: Metrics


@asynccontextmanager
async def held(place: Place) -> AsyncGenerator[Rows]:
    """Hold every partition of every store, and every read model, so that no service begins.

    Gives the rows of the stores. All are given back at the end.

    Raises:
        StillServed: a service holds one, and goes on holding it.
    """
    rows: Rows = {store.name: {} for store in place.stores}
    models: list[tuple[ProjectionStore, PartitionRow]] = []
    taken: list[tuple[Ledger | ProjectionStore, str]] = []
    keeping = asyncio.create_task(_keep(place, rows, models))  # taking all of it may last, too
    try:
        try:
            for store in place.stores:
                for partition in await store.partitions():
                    row = await _take(place.clock, store.ledger, partition)
                    rows[store.name][partition] = row
                    taken.append((store.ledger, partition))
            for model in place.read_models:
                models.append((model, await _take(place.clock, model, GATEWAY_PARTITION)))
                taken.append((model, GATEWAY_PARTITION))
            yield rows
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
    finally:
        for ledger, partition in taken:
            # Whoever asks under the same name gets it at once, with the epoch to let go of.
            row = await ledger.acquire(partition, OPERATOR, LEASE_S)
            if row is not None:
                await ledger.release(partition, row.epoch)


async def _take(clock: Clock, ledger: Ledger | ProjectionStore, partition: str) -> PartitionRow:
    deadline_us = clock.now_us() + int(PATIENCE_S * MICROSECONDS)
    while True:
        row = await ledger.acquire(partition, OPERATOR, LEASE_S)
        if row is not None:
            return row
        if clock.now_us() >= deadline_us:
            raise StillServed(f"a service is at work: it holds partition {partition}")
        await clock.sleep(LOOK_S)


async def _keep(
    place: Place, rows: Rows, models: Sequence[tuple[ProjectionStore, PartitionRow]]
) -> None:
    """Renew the leases; whoever has taken one over is noticed by the next commit."""
    while True:
        await place.clock.sleep(LEASE_S / 3)
        for store in place.stores:
            for partition in tuple(rows[store.name]):
                await _renew(store.ledger, rows[store.name][partition])
        for model, row in tuple(models):
            await _renew(model, row)


async def _renew(ledger: Ledger | ProjectionStore, row: PartitionRow) -> None:
    with suppress(PenstockFault):
        await ledger.renew(row.partition, row.epoch, LEASE_S)


async def empty(model: ProjectionStore) -> None:
    """Drop every row of a read model that is `held`; it is folded anew from the first event on.

    Raises:
        StillServed: a gateway holds it.
    """
    row = await model.acquire(GATEWAY_PARTITION, OPERATOR, LEASE_S)
    if row is None:
        raise StillServed("a gateway is at work: it holds the read model")
    try:
        _ = await model.reset(GATEWAY_PARTITION, row.epoch)
    except Fenced as fenced:
        raise StillServed("a gateway has taken the read model over") from fenced


async def empty_events(inbox: Inbox) -> None:
    """Delete all messages of EVENTS. Its sequences go on, so that no late relay fits in."""
    try:
        attachment = await inbox.attach({})
        end = attachment.ends[EVENTS_SOURCE.stream]
        await inbox.purge(EVENTS_SOURCE, end + 1)
    finally:
        await inbox.close()
