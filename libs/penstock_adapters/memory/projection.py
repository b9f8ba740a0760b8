"""The read model in memory, for tests and the simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock_adapters.memory.partitions import MemoryPartitions
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.ports.projection import (
    CHILDREN_MAX,
    PAGE_MAX,
    ProjectionCommit,
    ViewKey,
    ViewRow,
)


class MemoryProjection:
    """`ProjectionStore` and `ViewReader` over dictionaries; each method is atomic.

    Args:
        clock: decides when a lease ends, as the database's clock would.
    """

    def __init__(self, clock: Clock) -> None:
        self._partitions = MemoryPartitions(clock)
        self._seen: dict[str, int] = {}
        self._rows: dict[ViewKey, ViewRow] = {}

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the projection over (see `ProjectionStore.acquire`)."""
        return self._partitions.acquire(partition, owner, lease_s)

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours."""
        return self._partitions.renew(partition, epoch, lease_s)

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease, if it is ours."""
        self._partitions.release(partition, epoch)

    async def row(self, partition: str) -> PartitionRow:
        """Read the projection's row (see `FollowedStore.row`)."""
        return self._partitions.row(partition)

    async def seen(self) -> Mapping[str, int]:
        """Give, per event partition, n of the last event that the rows contain."""
        return dict(self._seen)

    async def commit(self, commit: ProjectionCommit) -> None:
        """Write all of it or nothing (see `ProjectionStore.commit`)."""
        row = self._partitions.expect(commit.partition, commit.epoch, commit.commit_number)
        for key in commit.deletes:
            self._rows.pop(key, None)
        for view in commit.upserts:
            self._rows[view.key] = view
        self._seen.update(commit.seen)
        number = row.commit_number + 1
        self._partitions.put(replace(row, commit_number=number, positions=dict(commit.positions)))

    async def reset(self, partition: str, epoch: int) -> PartitionRow:
        """Drop every row, `seen` and the positions."""
        row = self._partitions.expect(partition, epoch)
        row = replace(row, commit_number=row.commit_number + 1, positions={})
        self._partitions.put(row)
        self._rows.clear()
        self._seen.clear()
        return row

    async def get(self, kind: str, tenant: str, id: str) -> ViewRow | None:  # noqa: A002 - the column's name
        """Give one row."""
        return self._rows.get((kind, tenant, id))

    async def get_many(self, kind: str, tenant: str, ids: Sequence[str]) -> Mapping[str, ViewRow]:
        """Give those of these rows that exist, by id."""
        found = (self._rows.get((kind, tenant, id_)) for id_ in ids[:CHILDREN_MAX])
        return {row.id: row for row in found if row is not None}

    async def children(self, kind: str, tenant: str, parent: str) -> Sequence[ViewRow]:
        """Give the rows under `parent`, ascending by (sort_key, id)."""
        found = [row for row in self._of(kind, tenant) if parent and row.parent == parent]
        return sorted(found, key=_order)[:CHILDREN_MAX]

    async def children_of(
        self, kind: str, tenant: str, parents: Sequence[str]
    ) -> Mapping[str, Sequence[ViewRow]]:
        """Give, by parent, the rows under each."""
        found = {parent: await self.children(kind, tenant, parent) for parent in parents}
        return {parent: rows for parent, rows in found.items() if rows}

    async def page(
        self,
        kind: str,
        tenant: str,
        *,
        state: str | None = None,
        group: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> Sequence[ViewRow]:
        """Give a page of rows, newest first."""
        found = [
            row
            for row in self._of(kind, tenant)
            if (state is None or state == row.state != "")
            and (group is None or group == row.group != "")
            and (before is None or _order(row) < before)
        ]
        return sorted(found, key=_order, reverse=True)[: min(limit, PAGE_MAX)]

    async def find_prefix(
        self, kind: str, tenant: str, prefix: str, limit: int
    ) -> Sequence[ViewRow]:
        """Give rows whose id starts with `prefix`, by id."""
        found = [row for row in self._of(kind, tenant) if row.id.startswith(prefix)]
        return sorted(found, key=lambda row: row.id)[: min(limit, PAGE_MAX)]

    def _of(self, kind: str, tenant: str) -> Sequence[ViewRow]:
        return [row for row in self._rows.values() if (row.kind, row.tenant) == (kind, tenant)]


def _order(row: ViewRow) -> tuple[int, str]:
    return row.sort_key, row.id
