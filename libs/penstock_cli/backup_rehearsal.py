"""A backup restored beside everything, checked, and removed."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock_adapters.embedded.postgres_roles import owner_of, service_of
from penstock_adapters.embedded.stack import EmbeddedStack, Endpoints
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_cli import backup_file
from penstock_cli.databases import APPROVAL, SCHEDULER
from penstock_cli.recover_place import prepare_tables
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord
from penstock_contracts.registry import kind_of
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import run_partition_count
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.catalog.decider import CatalogDecider
from penstock_core.catalog.state import EntryState
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import ParkedDecider, ParkedState
from penstock_core.run.snapshot import state_hash
from penstock_core.run.state import RunState
from penstock_runtime.cells import Cell, Cells, event_of
from penstock_runtime.definitions import Definitions
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.recovering_events import Told, quietly
from penstock_runtime.recovering_runs import RecoveredRuns

PAGE = 1_000  # events read at once
RUNS = 200  # runs folded at once
FAULTS_MAX = 100


@dataclass(slots=True)
class Rehearsal:
    """What would come back.

    Attributes:
        chains: partitions whose chain is whole and has the end that was backed up.
        statuses: how many runs of each status.
        compared: runs whose hash was compared with the living store's.
        state_hash: over the ids and state hashes of all runs.
        faults: what would not come back as it was.
    """

    created_us: int = 0
    events: int = 0
    aggregates: int = 0
    runs: int = 0
    artifacts: int = 0
    compared: int = 0
    state_hash: str = ""
    chains: list[str] = field(default_factory=list[str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])

    def fault(self, text: str) -> None:
        """Note a fault."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)


async def rehearse(file: Path, live: Mapping[str, str], told: Told = quietly) -> Rehearsal:
    """Restore `file` into servers of their own, check everything, remove them.

    Args:
        file: the backup.
        live: URLs of the living stores by database; empty: there is nothing to compare with.
        told: progress.

    Raises:
        CliFault: it is no backup, or a damaged one.
        TransientFault: a server does not answer.
    """
    with backup_file.read(file) as found, tempfile.TemporaryDirectory() as folder:
        stack = EmbeddedStack(Path(folder) / "scratch", {}, environ={})
        await stack.start()
        try:
            return await _examine(found, stack.endpoints, live, told)
        finally:
            await stack.stop()


async def _examine(
    found: backup_file.BackupFile, endpoints: Endpoints, live: Mapping[str, str], told: Told
) -> Rehearsal:
    await asyncio.to_thread(prepare_tables, endpoints)
    owners = {name: endpoints.postgres_urls[owner_of(name)] for name in backup_file.TABLES}
    try:
        await asyncio.to_thread(found.put_back, owners, told)
    except backup_file.NotRestored as not_restored:
        raise not_restored.fault from not_restored  # these databases are nobody's
    manifest = found.manifest
    done = Rehearsal(manifest.created_us, manifest.events)
    done.chains = [p for name in backup_file.TABLES for p in sorted(manifest.ends(name))]
    done.artifacts = manifest.rows(SCHEDULER, "artifacts")
    for database in (SCHEDULER, APPROVAL):
        url = endpoints.postgres_urls[service_of(database)]
        async with PostgresLedger(url) as ledger, _living(live.get(database)) as living:
            for partition in sorted(manifest.ends(database)):
                if run_partition_count([partition]):
                    await _runs(done, ledger, partition, living, told)
                else:
                    await _others(done, ledger, partition, told)
    return done


async def _others(done: Rehearsal, reader: EventReader, partition: str, told: Told) -> None:
    """Fold everything of a partition that is no run."""
    cells: dict[str, Cell] = {}
    after_n = 0
    while page := await reader.after(partition, after_n, PAGE):
        for record in page:
            _apply(done, cells, record)
        after_n = page[-1].n
        told(f"folding {partition}", after_n, 0)
    done.aggregates += len(cells)


def _apply(done: Rehearsal, cells: dict[str, Cell], record: StoredRecord) -> None:
    cell = cells.get(record.aggregate_id) or _blank(record)
    cells[record.aggregate_id] = cell
    try:
        cell.state = cell.decider.evolve(cell.state, event_of(record))
    except (BrokenInvariant, MalformedMessage) as error:
        done.fault(f"{record.partition}/{record.n}: {error}")


def _blank(record: StoredRecord) -> Cell:
    match kind_of(record.topic):
        case "partition":
            return Cell(ParkedDecider(), ParkedState(record.aggregate_id))
        case "approval":
            return Cell(ApprovalDecider(), ApprovalState(record.aggregate_id))
        case _:
            return Cell(CatalogDecider(), EntryState(record.aggregate_id))


async def _runs(
    done: Rehearsal, reader: EventReader, partition: str, living: EventReader | None, told: Told
) -> None:
    """Fold every run of a partition; compare it with the living store's, as far as that went."""
    cells = Cells(RecoveredRuns(Definitions(reader)), reader, size=0)
    digest = hashlib.sha256(done.state_hash.encode())
    after_n = 0
    while page := await reader.of_topics(partition, (RunStarted.TYPE,), after_n, RUNS):
        found = await cells.load(dict.fromkeys(record.aggregate_id for record in page))
        hashes: dict[str, tuple[int, str]] = {}
        for run_id, cell in found.items():
            if not isinstance(cell.state, RunState):
                done.fault(f"run {run_id}: {cell.broken}")
                continue
            hashes[run_id] = (cell.state.version, state_hash(cell.state))
            done.statuses[cell.state.status.value] += 1
            digest.update(f"{run_id} {hashes[run_id][1]}\n".encode())
        if living is not None:
            await _compare(done, living, hashes)
        done.runs += len(found)
        done.aggregates += len(found)
        after_n = page[-1].n
        told(f"folding {partition}", after_n, 0)
    done.state_hash = digest.hexdigest()


@asynccontextmanager
async def _living(url: str | None) -> AsyncGenerator[EventReader | None]:
    """Give the living store, if there is one to compare with."""
    if url is None:
        yield None
        return
    async with PostgresLedger(url) as ledger:
        yield ledger


async def _compare(
    done: Rehearsal, living: EventReader, hashes: Mapping[str, tuple[int, str]]
) -> None:
    cells = Cells(RecoveredRuns(Definitions(living)), living, size=0)
    histories = await living.load(list(hashes))
    for run_id, (version, wanted) in hashes.items():
        cell = await cells.folded(run_id, histories.get(run_id, ())[:version])
        done.compared += 1
        if not isinstance(cell.state, RunState) or state_hash(cell.state) != wanted:
            done.fault(f"run {run_id} is another one in the living store")
