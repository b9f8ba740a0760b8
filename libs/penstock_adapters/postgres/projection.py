"""The gateway's read model: `ProjectionStore` and `ViewReader` in one database."""

from collections.abc import Mapping, Sequence

from pydantic_core import from_json, to_json

from penstock_adapters.postgres import rows
from penstock_adapters.postgres.datastore import PgConnection, StoreLimits
from penstock_adapters.postgres.migrate import Schema, require_schema
from penstock_adapters.postgres.opening import Opening
from penstock_adapters.postgres.rows import Row, fetch, fetch_each, positions_text, to_partition_row
from penstock_adapters.postgres.server_in_use import ServerInUse
from penstock_adapters.postgres.statements import load_statements
from penstock_adapters.postgres.threads import DatabaseThreads
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.ports.projection import CHILDREN_MAX, PAGE_MAX, ProjectionCommit, ViewRow

READERS = 2  # threads, and connections, that read
_LAST = (2**63 - 1, "")  # in front of every row, newest first
_PREFIX_END = "\U0010ffff"
_SQL = load_statements("views.sql")


class PostgresProjection(Opening):
    """The read model over the service role; one thread writes, `READERS` others read.

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

    async def open(self) -> None:
        """Check server and tables (see `Opening`)."""
        await self._writer.write(require_schema, Schema.PROJECTION)

    async def close(self) -> None:
        """End threads and connections."""
        await self._writer.close()
        await self._readers.close()

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the projection over (see `ProjectionStore.acquire`)."""
        return await self._writer.write(rows.acquire, partition, owner, lease_s)

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours."""
        return await self._writer.write(rows.renew, partition, epoch, lease_s)

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease, if it is ours."""
        await self._writer.write(rows.release, partition, epoch)

    async def row(self, partition: str) -> PartitionRow:
        """Read the projection's row (see `FollowedStore.row`)."""
        return await self._readers.read(rows.settled_row, partition)

    async def seen(self) -> Mapping[str, int]:
        """Give, per event partition, n of the last event that the rows contain."""
        found = await self._readers.read(fetch, _SQL["seen"], {})
        return dict(found)

    async def commit(self, commit: ProjectionCommit) -> None:
        """Write all of it or nothing, in one statement (see `ProjectionStore.commit`)."""
        ((stands,),) = await self._writer.write(_commit, commit)
        if not stands:
            raise Fenced(f"partition {commit.partition} has another epoch or commit number")

    async def reset(self, partition: str, epoch: int) -> PartitionRow:
        """Drop every row, `seen` and the positions (see `ProjectionStore.reset`)."""
        return await self._writer.write(_reset, partition, epoch)

    async def get(self, kind: str, tenant: str, id: str) -> ViewRow | None:  # noqa: A002 - the column's name
        """Give one row."""
        return (await self.get_many(kind, tenant, [id])).get(id)

    async def get_many(self, kind: str, tenant: str, ids: Sequence[str]) -> Mapping[str, ViewRow]:
        """Give those of these rows that exist, by id."""
        params = {"kind": kind, "tenant": tenant, "ids": list(ids[:CHILDREN_MAX])}
        return {row.id: row for row in await self._views("get", params)}

    async def children(self, kind: str, tenant: str, parent: str) -> Sequence[ViewRow]:
        """Give the rows under `parent`, ascending by (sort_key, id)."""
        return await self._views("children", self._under(kind, tenant, parent))

    async def children_of(
        self, kind: str, tenant: str, parents: Sequence[str]
    ) -> Mapping[str, Sequence[ViewRow]]:
        """Give, by parent, the rows under each."""
        # Each by a statement of its own, which is sure to walk its index; one for all of them would
        # read the whole table as soon as the planner takes the list for a great part of it.
        each = [self._under(kind, tenant, parent) for parent in dict.fromkeys(parents)]
        found = await self._readers.read(_fetch_views_of_each, _SQL["children"], each)
        return {views[0].parent: views for views in found if views}

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
        wanted = {"state": state, "group": group}
        filters = {name: value for name, value in wanted.items() if value is not None}
        statement = "page" + ("_by_" if filters else "") + "_and_".join(filters)
        before_key, before_id = before or _LAST
        params: dict[str, object] = {
            "kind": kind,
            "tenant": tenant,
            "before_key": before_key,
            "before_id": before_id,
            "limit": min(limit, PAGE_MAX),
        }
        return await self._views(statement, params | filters)

    async def find_prefix(
        self, kind: str, tenant: str, prefix: str, limit: int
    ) -> Sequence[ViewRow]:
        """Give rows whose id starts with `prefix`, by id."""
        params = {
            "kind": kind,
            "tenant": tenant,
            "prefix": prefix,
            "prefix_end": prefix + _PREFIX_END,
            "limit": min(limit, PAGE_MAX),
        }
        return await self._views("find_prefix", params)

    async def waiting(self, kind: str, state: str) -> tuple[int, int]:
        """Count the rows of all tenants in `state`, and give their least sort key; 0: none."""
        params = {"kind": kind, "state": state}
        ((count, oldest),) = await self._readers.read(fetch, _SQL["waiting"], params)
        return count, oldest

    async def size_bytes(self) -> int:
        """Tell how much the database takes on its disk."""
        ((size,),) = await self._readers.read(fetch, _SQL["database_bytes"], {})
        return size

    @property
    def pools(self) -> Mapping[str, DatabaseThreads]:
        """Its pools of connections, by name."""
        return {"write": self._writer, "read": self._readers}

    def _under(self, kind: str, tenant: str, parent: str) -> Mapping[str, object]:
        return {"kind": kind, "tenant": tenant, "parent": parent, "limit": CHILDREN_MAX}

    async def _views(self, statement: str, params: Mapping[str, object]) -> list[ViewRow]:
        return await self._readers.read(_fetch_views, _SQL[statement], params)


def _commit(connection: PgConnection, commit: ProjectionCommit) -> list[rows.Row]:
    upserts = {view.key: view for view in commit.upserts}
    deletes = [key for key in dict.fromkeys(commit.deletes) if key not in upserts]
    views = list(upserts.values())
    params: dict[str, object] = {
        "partition": commit.partition,
        "epoch": commit.epoch,
        "commit_number": commit.commit_number,
        "positions": positions_text(commit.positions),
        "seen_partitions": list(commit.seen),
        "seen_n": list(commit.seen.values()),
        "deleted_kinds": [kind for kind, _, _ in deletes],
        "deleted_tenants": [tenant for _, tenant, _ in deletes],
        "deleted_ids": [id_ for _, _, id_ in deletes],
        "kinds": [view.kind for view in views],
        "tenants": [view.tenant for view in views],
        "ids": [view.id for view in views],
        "parents": [view.parent for view in views],
        "sort_keys": [view.sort_key for view in views],
        "states": [view.state for view in views],
        "groups": [view.group for view in views],
        "bodies": [_body_text(view) for view in views],
    }
    return fetch(connection, _SQL["commit"], params)


def _body_text(view: ViewRow) -> str:
    # What is no JSON number becomes null: one odd event must not stop the whole read model.
    return to_json(view.body, inf_nan_mode="null").decode()


def _reset(connection: PgConnection, partition: str, epoch: int) -> PartitionRow:
    with connection.transaction():
        found = fetch(connection, _SQL["reset"], {"partition": partition, "epoch": epoch})
        if not found:
            raise Fenced(f"partition {partition} has another epoch")
        connection.execute(_SQL["clear"])
    return to_partition_row(found[0])


def _fetch_views(
    connection: PgConnection, statement: bytes, params: Mapping[str, object]
) -> list[ViewRow]:
    return [_view(row) for row in fetch(connection, statement, params)]


def _fetch_views_of_each(
    connection: PgConnection, statement: bytes, of_each: Sequence[Mapping[str, object]]
) -> list[list[ViewRow]]:
    return [[_view(row) for row in found] for found in fetch_each(connection, statement, of_each)]


def _view(row: Row) -> ViewRow:
    kind, tenant, id_, parent, sort_key, state, group, body = row
    return ViewRow(kind, tenant, id_, parent, sort_key, state, group, from_json(body))
