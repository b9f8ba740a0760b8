"""The library's application recorder with partitions, and with a commit that is one attempt.

The stock `insert_events` tries again after an ambiguous failure and then takes its own write for
a conflict. This one tries once: whoever writes reads the partition's row to learn what happened.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, StoredEvent, Subscription
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.rows import tuple_row

from penstock_adapters.postgres.datastore import Datastore, PgConnection
from penstock_adapters.postgres.rows import positions_text
from penstock_adapters.postgres.statements import load_statements
from penstock_adapters.postgres.subscription import PromptSubscription
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.ledger import Commit

_SQL = load_statements("events.sql")
_TABLE_STATEMENTS = ("create_table", "create_notification_index", "create_partition_index")


class PenstockRecorder(PostgresApplicationRecorder):
    """Recorder of the table `stored_events`, with nullable `partition` and `n`.

    Without a commit it does what the library's recorder does. With `commit=` the events, the
    partition's row and the index of open aggregates are written by one statement, in the same
    method, under the same lock.

    Args:
        datastore: where its connections come from; aggregate ids are UUIDs.
    """

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore, events_table_name="stored_events")

    def create_table(self) -> None:
        """Create the table and its indexes where they are absent."""
        with self.datastore.get_connection() as connection, connection.transaction():
            for name in _TABLE_STATEMENTS:
                connection.execute(_SQL[name])

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ANN401 - the library's signature
    ) -> Sequence[int] | None:
        """Insert events, all or none, in one attempt and one round trip.

        Args:
            stored_events: what to insert.
            **kwargs: `commit`, a `Commit` whose events these are, and `lease_s`, for how long
                the partition's lease runs at least from then on; anything else is ignored.

        Returns:
            Their notification ids, in order; None for no events and no commit.

        Raises:
            Fenced: the partition's row is not as the commit expects it.
            IntegrityError: an originator has such a version already.
            OperationalError: it may or may not have landed.
        """
        commit: Commit | None = kwargs.get("commit")
        if commit is None and not stored_events:
            return None
        with self.datastore.get_connection() as connection:
            if commit is None:
                rows = _insert(connection, stored_events)
                return [row[0] for row in rows]
            lease_s = float(kwargs.get("lease_s", 0.0))
            ((stands, ids),) = _commit(connection, stored_events, commit, lease_s)
        if not stands:
            raise Fenced(f"partition {commit.partition} has another epoch or commit number")
        return ids

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow what is inserted without a commit, from after notification `gt` on."""
        return PromptSubscription(recorder=self, gt=gt, topics=topics)


def _insert(connection: PgConnection, events: Sequence[StoredEvent]) -> list[tuple[Any, ...]]:
    # Subscriptions of the library listen on this channel; commits are followed on EVENTS.
    return _in_transaction(connection, _SQL["insert"], _columns(events), _SQL["notify"])


def _commit(
    connection: PgConnection, events: Sequence[StoredEvent], commit: Commit, lease_s: float
) -> list[tuple[Any, ...]]:
    closed = set(commit.closed)
    opened = {a: due_us for a, due_us in commit.opened.items() if a not in closed}
    params = _columns(events) | {
        "partition": commit.partition,
        "epoch": commit.epoch,
        "commit_number": commit.commit_number,
        "n": commit.n,
        "before": commit.n - len(events),
        "chain_head": commit.chain_head,
        "positions": positions_text(commit.positions),
        "opened": [UUID(aggregate) for aggregate in opened],
        "due_us": list(opened.values()),
        "closed": [UUID(aggregate) for aggregate in closed],
        "lease_s": lease_s,
    }
    if events:
        return _in_transaction(connection, _SQL["commit"], params)
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(_SQL["commit"], params, prepare=True, binary=True).fetchall()


def _columns(events: Sequence[StoredEvent]) -> dict[str, object]:
    return {
        "ids": [event.originator_id for event in events],
        "versions": [event.originator_version for event in events],
        "topics": [event.topic for event in events],
        "states": [event.state for event in events],
    }


def _in_transaction(
    connection: PgConnection, statement: bytes, params: dict[str, object], *more: bytes
) -> list[tuple[Any, ...]]:
    """Run a statement under the table's lock, everything sent before anything is awaited.

    The lock makes ids ascend in the order of commits, so that no reader passes over an id that
    becomes visible later. A failed statement makes the server skip what follows, COMMIT too.
    """
    cursor = connection.cursor(row_factory=tuple_row)
    with connection.pipeline():
        for before in (b"BEGIN", _SQL["lock"], *more):
            connection.execute(before, prepare=True)
        cursor.execute(statement, params, prepare=True, binary=True)
        connection.execute(b"COMMIT", prepare=True)
    return cursor.fetchall()
