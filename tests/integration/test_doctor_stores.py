"""Faults of databases, of what their partitions hold, and of a standby: seeded and explained."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.embedded.faults import StartFailedError
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema
from penstock_cli.doctor.codes import Code
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import genesis_hash
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.ledger import PartitionRow
from penstock_testkit.conformance.ledger import aggregate, commit_of
from penstock_testkit.standby import RealPair
from tests.integration.doctor_scene import commands, statements
from tests.integration.doctor_servers import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

LONG_S = 3600.0
SCHEDULER = "penstock_scheduler"
APPROVAL = "penstock_approval"
GATEWAY = "penstock_gateway"
SERVICE = "penstock_scheduler_service"


# --- databases ----------------------------------------------------------------------------------

MENDED_BY_SQL: list[tuple[Code, tuple[str, ...], str, str]] = [
    (
        Code.STORE_CONNECTIONS_USED_UP, ("ALTER ROLE auditor CONNECTION LIMIT 0",),
        "postgres", "role auditor",
    ),
    (
        Code.STORE_FSYNC_OFF, ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"),
        "postgres", "",
    ),
    (
        Code.STORE_COMMIT_NOT_DURABLE, (f"ALTER ROLE {SERVICE} SET synchronous_commit = off",),
        "postgres", SERVICE,
    ),
    (Code.EVENTS_CHANGEABLE, (f"GRANT UPDATE, DELETE ON stored_events TO {SERVICE}",),
     SCHEDULER, SERVICE),
    (Code.STORE_RIGHTS_MISSING, (f"REVOKE INSERT ON stored_events FROM {SERVICE}",),
     SCHEDULER, SERVICE),
    (Code.EVENTS_UNGUARDED, ("ALTER TABLE stored_events DISABLE TRIGGER append_only",),
     APPROVAL, "table stored_events"),
    (Code.EVENTS_UNGUARDED, ("DROP TRIGGER append_only ON stored_events",),
     APPROVAL, "table stored_events"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "seeds", "database", "place"), MENDED_BY_SQL)
async def test_what_one_statement_broke_another_one_mends(
    bench: Bench, code: Code, seeds: tuple[str, ...], database: str, place: str
):
    for seed in seeds:
        bench.sql(seed, database)
    try:
        finding = (await bench.shows({code})).one(code, place)
        assert statements(finding.mend)
        for command in commands(finding.mend):
            if "psql" in command:
                bench.psql(command)
        await bench.shows(set())
    finally:
        bench.restore()


async def test_a_database_that_is_gone_is_made_by_the_script(bench: Bench):
    bench.sql(f"ALTER DATABASE {APPROVAL} RENAME TO kept")
    try:
        found = await bench.shows({Code.STORE_DATABASE_MISSING})
        finding = found.one(Code.STORE_DATABASE_MISSING, APPROVAL)
        (command,) = [one for one in commands(finding.mend) if "-f " in one]
        bench.psql(command)
        await bench.shows({Code.SCHEMA_MISSING})
    finally:
        bench.sql(f"DROP DATABASE IF EXISTS {APPROVAL}")
        bench.sql(f"ALTER DATABASE kept RENAME TO {APPROVAL}")
    await bench.shows(set())


VERSIONS: list[tuple[Code, str, str, str]] = [
    (Code.SCHEMA_NEWER, "INSERT INTO schema_version VALUES (99, 'newer')",
     "DELETE FROM schema_version WHERE version = 99", "--version"),
    (Code.SCHEMA_OLD, "UPDATE schema_version SET version = -version",
     "UPDATE schema_version SET version = -version", "penstock up"),
    (Code.SCHEMA_MISSING, "ALTER TABLE schema_version RENAME TO kept",
     "ALTER TABLE kept RENAME TO schema_version", "penstock up"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "seed", "back", "mend"), VERSIONS)
async def test_tables_of_another_release_are_named(
    bench: Bench, code: Code, seed: str, back: str, mend: str
):
    bench.sql(seed, GATEWAY)
    try:
        found = await bench.shows({code})
        assert mend in found.one(code, f"database {GATEWAY}").mend
    finally:
        bench.sql(back, GATEWAY)
    await bench.shows(set())


async def test_tables_that_are_missing_are_migrated(bench: Bench):
    bench.sql("DROP TABLE views, seen, partitions, schema_version", GATEWAY)
    found = await bench.finds(Code.SCHEMA_MISSING)
    assert found.one(Code.SCHEMA_MISSING, f"database {GATEWAY}").mend
    bench.migrate(GATEWAY, Schema.PROJECTION)  # as the gateway does when it starts
    await bench.shows(set())


# --- partitions ---------------------------------------------------------------------------------


@asynccontextmanager
async def owned(
    bench: Bench, partition: str
) -> AsyncGenerator[tuple[PostgresLedger, PartitionRow]]:
    """A partition that somebody owns; afterwards there is nothing of it."""
    url = bench.servers.postgres.urls(SCHEDULER).service
    async with PostgresLedger(url) as ledger:
        row = await ledger.acquire(partition, "test", LONG_S)
        assert row is not None
        try:
            yield ledger, row
        finally:
            bench.sql(
                "ALTER TABLE stored_events DISABLE TRIGGER append_only;"
                "DELETE FROM stored_events; DELETE FROM partitions;"
                "ALTER TABLE stored_events ENABLE ALWAYS TRIGGER append_only",
                SCHEDULER,
            )
            async with bench.bus() as bus:
                await JetStreamApi(bus).call(f"STREAM.PURGE.{Stream.EVENTS}")


async def put_marker(bench: Bench, partition: str, last: int, head: bytes) -> None:
    """Say on EVENTS that events up to `last` were relayed."""

    def marker(sequence: int) -> Marker:
        return Marker(
            partition=partition, epoch=1, first=last + 1, last=last, chain_head=head.hex(),
            last_event_sequence=sequence, previous_marker_sequence=0,
        )  # fmt: skip

    async with bench.bus() as bus:
        await NatsRelayLog(bus).publish_unit(partition, (), marker, 0)


async def test_a_partition_that_nobody_owns_is_named(bench: Bench):
    async with owned(bench, "run-7") as (ledger, _):
        bench.sql("UPDATE partitions SET lease_ends = now() - interval '1 minute'", SCHEDULER)
        found = await bench.shows({Code.PARTITION_UNOWNED})
        finding = found.one(Code.PARTITION_UNOWNED, "partition run-7")
        assert "scheduler" in finding.mend
        assert await ledger.acquire("run-7", "another", LONG_S)  # as a scheduler that starts
        await bench.shows(set())


async def test_a_store_that_was_rolled_back_is_critical(bench: Bench):
    async with owned(bench, "run-7"):
        await put_marker(bench, "run-7", 5, genesis_hash("run-7"))
        found = await bench.shows({Code.STORE_ROLLED_BACK})
        finding = found.one(Code.STORE_ROLLED_BACK, "partition run-7")
        assert "CRITICAL: EVENTS holds event 5, and the store ends at 0" in finding.detail
        assert "penstock recover" in finding.mend


async def test_a_store_with_another_history_is_critical(bench: Bench):
    async with owned(bench, "run-7"):
        await put_marker(bench, "run-7", 0, genesis_hash("run-8"))
        found = await bench.finds(Code.STORE_ROLLED_BACK)
        finding = found.one(Code.STORE_ROLLED_BACK, "partition run-7")
        assert "event 0 in EVENTS is not the store's" in finding.detail


async def test_events_that_are_not_published_or_not_shown_are_named(bench: Bench):
    async with owned(bench, "run-7") as (ledger, row):
        await put_marker(bench, "run-7", 0, row.chain_head)
        await ledger.commit(commit_of(row, (aggregate("a"), 1), (aggregate("a"), 2)))
        found = await bench.shows({Code.RELAY_BEHIND, Code.READ_MODEL_BEHIND})
        relay = found.one(Code.RELAY_BEHIND, "partition run-7")
        assert "2 events" in relay.detail
        assert "relay has to wait" in relay.mend
        shown = found.one(Code.READ_MODEL_BEHIND, "partition run-7")
        assert "gateway" in shown.mend


# --- a standby ----------------------------------------------------------------------------------


@pytest.mark.long
async def test_a_standby_that_commits_do_not_wait_for_is_named(bench: Bench, tmp_path: Path):
    with RealPair.started(tmp_path / "pair", bench.secrets, synchronous=False) as pair:
        first, second = (f"postgresql://{one.place}" for one in (pair.first, pair.second))
        found = await bench.examined(PENSTOCK_POSTGRES_URL=first)
        finding = found.one(Code.STANDBY_NOT_SYNCHRONOUS, pair.first.place)
        change = "ALTER SYSTEM SET synchronous_standby_names = '<application_name>'"
        assert change in statements(finding.mend)
        with pytest.raises(StartFailedError, match="synchronous_standby_names"):
            pair.first.database.run(f"{change};\n")  # as it stands there it changes nothing
        pair.first.wait_for_standby(synchronous=True)
        found = await bench.examined(PENSTOCK_POSTGRES_URL=first)
        assert Code.STANDBY_NOT_SYNCHRONOUS not in found.codes
        found = await bench.examined(PENSTOCK_POSTGRES_URL=second)
        assert "pg_promote" in found.one(Code.STORE_IS_STANDBY, pair.second.place).mend
        found = await bench.examined(PENSTOCK_POSTGRES_URL=pair.url)
        assert not found.codes & {Code.STORE_IS_STANDBY, Code.STORE_URL_INVALID}
