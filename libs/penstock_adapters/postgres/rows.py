"""A partition's row: taking it over, leasing it, and reading it."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import tuple_row
from pydantic import TypeAdapter
from pydantic_core import to_json

from penstock_adapters.postgres.datastore import PgConnection
from penstock_adapters.postgres.statements import load_statements
from penstock_contracts.records import genesis_hash
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.ledger import PartitionRow, Witness
from penstock_runtime.ports.roster import Holding, Lease, Roster

_SQL = load_statements("partitions.sql")
_POSITIONS = TypeAdapter(dict[str, Witness])

Row = tuple[Any, ...]
"""A row as the driver gives it; the statement says what is in it."""


def fetch(connection: PgConnection, statement: bytes, params: Mapping[str, object]) -> list[Row]:
    """Run a statement, prepared and in binary form, and give its rows."""
    with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
        return cursor.execute(statement, params, prepare=True).fetchall()


def fetch_each(
    connection: PgConnection, statement: bytes, of_each: Sequence[Mapping[str, object]]
) -> list[list[Row]]:
    """Run a statement for each of these parameters, everything sent before anything is awaited."""
    with connection.pipeline():
        cursors = [
            connection.cursor(row_factory=tuple_row, binary=True).execute(
                statement, params, prepare=True
            )
            for params in of_each
        ]
        return [cursor.fetchall() for cursor in cursors]


def positions_text(positions: Mapping[str, Witness]) -> str:
    """Write positions as JSON."""
    return to_json(positions).decode()


def acquire(
    connection: PgConnection, partition: str, owner: str, lease_s: float
) -> PartitionRow | None:
    """Take the partition over with the next epoch, or give None while another's lease runs.

    A commit that holds the row is waited for; its owner lives, so that it is None then, too.
    """
    params = {
        "partition": partition,
        "owner": owner,
        "genesis": genesis_hash(partition),
        "lease_s": float(lease_s),
    }
    rows = fetch(connection, _SQL["acquire"], params)
    return to_partition_row(rows[0]) if rows else None


def renew(connection: PgConnection, partition: str, epoch: int, lease_s: float) -> bool:
    """Prolong the lease of `epoch`; False: it is another's.

    Nothing is waited for: a row that is held is left to the commit that holds it.
    """
    params = {"partition": partition, "epoch": epoch, "lease_s": float(lease_s)}
    return bool(fetch(connection, _SQL["renew"], params))


def release(connection: PgConnection, partition: str, epoch: int) -> None:
    """End the lease of `epoch`."""
    fetch(connection, _SQL["release"], {"partition": partition, "epoch": epoch})


def declare(connection: PgConnection, partitions: Sequence[str]) -> None:
    """Insert the rows that are absent, and forget instances that are long gone."""
    geneses = [genesis_hash(partition) for partition in partitions]
    params = {"partitions": list(partitions), "geneses": geneses}
    connection.execute(_SQL["declare"], params, binary=True)
    connection.execute(_SQL["forget_instances"])


def attend(connection: PgConnection, instance: str, lease_s: float) -> Roster:
    """Say that an instance lives, and look at everything."""
    params = {"name": instance, "lease_s": float(lease_s)}
    connection.execute(_SQL["attend"], params, prepare=True, binary=True)
    found = fetch(connection, _SQL["roster"], {})
    return Roster(
        living=[name for lives, name, *_ in found if lives],
        holdings=[
            Holding(name, owner, epoch, Lease(lease))
            for lives, name, owner, epoch, lease in found
            if not lives
        ],
    )


def settled_row(connection: PgConnection, partition: str) -> PartitionRow:
    """Give the row as it is once a commit that holds it has ended.

    Raises:
        Fenced: there is none.
    """
    rows = fetch(connection, _SQL["settled_row"], {"partition": partition})
    if not rows:
        raise Fenced(f"partition {partition} has no row")
    return to_partition_row(rows[0])


def all_rows(connection: PgConnection) -> Sequence[PartitionRow]:
    """Give every partition's row, by name."""
    return [to_partition_row(row) for row in fetch(connection, _SQL["all_rows"], {})]


def to_partition_row(row: Row) -> PartitionRow:
    """Make a partition's row of what the statements above select."""
    partition, owner, epoch, commit_number, n, chain_head, positions = row
    return PartitionRow(
        partition, owner, epoch, commit_number, n, chain_head, _POSITIONS.validate_json(positions)
    )
