"""The auditor reads any stretch of a store and finds what was tampered with."""

from __future__ import annotations

import psycopg
import pytest

from penstock_adapters.postgres.auditor import PAGE, PostgresAuditor
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import migrate
from penstock_testkit.conformance.ledger import aggregate, extended, owned
from penstock_testkit.servers import DatabaseUrls, RealPostgres

pytestmark = pytest.mark.real


@pytest.fixture
async def urls(postgres: RealPostgres) -> DatabaseUrls:
    """A database with two partitions: `run-0` of more than two pages, `run-1` of five events."""
    found = postgres.fresh_database()
    migrate(found.owner, "penstock_scheduler_service", "auditor")
    async with PostgresLedger(found.service) as ledger:
        small = await owned(ledger, "run-1")
        large = await owned(ledger, "run-0")
        for i in range(5):
            small = await extended(ledger, small, (aggregate("small"), i + 1))
            wide = [(aggregate(f"{i}.{k}"), 1) for k in range(PAGE // 2)]
            large = await extended(ledger, large, *wide)
    return found


def tamper(urls: DatabaseUrls, statement: str) -> None:
    """Do what only somebody with the server itself in hand can do."""
    with psycopg.connect(urls.admin) as connection:
        connection.execute("ALTER TABLE stored_events DISABLE TRIGGER append_only")
        connection.execute(statement.encode())
        connection.execute("ALTER TABLE stored_events ENABLE ALWAYS TRIGGER append_only")


def test_untouched_chains_are_in_order(urls: DatabaseUrls) -> None:
    with PostgresAuditor(urls.auditor) as auditor:
        rows = {row.partition: row for row in auditor.partitions()}
        assert list(rows) == ["run-0", "run-1"]
        for name, row in rows.items():
            report = auditor.verify(name)
            assert (report.fault, report.events, report.head) == (None, row.n, row.chain_head)
        assert rows["run-0"].n == 5 * (PAGE // 2)


def test_any_stretch_can_be_read(urls: DatabaseUrls) -> None:
    with PostgresAuditor(urls.auditor) as auditor:
        every = list(auditor.of_partition("run-0"))
        assert [record.n for record in every] == list(range(1, 5 * (PAGE // 2) + 1))
        some = list(auditor.of_partition("run-0", after_n=700, up_to_n=1900))
        assert some == every[700:1900]
        assert list(auditor.of_partition("unknown")) == []
        records = auditor.of_aggregate(aggregate("small"))
        assert [record.version for record in records] == [1, 2, 3, 4, 5]
        assert auditor.of_aggregate(aggregate("absent")) == []


@pytest.mark.parametrize(
    ("statement", "events", "fault"),
    [
        (
            "UPDATE stored_events SET state = replace(convert_from(state, 'UTF8'),"
            " '\"version\":3', '\"version\":7')::bytea WHERE partition = 'run-1' AND n = 3",
            3,
            "event 4 does not name the hash",
        ),
        (
            "UPDATE stored_events SET topic = 'forged' WHERE partition = 'run-1' AND n = 5",
            5,
            "chain head is not the hash",
        ),
        ("DELETE FROM stored_events WHERE partition = 'run-1' AND n = 2", 1, "event 2 is missing"),
        ("DELETE FROM stored_events WHERE partition = 'run-1' AND n = 5", 4, "the row says 5"),
        (
            "UPDATE stored_events SET state = 'x' WHERE partition = 'run-1' AND n = 1",
            0,
            "event 1 cannot be read",
        ),
        ("DELETE FROM partitions WHERE partition = 'run-1'", 5, "has no row"),
        (
            "UPDATE partitions SET chain_head = '' WHERE partition = 'run-1'",
            5,
            "chain head is not the hash",
        ),
    ],
    ids=["changed", "last one changed", "cut out", "cut off", "garbled", "no row", "head"],
)
def test_tampering_is_found(urls: DatabaseUrls, statement: str, events: int, fault: str) -> None:
    tamper(urls, statement)
    with PostgresAuditor(urls.auditor) as auditor:
        report = auditor.verify("run-1")
        assert report.events == events
        assert report.fault is not None
        assert fault in report.fault
        assert auditor.verify("run-0").fault is None
