"""The event store in memory, for tests and the simulation: the same rules, nothing durable."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock_adapters.memory.partitions import MemoryPartitions
from penstock_contracts.records import NewRecord, StoredRecord
from penstock_runtime.faults import VersionConflict
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import Commit, OpenEntry, PartitionRow
from penstock_runtime.ports.roster import Roster


class MemoryLedger:
    """`Ledger`, `EventReader`, `DueIndex` and `RosterBook` over dictionaries.

    No method awaits anything, so each is atomic. Instances of a service that compete for a
    partition share one object, as they would share a database.

    Args:
        clock: decides when a lease ends, as the database's clock would.
    """

    def __init__(self, clock: Clock) -> None:
        self._partitions = MemoryPartitions(clock)
        self._position = 0
        self._versions: dict[str, dict[int, StoredRecord]] = defaultdict(dict)
        self._events: dict[str, list[StoredRecord]] = defaultdict(list)
        self._open: dict[str, dict[str, int]] = defaultdict(dict)

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the partition over (see `Ledger.acquire`)."""
        return self._partitions.acquire(partition, owner, lease_s)

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours."""
        return self._partitions.renew(partition, epoch, lease_s)

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease, if it is ours."""
        self._partitions.release(partition, epoch)

    async def partitions(self) -> Sequence[str]:
        """Name every partition (see `Ledger.partitions`)."""
        return self._partitions.names()

    async def declare(self, partitions: Sequence[str]) -> None:
        """Make sure that these partitions exist (see `RosterBook.declare`)."""
        self._partitions.declare(partitions)

    async def attend(self, instance: str, lease_s: float) -> Roster:
        """Say that an instance lives, and look at everything (see `RosterBook.attend`)."""
        return self._partitions.attend(instance, lease_s)

    async def row(self, partition: str) -> PartitionRow:
        """Read the partition's row."""
        return self._partitions.row(partition)

    async def commit(self, commit: Commit) -> Sequence[int]:
        """Write all of it or nothing (see `Ledger.commit`)."""
        before = commit.n - len(commit.events)
        row = self._partitions.expect(commit.partition, commit.epoch, commit.commit_number, before)
        self._refuse_conflicts(commit.events)
        numbered = enumerate(commit.events, before + 1)
        stored = [self._store(commit.partition, n, event) for n, event in numbered]
        opened = self._open[commit.partition]
        opened.update(commit.opened)
        for aggregate in commit.closed:
            opened.pop(aggregate, None)
        self._partitions.put(
            replace(
                row,
                commit_number=row.commit_number + 1,
                n=commit.n,
                chain_head=commit.chain_head,
                positions=dict(commit.positions),
            )
        )
        self._partitions.prolong(commit.partition)
        return [record.position for record in stored]

    def _refuse_conflicts(self, events: Sequence[NewRecord]) -> None:
        new: set[tuple[str, int]] = set()
        for event in events:
            key = event.aggregate_id, event.version
            stored = self._versions.get(event.aggregate_id, {})
            if event.version in stored or key in new:
                raise VersionConflict(f"{event.aggregate_id} has version {event.version} already")
            new.add(key)

    def _store(self, partition: str, n: int, event: NewRecord) -> StoredRecord:
        self._position += 1
        record = StoredRecord(
            aggregate_id=event.aggregate_id,
            version=event.version,
            topic=event.topic,
            state=event.state,
            partition=partition,
            n=n,
            position=self._position,
        )
        self._versions[event.aggregate_id][event.version] = record
        self._events[partition].append(record)
        return record

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        """Give all events of these aggregates in version order; absent ones are left out."""
        return {
            aggregate: [record for _, record in sorted(self._versions[aggregate].items())]
            for aggregate in aggregate_ids
            if aggregate in self._versions
        }

    async def after(self, partition: str, n: int, limit: int) -> Sequence[StoredRecord]:
        """Give the partition's events n+1 .. n+limit in order."""
        return self._events.get(partition, [])[max(n, 0) : max(n, 0) + limit]

    async def of_topics(
        self, partition: str, topics: Sequence[str], after_n: int, limit: int
    ) -> Sequence[StoredRecord]:
        """Give the partition's events of these topics beyond `after_n`, in order."""
        wanted = set(topics)
        events = self._events.get(partition, [])[max(after_n, 0) :]
        return [record for record in events if record.topic in wanted][:limit]

    async def due(self, partition: str, now_us: int, limit: int) -> Sequence[OpenEntry]:
        """Give entries with `due_us` <= `now_us`, earliest first."""
        entries = self._open.get(partition, {}).items()
        found = sorted((due_us, aggregate) for aggregate, due_us in entries if due_us <= now_us)
        return [OpenEntry(aggregate, due_us) for due_us, aggregate in found[:limit]]

    async def next_due(self, partition: str) -> int | None:
        """Give the earliest `due_us` of the partition."""
        return min(self._open.get(partition, {}).values(), default=None)

    async def open_after(self, partition: str, after_id: str, limit: int) -> Sequence[OpenEntry]:
        """Page through all entries in order of aggregate id ('' starts)."""
        entries = sorted(self._open.get(partition, {}).items())
        found = [OpenEntry(aggregate, due_us) for aggregate, due_us in entries]
        return [entry for entry in found if entry.aggregate_id > after_id][:limit]
