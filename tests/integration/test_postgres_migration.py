"""Migrations: again, at once, from an empty database, and from the wrong side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from penstock_adapters.postgres.datastore import refuse_old_server
from penstock_adapters.postgres.faults import SchemaOutdated, StoreRefused, UnsupportedServer
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_adapters.postgres.statements import load_migrations
from penstock_testkit.conformance.ledger import aggregate, extended, owned
from penstock_testkit.servers import DatabaseUrls, RealPostgres

pytestmark = pytest.mark.real

SERVICE = "penstock_scheduler_service"
AUDITOR = "auditor"
VERSIONS = {Schema.ARTIFACTS: b"artifacts_schema_version"}  # beside the ledger's own


@pytest.fixture
def urls(postgres: RealPostgres) -> DatabaseUrls:
    return postgres.fresh_database()


@pytest.mark.parametrize("schema", Schema)
def test_migration_files_are_numbered_without_gap(schema: Schema) -> None:
    assert list(load_migrations(schema)) == list(range(1, len(load_migrations(schema)) + 1))


async def test_migrating_again_changes_nothing(urls: DatabaseUrls) -> None:
    version = migrate(urls.owner, SERVICE, AUDITOR)
    async with PostgresLedger(urls.service) as ledger:
        row = await extended(ledger, await owned(ledger, "run-0"), (aggregate("x"), 1))
    assert migrate(urls.owner, SERVICE, AUDITOR) == version
    async with PostgresLedger(urls.service) as ledger:
        assert await ledger.row("run-0") == row
        assert len(await ledger.after("run-0", 0, 10)) == 1


@pytest.mark.parametrize("schema", Schema)
def test_many_migrate_at_once(urls: DatabaseUrls, schema: Schema) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(migrate, urls.owner, SERVICE, AUDITOR, schema) for _ in range(4)]
    numbers = list(load_migrations(schema))
    assert {call.result() for call in calls} == {numbers[-1]}
    with psycopg.connect(urls.auditor) as connection:
        table = VERSIONS.get(schema, b"schema_version")
        query = b"SELECT version FROM " + table + b" ORDER BY version"
        applied = connection.execute(query).fetchall()
    assert applied == [(number,) for number in numbers]


async def test_database_without_tables_is_named(urls: DatabaseUrls) -> None:
    with pytest.raises(SchemaOutdated, match="migrate it first"):
        await PostgresLedger(urls.service).__aenter__()
    with pytest.raises(SchemaOutdated, match="migrate it first"):
        await PostgresProjection(urls.service).__aenter__()


async def test_tables_newer_than_the_program_are_refused(urls: DatabaseUrls) -> None:
    migrate(urls.owner, SERVICE, AUDITOR)
    with psycopg.connect(urls.owner) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'of the future')")
    with pytest.raises(SchemaOutdated, match="newer program"):
        await PostgresLedger(urls.service).__aenter__()
    with pytest.raises(SchemaOutdated, match="newer program"):
        migrate(urls.owner, SERVICE, AUDITOR)


def test_role_names_are_quoted(urls: DatabaseUrls) -> None:
    with pytest.raises(StoreRefused, match='role "x; DROP TABLE partitions" does not exist'):
        migrate(urls.owner, "x; DROP TABLE partitions", AUDITOR)


def test_old_servers_are_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedServer, match=r"PostgreSQL 17 .* this server is 16:"):
        refuse_old_server(160_010)
    refuse_old_server(170_000)


def test_artifacts_lie_beside_the_events_and_count_their_versions_apart(
    urls: DatabaseUrls,
) -> None:
    for _ in range(2):
        for schema in (Schema.LEDGER, Schema.ARTIFACTS):
            files = load_migrations(schema)
            assert migrate(urls.owner, SERVICE, AUDITOR, schema) == max(files)
