"""Whole tables out of a store, in one snapshot, and into one, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import IsolationLevel
from psycopg.sql import SQL, Composed, Identifier

from penstock_adapters.postgres import rows
from penstock_adapters.postgres.auditor import every_event, follow_chain
from penstock_adapters.postgres.datastore import Datastore, PgConnection, StoreLimits
from penstock_adapters.postgres.faults import as_faults
from penstock_adapters.postgres.rows import fetch
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.ledger import PartitionRow

HOUR_S = 3_600.0
_LIMITS = StoreLimits(lock_s=60.0, statement_s=6 * HOUR_S, call_s=24 * HOUR_S)


class ArchiveFault(PenstockFault):
    """What was to be restored is not what was backed up; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is backed up.

    Attributes:
        columns: all of them, by name: what a later version adds gets its default.
        guard: trigger that refuses to change what is in it, and how it is switched on again.
        serial: column whose numbers go on behind the highest one.
    """

    name: str
    columns: tuple[str, ...]
    guard: tuple[str, str] = ("", "")
    serial: str = ""


EVENTS = Table(
    "stored_events",
    ("originator_id", "originator_version", "notification_id", "n", "partition", "topic", "state"),
    ("append_only", "ENABLE ALWAYS"),
    "notification_id",
)
LEDGER_TABLES = (
    EVENTS,
    Table(
        "partitions",
        (
            "partition", "owner", "epoch", "commit_number", "n", "chain_head", "positions",
            "lease_ends",
        ),
    ),
    Table("open_aggregates", ("partition", "aggregate_id", "due_us")),
)  # fmt: skip
ARTIFACT_TABLES = (
    Table("artifact_copies", ("copy", "begun"), serial="copy"),
    Table("artifact_chunks", ("copy", "place", "data"), ("content_stays", "ENABLE")),
    Table("artifacts", ("tenant", "digest", "copy", "size", "chunks", "stored")),
)


class Snapshot:
    """A store as it was at one moment; for one thread."""

    def __init__(self, connection: PgConnection) -> None:
        self._connection = connection

    def partitions(self) -> Sequence[PartitionRow]:
        """Give every partition's row."""
        return rows.all_rows(self._connection)

    def count(self, table: Table) -> int:
        """Count the rows of a table."""
        statement = SQL("SELECT count(*) FROM {}").format(Identifier(table.name))
        ((found,),) = fetch(self._connection, statement.as_bytes(self._connection), {})
        return found

    def blocks(self, table: Table) -> Iterator[bytes]:
        """Give a table's content, in PostgreSQL's binary form."""
        with self._connection.cursor() as cursor, cursor.copy(_copy(table, "TO STDOUT")) as copy:
            for block in copy:
                yield bytes(block)


@contextmanager
def snapshot(url: str) -> Generator[Snapshot]:
    """Look at a store as it is now, while others go on writing.

    Raises:
        TransientFault: the server does not answer.
    """
    with (
        as_faults(),
        Datastore(url, limits=_LIMITS, read_only=True, label="penstock-backup") as datastore,
        datastore.get_connection() as connection,
    ):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            yield Snapshot(connection)


def restore(
    owner_url: str,
    tables: Sequence[Table],
    blocks: Callable[[Table], Iterator[bytes]],
    expected: Mapping[str, tuple[int, str]],
) -> None:
    """Replace what is in the tables, check every chain, and keep all of it or nothing.

    Args:
        owner_url: of the role that owns the tables, which are there.
        tables: in the order in which they refer to each other.
        blocks: gives the new content of a table.
        expected: n and chain head (hex) of each partition afterwards.

    Raises:
        ArchiveFault: a chain is not what was backed up.
        TransientFault: the server does not answer, or refuses the content.
    """
    with (
        as_faults(),
        Datastore(owner_url, limits=_LIMITS, label="penstock-restore") as datastore,
        datastore.get_connection() as connection,
        connection.transaction(),
    ):
        _guard(connection, tables, on=False)
        names = SQL(", ").join(Identifier(table.name) for table in tables)
        connection.execute(SQL("TRUNCATE {}").format(names))
        for table in tables:
            _fill(connection, table, blocks(table))
        _guard(connection, tables, on=True)
        found = {row.partition: (row.n, row.chain_head.hex()) for row in rows.all_rows(connection)}
        if found != dict(expected):
            raise ArchiveFault("the partitions are not those that were backed up")
        for partition, (n, head) in found.items():
            report = follow_chain(partition, every_event(connection, partition))
            if report.fault or (report.events, report.head.hex()) != (n, head):
                raise ArchiveFault(f"{partition}: {report.fault or 'the chain has another end'}")


def _guard(connection: PgConnection, tables: Sequence[Table], *, on: bool) -> None:
    """Switch the triggers that refuse changes off or on, for this transaction's eyes alone."""
    for table in tables:
        trigger, switch = table.guard
        if trigger:
            ways = {"ENABLE": SQL("ENABLE"), "ENABLE ALWAYS": SQL("ENABLE ALWAYS")}
            way = ways[switch] if on else SQL("DISABLE")
            connection.execute(
                SQL("ALTER TABLE {} {} TRIGGER {}").format(
                    Identifier(table.name), way, Identifier(trigger)
                )
            )


def _fill(connection: PgConnection, table: Table, blocks: Iterator[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(_copy(table, "FROM STDIN")) as copy:
        for block in blocks:
            copy.write(block)
    if table.serial:
        statement = SQL(
            "SELECT setval(pg_get_serial_sequence({text}, {column_text}), "
            "coalesce(max({column}), 0) + 1, false) FROM {name}"
        ).format(
            text=table.name, column_text=table.serial,
            column=Identifier(table.serial), name=Identifier(table.name),
        )  # fmt: skip
        connection.execute(statement)


def _copy(table: Table, direction: str) -> Composed:
    columns = SQL(", ").join(map(Identifier, table.columns))
    ways = {"TO STDOUT": SQL("TO STDOUT"), "FROM STDIN": SQL("FROM STDIN")}
    return SQL("COPY {} ({}) {} (FORMAT binary)").format(
        Identifier(table.name), columns, ways[direction]
    )
