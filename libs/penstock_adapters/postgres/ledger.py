"""The event store of one service: `Ledger`, its readers and its roster in one database."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from penstock_adapters.postgres import rows
from penstock_adapters.postgres.datastore import PgConnection, StoreLimits
from penstock_adapters.postgres.migrate import Schema, require_schema
from penstock_adapters.postgres.opening import Opening
from penstock_adapters.postgres.recorder import PenstockRecorder
from penstock_adapters.postgres.rows import Row, fetch
from penstock_adapters.postgres.server_in_use import ServerInUse
from penstock_adapters.postgres.statements import load_statements
from penstock_adapters.postgres.threads import DatabaseThreads
from penstock_contracts.records import NewRecord, StoredRecord
from penstock_runtime.ports.ledger import Commit, OpenEntry, PartitionRow
from penstock_runtime.ports.roster import Roster

READERS = 2  # threads, and connections, that read
_NO_ID = "00000000-0000-0000-0000-000000000000"  # in front of every derived id
_SQL = load_statements("events.sql")


class PostgresLedger(Opening):
    """The event store over the service role.

    One thread with one connection writes, in the order of the calls; `READERS` others read; one
    more keeps leases, so that a lease waits neither for a commit nor for a long read. A commit
    prolongs its partition's lease itself, by as long as it was last asked for. A broken connection
    is made again by the next call.

    Args:
        url: connection URL of the service role.
        limits: bounds of its waits.
    """

    def __init__(self, url: str, *, limits: StoreLimits | None = None) -> None:
        bounds = limits or StoreLimits()
        server = ServerInUse(url)
        self._writer = DatabaseThreads(
            url, threads=1, limits=bounds, label="penstock-write", server=server
        )
        self._readers = DatabaseThreads(
            url, threads=READERS, limits=bounds, label="penstock-read", server=server
        )
        self._leases = DatabaseThreads(
            url, threads=1, limits=bounds, label="penstock-lease", server=server
        )
        self._lease_s: dict[str, float] = {}
        self._recorder = PenstockRecorder(self._writer.datastore)

    async def open(self) -> None:
        """Check server and tables (see `Opening`)."""
        await self._writer.write(require_schema, Schema.LEDGER)

    async def close(self) -> None:
        """End threads and connections."""
        for threads in self.pools.values():
            await threads.close()

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the partition over (see `Ledger.acquire`)."""
        row = await self._writer.write(rows.acquire, partition, owner, lease_s)
        if row is not None:
            self._lease_s[partition] = lease_s
        return row

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours."""
        held = await self._leases.write(rows.renew, partition, epoch, lease_s)
        if held:
            self._lease_s[partition] = lease_s
        return held

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease, if it is ours."""
        await self._writer.write(rows.release, partition, epoch)

    async def partitions(self) -> Sequence[str]:
        """Name every partition (see `Ledger.partitions`)."""
        return [row.partition for row in await self._readers.read(rows.all_rows)]

    async def declare(self, partitions: Sequence[str]) -> None:
        """Make sure that these partitions exist (see `RosterBook.declare`)."""
        await self._leases.write(rows.declare, partitions)

    async def attend(self, instance: str, lease_s: float) -> Roster:
        """Say that an instance lives, and look at everything (see `RosterBook.attend`)."""
        return await self._leases.write(rows.attend, instance, lease_s)

    async def row(self, partition: str) -> PartitionRow:
        """Read the row, once a commit that holds it has ended (see `Ledger.row`)."""
        return await self._writer.read(rows.settled_row, partition)

    async def commit(self, commit: Commit) -> Sequence[int]:
        """Write all of it or nothing, in one transaction (see `Ledger.commit`)."""
        return await self._writer.call(self._commit, commit)

    def _commit(self, commit: Commit) -> Sequence[int]:
        events = [_to_stored_event(event) for event in commit.events]
        lease_s = self._lease_s.get(commit.partition, 0.0)
        return self._recorder.insert_events(events, commit=commit, lease_s=lease_s) or ()

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        """Give all events of these aggregates in version order; absent ones are left out."""
        found: dict[str, list[StoredRecord]] = {}
        for record in await self._records("load", {"ids": [UUID(one) for one in aggregate_ids]}):
            found.setdefault(record.aggregate_id, []).append(record)
        return found

    async def after(self, partition: str, n: int, limit: int) -> Sequence[StoredRecord]:
        """Give the partition's events n+1 .. n+limit in order."""
        return await self._records("after", {"partition": partition, "n": n, "limit": limit})

    async def of_topics(
        self, partition: str, topics: Sequence[str], after_n: int, limit: int
    ) -> Sequence[StoredRecord]:
        """Give the partition's events of these topics beyond `after_n`, in order."""
        params = {"partition": partition, "topics": list(topics), "n": after_n, "limit": limit}
        return await self._records("of_topics", params)

    async def due(self, partition: str, now_us: int, limit: int) -> Sequence[OpenEntry]:
        """Give entries with `due_us` <= `now_us`, earliest first."""
        params = {"partition": partition, "now_us": now_us, "limit": limit}
        return [OpenEntry(*row) for row in await self._rows("due", params)]

    async def next_due(self, partition: str) -> int | None:
        """Give the earliest `due_us` of the partition."""
        ((due_us,),) = await self._rows("next_due", {"partition": partition})
        return due_us

    async def open_after(self, partition: str, after_id: str, limit: int) -> Sequence[OpenEntry]:
        """Page through all entries in order of aggregate id ('' starts)."""
        params = {"partition": partition, "after_id": after_id or _NO_ID, "limit": limit}
        return [OpenEntry(*row) for row in await self._rows("open_after", params)]

    async def open_counts(self) -> Mapping[str, int]:
        """Count the open aggregates of each partition that has any."""
        return dict(await self._rows("open_counts", {}))

    async def size_bytes(self) -> int:
        """Tell how much the database takes on its disk."""
        ((size,),) = await self._rows("database_bytes", {})
        return size

    @property
    def pools(self) -> Mapping[str, DatabaseThreads]:
        """Its pools of connections, by name."""
        return {"write": self._writer, "read": self._readers, "lease": self._leases}

    async def _rows(self, statement: str, params: Mapping[str, object]) -> list[Row]:
        return await self._readers.read(fetch, _SQL[statement], params)

    async def _records(self, statement: str, params: Mapping[str, object]) -> list[StoredRecord]:
        return await self._readers.read(_fetch_records, _SQL[statement], params)


def _fetch_records(
    connection: PgConnection, statement: bytes, params: Mapping[str, object]
) -> list[StoredRecord]:
    return [StoredRecord(*row) for row in fetch(connection, statement, params)]


def _to_stored_event(event: NewRecord) -> StoredEvent:
    return StoredEvent(event.aggregate_id, event.version, event.topic, event.state)
