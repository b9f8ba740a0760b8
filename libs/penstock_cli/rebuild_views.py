"""The read model folded again from the stores, and compared with a fold by the core alone."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from penstock_cli.recover_place import OpenPlace, folding
from penstock_contracts.records import read_record
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import CATALOG_PARTITION, run_partition_count
from penstock_core.run.snapshot import state_hash
from penstock_core.run.state import RunState
from penstock_runtime.cells import Cells
from penstock_runtime.definitions import Definitions
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.recovering_events import Told, quietly
from penstock_runtime.recovering_inbox import Part, StoreInbox
from penstock_runtime.recovering_place import OPERATOR, Place, empty, held
from penstock_runtime.recovering_runs import RecoveredRuns

PAGE = 200  # runs folded at once
DIFFERING_MAX = 1_000  # ids that are told


@dataclass(slots=True)
class Compared:
    """What was folded, and how it compares.

    Attributes:
        differing: ids of runs whose hash in the read model is another, or which it lacks.
        view_hash: over the ids and hashes of all runs, as the read model has them.
        store_hash: the same, as a fold of the store by the core alone has them.
    """

    events: int = 0
    runs: int = 0
    differing: list[str] = field(default_factory=list[str])
    view_hash: str = ""
    store_hash: str = ""


async def rebuild_views(open_place: OpenPlace, told: Told = quietly) -> Compared:
    """Drop the read model, fold it from the stores, compare every run.

    Raises:
        StillServed: a gateway is at work.
        TransientFault: a server does not answer.
    """
    place, gateway = open_place.place, folding()
    async with held(Place((), place.events, place.read_models, place.clock, place.metrics)):
        parts = await _parts(place)
        await empty(open_place.views)
        told("folding", 0, sum(part.n for part in parts))
        inbox = _ToldInbox(parts, told)
        _ = await gateway.fold(
            OPERATOR, open_place.views, open_place.views, inbox, place.clock, place.metrics
        )
    return await compare(open_place, inbox.end, told)


async def compare(open_place: OpenPlace, events: int, told: Told = quietly) -> Compared:
    """Compare every run of the read model with a fold of the store."""
    done = Compared(events)
    views, stored = hashlib.sha256(), hashlib.sha256()
    reader = open_place.place.stores[0].reader
    for partition in await open_place.place.stores[0].partitions():
        if not run_partition_count([partition]):
            continue
        async for tenant, hashes in run_hashes(reader, partition):
            shown = await folding().hashes(open_place.views, tenant, list(hashes))
            for run_id, wanted in hashes.items():
                found = shown.get(run_id, "")
                views.update(f"{run_id} {found}\n".encode())
                stored.update(f"{run_id} {wanted}\n".encode())
                if found != wanted and len(done.differing) < DIFFERING_MAX:
                    done.differing.append(run_id)
            done.runs += len(hashes)
            told("comparing runs", done.runs, 0)
    done.view_hash, done.store_hash = views.hexdigest(), stored.hexdigest()
    return done


async def run_hashes(
    reader: EventReader, partition: str
) -> AsyncGenerator[tuple[str, Mapping[str, str]]]:
    """Give the hashes of a partition's runs by id, folded from their events: pages of a tenant."""
    cells = Cells(RecoveredRuns(Definitions(reader)), reader, size=0)
    after_n = 0
    while page := await reader.of_topics(partition, (RunStarted.TYPE,), after_n, PAGE):
        tenants: dict[str, list[str]] = {}
        for record in page:
            tenants.setdefault(read_record(record).meta.tenant, []).append(record.aggregate_id)
        for tenant, ids in tenants.items():
            found = await cells.load(dict.fromkeys(ids))
            yield tenant, {run: _hash(cell.state, cell.broken) for run, cell in found.items()}
        after_n = page[-1].n


def _hash(state: object, broken: str) -> str:
    return state_hash(state) if isinstance(state, RunState) else f"broken: {broken}"


async def _parts(place: Place) -> Sequence[Part]:
    """Give all partitions, the catalog first: runs refer to it."""
    found = [
        Part(partition, store.reader, (await store.row(partition)).n)
        for store in place.stores
        for partition in await store.partitions()
    ]
    return sorted(found, key=lambda part: (part.partition != CATALOG_PARTITION, part.partition))


class _ToldInbox(StoreInbox):
    """Tells how far it is."""

    def __init__(self, parts: Sequence[Part], told: Told) -> None:
        super().__init__(parts)
        self._told = told

    async def confirm_empty(self) -> bool:
        """See the port."""
        self._told("folding", self.done, self.end)
        return await super().confirm_empty()

    async def verify(self, positions: object) -> frozenset[str]:
        """See the port."""
        self._told("folding", self.done, self.end)
        return frozenset()
