"""What each role may do to the tables, and what nobody may."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.sql import SQL, Identifier

from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_adapters.postgres.faults import StoreRefused
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_testkit.conformance.ledger import aggregate, commit_of, owned
from penstock_testkit.servers import DatabaseUrls, RealPostgres

pytestmark = pytest.mark.real

CHANGES = {
    "update": "UPDATE stored_events SET topic = 'forged'",
    "update nothing": "UPDATE stored_events SET topic = 'forged' WHERE false",
    "delete": "DELETE FROM stored_events",
    "truncate": "TRUNCATE stored_events",
}
ROLES = ("owner", "service", "auditor", "admin")


@pytest.fixture(scope="module")
def urls(postgres: RealPostgres) -> DatabaseUrls:
    found = postgres.fresh_database()
    migrate(found.owner, "penstock_scheduler_service", "auditor")
    with psycopg.connect(found.owner) as connection:
        connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'true', 'bytes')"
        )
    return found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", ROLES)
def test_nobody_changes_a_stored_event(urls: DatabaseUrls, role: str, change: str) -> None:
    with psycopg.connect(getattr(urls, role)) as connection:
        with pytest.raises(InsufficientPrivilege):
            connection.execute(CHANGES[change].encode())
        connection.rollback()
        found = connection.execute("SELECT topic FROM stored_events").fetchall()
    assert found == [("true",)]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", ["owner", "admin"])
def test_trigger_says_why(urls: DatabaseUrls, role: str, change: str) -> None:
    with (
        psycopg.connect(getattr(urls, role)) as connection,
        pytest.raises(InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(CHANGES[change].encode())


def test_trigger_stands_where_others_are_switched_off(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        with pytest.raises(InsufficientPrivilege, match="append-only"):
            connection.execute(CHANGES["delete"].encode())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stored_events (originator_id, originator_version)"
        " VALUES (gen_random_uuid(), 1)",
        "INSERT INTO open_aggregates VALUES ('run-0', gen_random_uuid(), 1)",
        "UPDATE partitions SET epoch = 9",
        "DELETE FROM partitions",
        "LOCK TABLE stored_events IN EXCLUSIVE MODE",
        "SELECT nextval('stored_events_notification_id_seq')",
        "CREATE TABLE mine (x int)",
    ],
)
def test_auditor_only_reads(urls: DatabaseUrls, statement: str) -> None:
    with (
        psycopg.connect(urls.auditor) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_auditor_reads_every_table(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.auditor) as connection:
        for table in ("stored_events", "partitions", "open_aggregates", "schema_version"):
            connection.execute(SQL("SELECT * FROM {}").format(Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM partitions",
        "ALTER TABLE stored_events DISABLE TRIGGER append_only",
        "DROP TABLE stored_events",
        "CREATE TABLE mine (x int)",
        "INSERT INTO schema_version VALUES (9, 'x')",
    ],
)
def test_service_role_does_not_administer(urls: DatabaseUrls, statement: str) -> None:
    with (
        psycopg.connect(urls.service) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


async def test_ledger_over_the_auditor_role_is_refused(urls: DatabaseUrls) -> None:
    async with PostgresLedger(urls.service) as ledger:
        row = await owned(ledger, "run-0")
    async with PostgresLedger(urls.auditor) as ledger:
        with pytest.raises(StoreRefused, match="permission denied"):
            await ledger.commit(commit_of(row, (aggregate("x"), 1)))


def test_auditor_session_is_read_only_whatever_the_role(urls: DatabaseUrls) -> None:
    auditor = PostgresAuditor(urls.owner)
    with (
        auditor,
        auditor._datastore.get_connection() as connection,
        pytest.raises(ReadOnlySqlTransaction),
    ):
        connection.execute("UPDATE partitions SET epoch = 9")


def test_gateway_roles(postgres: RealPostgres) -> None:
    found = postgres.fresh_database("penstock_gateway")
    migrate(found.owner, "penstock_gateway_service", "auditor", Schema.PROJECTION)
    with (
        psycopg.connect(found.service) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM partitions")
    with (
        psycopg.connect(found.auditor) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM views")
