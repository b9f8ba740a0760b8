"""Bringing a database to the tables that this program needs; run by the owner role."""

from enum import StrEnum

import psycopg
from psycopg.sql import Identifier

from penstock_adapters.postgres.datastore import Datastore, PgConnection, StoreLimits
from penstock_adapters.postgres.faults import SchemaOutdated, as_faults
from penstock_adapters.postgres.recorder import PenstockRecorder
from penstock_adapters.postgres.rows import fetch
from penstock_adapters.postgres.statements import load_migrations, load_statements

_SQL = load_statements("migrate.sql")
_GRANTS = load_statements("grants.sql")
_LIMITS = StoreLimits(lock_s=60.0, statement_s=600.0, call_s=900.0)  # a table may be rewritten


class Schema(StrEnum):
    """What a database holds."""

    LEDGER = "ledger"  # events: scheduler, approval
    PROJECTION = "projection"  # a read model: gateway
    ARTIFACTS = "artifacts"  # durable artifacts, beside the scheduler's events


def migrate(
    owner_url: str, service_role: str, auditor_role: str, schema: Schema = Schema.LEDGER
) -> int:
    """Create or update tables, triggers and grants; blocking, idempotent, safe at the same time.

    Args:
        owner_url: connection URL of the role that owns the database's tables.
        service_role: may add events and keep its partitions' rows.
        auditor_role: may read.
        schema: which tables.

    Returns:
        The schema's version afterwards.

    Raises:
        UnsupportedServer: the server is older than PostgreSQL 17.
        SchemaOutdated: the tables are newer than this program.
        TransientFault: the server does not answer.
    """
    with (
        as_faults(),
        Datastore(owner_url, connections=2, limits=_LIMITS) as datastore,
        datastore.get_connection() as connection,
    ):
        connection.execute(_SQL["take_turn"])
        if schema is Schema.LEDGER:
            PenstockRecorder(datastore).create_table()
        connection.execute(_bookkeeping("create_bookkeeping", schema))
        _apply(connection, schema)
        _grant(connection, schema, service_role, auditor_role)
        connection.execute(_SQL["end_turn"])
        return _applied(connection, schema)


def require_schema(connection: PgConnection, schema: Schema) -> None:
    """Check that the database holds exactly the tables that this program needs.

    Raises:
        SchemaOutdated: it does not.
    """
    try:
        found = _applied(connection, schema)
    except psycopg.errors.UndefinedTable:
        raise SchemaOutdated("the database has no tables yet: migrate it first") from None
    needed = max(load_migrations(schema))
    if found != needed:
        raise SchemaOutdated(
            f"the database's tables are at version {found}, this program needs {needed}: "
            + ("migrate it first" if found < needed else "run a newer program")
        )


def _apply(connection: PgConnection, schema: Schema) -> None:
    applied = _applied(connection, schema)
    migrations = load_migrations(schema)
    if applied > max(migrations):
        raise SchemaOutdated(f"the database's tables are at version {applied}: run a newer program")
    for version, (name, script) in migrations.items():
        if version > applied:
            with connection.transaction():
                connection.execute(script)
                connection.execute(
                    _bookkeeping("record", schema), {"version": version, "name": name}
                )


def _grant(connection: PgConnection, schema: Schema, service: str, auditor: str) -> None:
    roles = {b"{service}": service, b"{auditor}": auditor}
    script = _GRANTS[schema]
    for place, role in roles.items():
        script = script.replace(place, Identifier(role).as_bytes(connection))
    connection.execute(script)


def _applied(connection: PgConnection, schema: Schema) -> int:
    ((version,),) = fetch(connection, _bookkeeping("applied", schema), {})
    return version


def _bookkeeping(statement: str, schema: Schema) -> bytes:
    """Give a statement about the versions of `schema`: two in one database count apart."""
    if schema is not Schema.ARTIFACTS:
        return _SQL[statement]
    return _SQL[statement].replace(b"schema_version", b"artifacts_schema_version")
