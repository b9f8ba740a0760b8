"""After the store was put back to an earlier state: what is lost, and how work goes on.

A store that was restored from a backup, or a replica that lagged and was promoted, has forgotten
its last commits, while EVENTS and the world outside have not. `survey` says, as a pure plan, what
of that is known; `recover` carries it out, with no service at work:

1. Every open `once` attempt may have been claimed in what was lost: its outcome is unknown from
   here on, said by the run's own decider. So is each attempt that a run which may have begun
   before makes of such a node, until a person has settled one (`RunState.doubts`).
2. Epochs rise above every one that has been seen, and each partition records the recovery.
3. The read models are emptied, and at last EVENTS, which the owners relay anew.

It may be ended at any moment and begun again: until EVENTS is emptied, no owner starts.
Everything here is on ports, so that a simulation runs the same code.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from penstock_contracts.ids import derive
from penstock_contracts.partition.v1 import StoreRecovered
from penstock_contracts.run.v1 import OutcomeUnknown, RecoverRun
from penstock_contracts.subjects import (
    CATALOG_PARTITION,
    run_partition_count,
)
from penstock_contracts.values import SYSTEM_TENANT
from penstock_core.catalog.library import Library
from penstock_core.decision import Context
from penstock_core.run.decide import once_in_flight
from penstock_core.run.state import RunState
from penstock_runtime.batch import Batch
from penstock_runtime.cells import Cell, Cells
from penstock_runtime.definitions import Definitions
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.recovering_events import Finding, Told, quietly, read_events
from penstock_runtime.recovering_place import (
    EVENTS_SOURCE,
    LEASE_S,
    OPERATOR,
    Place,
    StillServed,
    Store,
    empty,
    empty_events,
    held,
)
from penstock_runtime.recovering_runs import RecoveredRuns

log = logging.getLogger(__name__)

PAGE = 500  # aggregates of one commit
LOST_RUNS_MAX = 1_000  # ids in one record of a recovery
ATTEMPTS_LISTED = 1_000  # in a plan; all are counted


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A `once` attempt that is in flight as the store has it."""

    run_id: str
    node: str
    attempt: int
    status: str


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """What is known, and what would be done. Making it changes nothing.

    Attributes:
        findings: one a partition, of the stores and of EVENTS alike.
        attempts: those to become unknown, at most `ATTEMPTS_LISTED` of them.
        attempts_count: how many there are.
        until_us: what came until then may have been at work in what was lost.
        events: how many events EVENTS holds; 0: nothing is known of what was lost.
    """

    findings: Sequence[Finding]
    attempts: Sequence[OpenAttempt]
    attempts_count: int
    until_us: int
    events: int

    @property
    def put_back(self) -> frozenset[str]:
        """Names of the stores that EVENTS is ahead of, or contradicts."""
        return frozenset(f.store for f in self.findings if f.ahead and f.store)

    @property
    def doubted(self) -> frozenset[str]:
        """Names of the stores that may have been put back: EVENTS does not show all they hold.

        Where it ends before the store it says nothing of what the store may have lost: it was
        emptied or cut, and not yet filled again.
        """
        behind = {f.store for f in self.findings if f.store and f.events_n < f.store_n}
        return self.put_back | behind

    @property
    def lost_events(self) -> int:
        """How many events are known to be lost."""
        return sum(finding.lost.events for finding in self.findings)


@dataclass(slots=True)
class Recovered:
    """What was done.

    Attributes:
        recovery: id that all records of it carry.
        settled: attempts that have become unknown.
        runs: runs whose `once` nodes are doubted.
        rows: every partition afterwards.
        relayed: partition -> n up to which effects are proven to be out, so that EVENTS may be
            relayed so far without an owner.
    """

    recovery: str
    recovered_us: int
    settled: int = 0
    runs: int = 0
    rows: dict[str, PartitionRow] = field(default_factory=dict[str, PartitionRow])
    relayed: dict[str, int] = field(default_factory=dict[str, int])


async def survey(place: Place, told: Told = quietly) -> RecoveryPlan:
    """Compare EVENTS with the stores, and name what is open. Changes nothing.

    Raises:
        TransientFault: a server does not answer.
    """
    standing = [
        (store.name, store.reader, await store.row(partition))
        for store in place.stores
        for partition in await store.partitions()
    ]
    read = await read_events(place.events, EVENTS_SOURCE, standing, told)
    of_runs = next((s.name for s in place.stores if CATALOG_PARTITION in s.founding), "")
    for finding in read.findings:
        if not finding.store and run_partition_count([finding.partition]):
            finding.store = of_runs  # it grew in what was lost
    attempts: list[OpenAttempt] = []
    count = 0
    for store in place.stores:
        for partition in await store.partitions():
            if run_partition_count([partition]):
                async for cells in _open_cells(store, partition):
                    found = [one for cell in cells.values() for one in _in_flight(cell)]
                    count += len(found)
                    attempts.extend(found[: ATTEMPTS_LISTED - len(attempts)])
    until_us = max(place.clock.now_us(), read.newest_us)
    return RecoveryPlan(read.findings, attempts, count, until_us, read.events)


def _in_flight(cell: Cell) -> list[OpenAttempt]:
    state = cell.state
    if not isinstance(state, RunState):
        return []
    return [
        OpenAttempt(state.run_id, name, state.nodes[name].attempt, state.nodes[name].status.value)
        for name in once_in_flight(state)
    ]


async def recover(
    place: Place, plan: RecoveryPlan, by: str, reason: str = "", told: Told = quietly
) -> Recovered:
    """Do what `plan` says, for the stores it doubts; for all of them, if it doubts none.

    Args:
        place: the stores, EVENTS and the read models; no service may be at work.
        plan: of `survey`, for the same place and state.
        by: who answers for it.
        reason: why, in their words.
        told: progress.

    Raises:
        StillServed: a service holds a partition.
        TransientFault: a server does not answer; begin again.
    """
    done = Recovered(derive("recovery", str(plan.until_us), by), plan.until_us)
    doubted = plan.doubted or frozenset(store.name for store in place.stores)
    findings = {finding.partition: finding for finding in plan.findings}
    async with held(place) as rows:
        for store in place.stores:
            for partition in rows[store.name]:
                row = rows[store.name][partition]
                finding = findings.get(partition) or Finding(partition, store.name, row.n)
                proven = finding.agrees_to if finding.contradicts else finding.events_n
                done.relayed[partition] = min(row.n, proven)
                if store.name in doubted:
                    # Said at once: the lease is renewed by the epoch that is noted here.
                    row = rows[store.name][partition] = await _above(store, row, finding.epoch)
                    told(f"settling {partition}", 0, 0)
                    work = _Settling(place, store, done, by, reason)
                    row = await work.settle(row, finding, plan)
                done.rows[partition] = rows[store.name][partition] = row
        for model in place.read_models:
            await empty(model)
        told("emptying EVENTS", 0, 0)
        await empty_events(place.events())
    log.warning("the store was recovered", extra={"recovery": done.recovery, "by": by})
    return done


async def _open_cells(store: Store, partition: str) -> AsyncGenerator[dict[str, Cell]]:
    """Give the open aggregates of a partition, page by page."""
    cells = Cells(RecoveredRuns(Definitions(store.reader)), store.reader, size=0)
    after_id = ""
    while entries := await store.index.open_after(partition, after_id, PAGE):
        ids = [entry.aggregate_id for entry in entries]
        yield await cells.load(dict.fromkeys(ids))
        after_id = ids[-1]


class _Settling:
    """Commits of one store."""

    def __init__(self, place: Place, store: Store, done: Recovered, by: str, reason: str) -> None:
        self._place = place
        self._store = store
        self._done = done
        self._by = by
        self._reason = reason
        self._domain = RecoveredRuns(Definitions(store.reader))

    async def settle(self, row: PartitionRow, finding: Finding, plan: RecoveryPlan) -> PartitionRow:
        """Doubt what is open in a partition, and leave a record; gives the row afterwards."""
        store_n, settled = row.n, 0
        if run_partition_count([row.partition]):
            async for cells in _open_cells(self._store, row.partition):
                batch = self._batch(row, cells)
                for aggregate_id in list(cells):
                    events = batch.order(aggregate_id, RecoverRun(), self._context())
                    settled += sum(isinstance(event, OutcomeUnknown) for event in events)
                    self._done.runs += bool(events)
                row = await self._commit(batch)
        self._done.settled += settled
        batch = self._batch(row, {})
        lost_runs = [run for f in plan.findings for run in f.lost.runs_started]
        pages = range(0, len(lost_runs) or 1, LOST_RUNS_MAX)
        for number, start in enumerate(pages if row.partition == CATALOG_PARTITION else (0,)):
            catalog = row.partition == CATALOG_PARTITION
            event = StoreRecovered(
                recovery=self._done.recovery,
                partition=row.partition,
                by=self._by,
                reason=self._reason[:4096],
                recovered_us=self._done.recovered_us,
                store_n=store_n,
                events_n=finding.events_n,
                lost_events=finding.lost.events,
                lost_runs=tuple(lost_runs[start : start + LOST_RUNS_MAX]) if catalog else (),
                settled=settled,
                epoch=row.epoch,
            )
            record = derive("recovered", self._done.recovery, row.partition, str(number))
            batch.note(record, event, self._context())
        return await self._commit(batch)

    def _context(self) -> Context:
        return Context(
            now_us=self._done.recovered_us,
            command_id=f"recovery/{self._done.recovery}",
            actor=f"operator:{self._by}",
            tenant=SYSTEM_TENANT,
        )

    def _batch(self, row: PartitionRow, cells: dict[str, Cell]) -> Batch:
        return Batch(self._domain, row, cells, Library(), 1, self._place.metrics)

    async def _commit(self, batch: Batch) -> PartitionRow:
        if not batch.worth_committing:
            return batch.row
        await self._store.ledger.commit(batch.commit())
        batch.tell()
        return batch.row_after()


async def _above(store: Store, row: PartitionRow, epoch: int) -> PartitionRow:
    """Take the partition over, again and again, until its epoch is higher than `epoch`."""
    while row.epoch <= epoch:
        again = await store.ledger.acquire(row.partition, OPERATOR, LEASE_S)
        if again is None:
            raise StillServed(f"{row.partition} was taken over by a service")
        row = again
    return row
