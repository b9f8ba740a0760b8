"""Reading a store as the auditor does: SELECT only, one snapshot, blocking."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from psycopg import IsolationLevel

from penstock_adapters.postgres import rows
from penstock_adapters.postgres.datastore import Datastore, PgConnection, StoreLimits
from penstock_adapters.postgres.faults import as_faults
from penstock_adapters.postgres.rows import fetch
from penstock_adapters.postgres.statements import load_statements
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord, chain_hash, decode_state, genesis_hash
from penstock_runtime.ports.ledger import PartitionRow

PAGE = 1_000  # events read at a time
_LIMITS = StoreLimits(statement_s=60.0)
_SQL = load_statements("events.sql")


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What checking a partition's chain found.

    Attributes:
        events: how many were checked before the end or the first fault.
        head: the hash after the last of them.
        fault: what is wrong, in a sentence; None: nothing is.
    """

    partition: str
    events: int
    head: bytes
    fault: str | None = None


class PostgresAuditor:
    """Reads of an event store by the auditor role; for one thread.

    Args:
        url: connection URL of a role that may read.
        limits: bounds of its waits.
    """

    def __init__(self, url: str, *, limits: StoreLimits | None = None) -> None:
        self._datastore = Datastore(
            url, limits=limits or _LIMITS, read_only=True, label="penstock-audit"
        )

    def close(self) -> None:
        """Close the connection."""
        self._datastore.close()

    def __enter__(self) -> Self:
        """Give itself; the connection is made when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def partitions(self) -> Sequence[PartitionRow]:
        """Give every partition's row, by name.

        Raises:
            TransientFault: the server does not answer.
        """
        with as_faults(), self._datastore.get_connection() as connection:
            return rows.all_rows(connection)

    def of_aggregate(self, aggregate_id: str) -> Sequence[StoredRecord]:
        """Give all events of an aggregate in version order; none for an unknown one.

        Raises:
            TransientFault: the server does not answer.
        """
        with as_faults(), self._datastore.get_connection() as connection:
            found = fetch(connection, _SQL["load"], {"ids": [UUID(aggregate_id)]})
        return [StoredRecord(*row) for row in found]

    def of_partition(
        self, partition: str, after_n: int = 0, up_to_n: int | None = None
    ) -> Iterator[StoredRecord]:
        """Give the partition's events after_n+1 .. up_to_n in order, read page by page.

        Raises:
            TransientFault: the server does not answer.
        """
        n = after_n
        while True:
            with as_faults(), self._datastore.get_connection() as connection:
                params = {"partition": partition, "n": n, "limit": PAGE}
                page = [StoredRecord(*row) for row in fetch(connection, _SQL["after"], params)]
            for record in page:
                if up_to_n is not None and record.n > up_to_n:
                    return
                yield record
            if len(page) < PAGE:
                return
            n = page[-1].n

    def verify(self, partition: str) -> ChainReport:
        """Compute the partition's chain anew and compare it with what is stored.

        Each event must have the next n and name the hash before it; the partition's row must
        have the last n and the hash after it. Events committed meanwhile are not looked at.

        Raises:
            TransientFault: the server does not answer.
        """
        with as_faults(), self._snapshot() as connection:
            row = next((r for r in rows.all_rows(connection) if r.partition == partition), None)
            report = follow_chain(partition, every_event(connection, partition))
        if report.fault is not None:
            return report
        if row is None:
            return _faulty(report, "the partition has no row")
        if row.n != report.events:
            return _faulty(report, f"the row says {row.n} events, there are {report.events}")
        if row.chain_head != report.head:
            return _faulty(report, "the row's chain head is not the hash after the last event")
        return report

    @contextmanager
    def _snapshot(self) -> Generator[PgConnection]:
        with self._datastore.get_connection() as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            try:
                with connection.transaction():
                    yield connection
            finally:
                connection.isolation_level = None


def every_event(connection: PgConnection, partition: str) -> Iterator[StoredRecord]:
    """Give a partition's events from end to end, read page by page."""
    position = 0
    while True:
        params = {"partition": partition, "position": position, "limit": PAGE}
        page = [StoredRecord(*row) for row in fetch(connection, _SQL["behind_position"], params)]
        yield from page
        if len(page) < PAGE:
            return
        position = page[-1].position


def follow_chain(partition: str, events: Iterator[StoredRecord]) -> ChainReport:
    """Compute a partition's chain anew, to its end or to the first fault."""
    head, count = genesis_hash(partition), 0
    for event in events:
        fault = _fault_of(event, count + 1, head)
        if fault is not None:
            return ChainReport(partition, count, head, fault)
        head = chain_hash(head, event.aggregate_id, event.version, event.topic, event.state)
        count += 1
    return ChainReport(partition, count, head)


def _fault_of(event: StoredRecord, expected_n: int, head: bytes) -> str | None:
    if event.n != expected_n:
        return f"event {expected_n} is missing: {event.n} stands in its place"
    try:
        _, prev_hash, _ = decode_state(event.state)
    except MalformedMessage:
        return f"event {event.n} cannot be read"
    if prev_hash != head.hex():
        return f"event {event.n} does not name the hash of what stands before it"
    return None


def _faulty(report: ChainReport, fault: str) -> ChainReport:
    return ChainReport(report.partition, report.events, report.head, fault)
