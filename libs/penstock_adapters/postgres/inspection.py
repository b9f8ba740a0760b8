"""Looking at a database as one of its roles sees it: short, bounded, and nothing is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import psycopg
from pydantic_core import from_json

from penstock_adapters.postgres.datastore import Datastore, PgConnection, StoreLimits
from penstock_adapters.postgres.faults import as_faults
from penstock_adapters.postgres.migrate import Schema
from penstock_adapters.postgres.rows import fetch
from penstock_adapters.postgres.statements import load_migrations, load_statements
from penstock_contracts.records import StoredRecord
from penstock_runtime.ports.projection import PAGE_MAX, ViewRow

LIMITS: Final = StoreLimits(connect_s=4, lock_s=1.0, statement_s=4.0, call_s=8.0, slot_s=1.0)
EVENT_TABLE: Final = "stored_events"
DURABILITY: Final = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")
_SQL = load_statements("inspection.sql")
_EVENTS = load_statements("events.sql")
_VIEWS = load_statements("views.sql")
_APPLIED: Mapping[Schema, bytes] = {
    Schema.LEDGER: _SQL["applied"],
    Schema.PROJECTION: _SQL["applied"],
    Schema.ARTIFACTS: _SQL["applied_artifacts"],
}
_LAST_KEY: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        version: its number (180004 is 18.4).
        now_us: its clock, microseconds since the epoch.
        connections: clients connected now, this one included.
        connections_max: how many it lets in that are no superusers.
        standbys: how many receive its log at this moment.
        is_standby: it follows another server and takes no writes.
        settings: those of `DURABILITY` as they hold for this role in this database.
    """

    version: int
    now_us: int
    connections: int
    connections_max: int
    standbys: int
    is_standby: bool
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    """How far a database's tables are.

    Attributes:
        found: version of the tables; None: there are none.
        needed: version that this program works with.
    """

    found: int | None
    needed: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition's row with what is left of its lease.

    Attributes:
        left_s: seconds until the lease ends by the database's clock; negative: it has ended.
    """

    partition: str
    owner: str
    epoch: int
    n: int
    chain_head: bytes
    left_s: float


class StoreInspection:
    """Questions to one database as one role; for one thread.

    Args:
        url: connection URL.
        limits: bounds of its waits.
    """

    def __init__(self, url: str, limits: StoreLimits = LIMITS) -> None:
        self._datastore = Datastore(url, limits=limits, read_only=True, label="penstock-doctor")

    def __enter__(self) -> Self:
        """Give itself; the connection is made when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._datastore.close()

    def server(self) -> ServerFacts:
        """Ask the server about itself.

        Raises:
            UnsupportedServer: it is too old.
            TransientFault: it does not answer, or refuses the login.
        """
        with as_faults(), self._datastore.get_connection() as connection:
            ((version, now_us, count, most, standbys, standby),) = fetch(
                connection, _SQL["server"], {}
            )
            found = fetch(connection, _SQL["settings"], {"names": list(DURABILITY)})
        return ServerFacts(
            int(version), int(now_us), int(count), int(most), int(standbys), bool(standby),
            {str(name): str(value) for name, value in found},
        )  # fmt: skip

    def schema(self, schema: Schema) -> SchemaFacts:
        """Ask how far the tables of `schema` are.

        Raises:
            TransientFault: the server does not answer.
        """
        needed = max(load_migrations(schema))
        with as_faults(), self._datastore.get_connection() as connection:
            try:
                return SchemaFacts(_version_of(connection, schema), needed)
            except psycopg.errors.UndefinedTable:
                return SchemaFacts(None, needed)

    def rights(self, table: str = EVENT_TABLE) -> frozenset[str]:
        """Name what this role may do with a table; nothing with one that is absent."""
        with as_faults(), self._datastore.get_connection() as connection:
            found = fetch(connection, _SQL["rights"], {"table": table})
        return frozenset(str(right) for (right,) in found)

    def guard(self) -> str:
        """Give when the trigger that keeps events fires (`A`: always); "" if there is none."""
        with as_faults(), self._datastore.get_connection() as connection:
            found = fetch(connection, _SQL["trigger"], {})
        return str(found[0][0]) if found else ""

    def leases(self) -> Sequence[Lease]:
        """Give every partition's row."""
        with as_faults(), self._datastore.get_connection() as connection:
            return [Lease(*row) for row in fetch(connection, _SQL["leases"], {})]

    def seen(self) -> Mapping[str, int]:
        """Give what a read model has applied: partition -> n."""
        with as_faults(), self._datastore.get_connection() as connection:
            return dict(fetch(connection, _SQL["seen"], {}))

    def event_behind(self, partition: str, n: int) -> StoredRecord | None:
        """Give event n+1 of a partition; None: there is none yet."""
        params = {"partition": partition, "n": n, "limit": 1}
        with as_faults(), self._datastore.get_connection() as connection:
            found = fetch(connection, _EVENTS["after"], params)
        return StoredRecord(*found[0]) if found else None

    def views(self, kind: str, state: str = "") -> Sequence[ViewRow]:
        """Give rows of all tenants of a read model, the newest of each first.

        Args:
            kind: which rows; at most `PAGE_MAX` a tenant.
            state: those alone that are in this state; "": all.
        """
        name = "page_by_state" if state else "page"
        with as_faults(), self._datastore.get_connection() as connection:
            return [
                ViewRow(*row[:-1], body=from_json(row[-1]))
                for (tenant,) in fetch(connection, _SQL["tenants"], {})
                for row in fetch(
                    connection,
                    _VIEWS[name],
                    {
                        "kind": kind, "tenant": tenant, "state": state, "limit": PAGE_MAX,
                        "before_key": _LAST_KEY, "before_id": "",
                    },
                )
            ]  # fmt: skip


def _version_of(connection: PgConnection, schema: Schema) -> int:
    ((version,),) = fetch(connection, _APPLIED[schema], {})
    return int(version)
