"""The ledger while its server stops, dies, blocks or is told too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_adapters.postgres.datastore import StoreLimits
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_adapters.postgres.threads import CALLS_WAITING_MAX
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.projection import ProjectionCommit, ViewRow
from penstock_testkit.conformance.ledger import aggregate, commit_of, extended, owned
from penstock_testkit.servers import DatabaseUrls, RealPostgres

pytestmark = pytest.mark.real

IMPATIENT = StoreLimits(lock_s=0.2)
HASTY = StoreLimits(call_s=0.3)
WITHIN_S = 20.0

# The server lives as long as the thread that starts it: it is started from the test's own.


@pytest.fixture
async def ledger(urls: DatabaseUrls) -> AsyncIterator[PostgresLedger]:
    async with PostgresLedger(urls.service) as opened:
        yield opened


async def test_goes_on_after_a_restart_of_the_server(
    postgres: RealPostgres, ledger: PostgresLedger
) -> None:
    row = await extended(ledger, await owned(ledger, "run-0"), (aggregate("x"), 1))
    postgres.restart()
    # Reads are repeated on a new connection; a write is not, as it may have landed.
    assert len(await ledger.after("run-0", 0, 10)) == 1
    with pytest.raises(TransientFault):
        await ledger.commit(commit_of(row, (aggregate("x"), 2)))
    assert await ledger.row("run-0") == row
    row = await extended(ledger, row, (aggregate("x"), 2))
    assert row.n == 2


async def test_server_away_is_a_transient_fault(
    postgres: RealPostgres, ledger: PostgresLedger
) -> None:
    row = await owned(ledger, "run-0")
    postgres.stop()
    try:
        for call in (
            lambda: ledger.commit(commit_of(row)),
            lambda: ledger.row("run-0"),
            lambda: ledger.next_due("run-0"),
            lambda: ledger.renew("run-0", row.epoch, 1.0),
        ):
            with pytest.raises(TransientFault):
                await call()
    finally:
        postgres.start()
    assert await ledger.row("run-0") == row


async def test_crash_between_commits_leaves_whole_commits(
    postgres: RealPostgres, urls: DatabaseUrls, ledger: PostgresLedger
) -> None:
    row = await owned(ledger, "run-0")

    async def write_until_it_fails() -> None:
        current, number = row, 0
        while True:
            number += 1
            ids = [aggregate(f"{number}.{i}") for i in range(20)]
            commit = commit_of(
                current, *((id_, 1) for id_ in ids), opened=dict.fromkeys(ids, number)
            )
            await ledger.commit(commit)
            current = replace(
                current, commit_number=number, n=commit.n, chain_head=commit.chain_head
            )
            if number == 5:
                crash.set()

    crash = asyncio.Event()
    writing = asyncio.create_task(write_until_it_fails())
    await asyncio.wait_for(crash.wait(), WITHIN_S)
    postgres.kill()
    with pytest.raises(TransientFault):
        await asyncio.wait_for(writing, WITHIN_S)
    postgres.start()
    found = await ledger.row("run-0")
    assert found.n == found.commit_number * 20 >= 100
    assert len(await ledger.open_after("run-0", "", found.n + 1)) == found.n
    with PostgresAuditor(urls.auditor) as auditor:
        report = auditor.verify("run-0")
    assert (report.fault, report.events) == (None, found.n)


async def test_lock_held_elsewhere_ends_the_commit_in_time(urls: DatabaseUrls) -> None:
    async with PostgresLedger(urls.service, limits=IMPATIENT) as ledger:
        row = await owned(ledger, "run-0")
        with psycopg.connect(urls.owner) as other:
            other.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
            with pytest.raises(TransientFault, match="lock timeout"):
                await ledger.commit(commit_of(row, (aggregate("x"), 1)))
            # Reading needs no lock.
            assert list(await ledger.after("run-0", 0, 10)) == []
        assert await ledger.row("run-0") == row
        assert (await extended(ledger, row, (aggregate("x"), 1))).n == 1


async def test_silent_server_does_not_hold_the_caller(urls: DatabaseUrls) -> None:
    async with PostgresLedger(urls.service, limits=HASTY) as ledger:
        row = await owned(ledger, "run-0")
        with psycopg.connect(urls.owner) as other:
            other.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
            with pytest.raises(TransientFault, match="does not answer"):
                await ledger.commit(commit_of(row, (aggregate("x"), 1)))
            # The connection was cut, so the writer is free again at once.
            assert await ledger.renew("run-0", row.epoch, 60.0)
        # The commit that nobody waits for may still land; whoever takes over finds out.
        taken = await owned(ledger, "run-0")
        assert (taken.n, taken.commit_number) in {(0, 0), (1, 1)}


async def test_cancelled_commit_is_decided_by_the_row(ledger: PostgresLedger) -> None:
    row = await owned(ledger, "run-0")
    writing = asyncio.create_task(ledger.commit(commit_of(row, (aggregate("x"), 1))))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    now = await ledger.row("run-0")  # the one writer thread has finished the commit before
    assert now.commit_number == now.n == len(await ledger.after("run-0", 0, 10))


async def test_calls_that_wait_are_bounded(ledger: PostgresLedger) -> None:
    calls = (ledger.renew("run-0", 1, 1.0) for _ in range(CALLS_WAITING_MAX + 20))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TransientFault)]
    assert len(refused) == 20
    assert outcomes.count(False) == CALLS_WAITING_MAX


async def test_closed_ledger_answers_no_more(urls: DatabaseUrls) -> None:
    async with PostgresLedger(urls.service) as ledger:
        await owned(ledger, "run-0")
    with pytest.raises((TransientFault, RuntimeError)):
        await ledger.row("run-0")


async def test_wrong_password_is_not_shown(urls: DatabaseUrls) -> None:
    secret = urls.service.split(":")[2].split("@")[0]
    url = urls.service.replace(secret, "wrong-" + secret)
    with pytest.raises(TransientFault) as caught:
        await PostgresLedger(url).__aenter__()
    assert secret not in str(caught.value)


async def test_projection_goes_on_after_a_restart(postgres: RealPostgres) -> None:
    found = postgres.fresh_database("penstock_gateway")
    migrate(found.owner, "penstock_gateway_service", "auditor", Schema.PROJECTION)
    async with PostgresProjection(found.service) as store:
        row = await store.acquire("projection-gateway", "a", 60.0)
        assert row is not None
        commit = ProjectionCommit(row.partition, row.epoch, row.commit_number, seen={"run-0": 1})
        await store.commit(replace(commit, upserts=[ViewRow("run", "default", "r1")]))
        postgres.restart()
        assert await store.get("run", "default", "r1") is not None
        with pytest.raises(TransientFault):
            await store.commit(replace(commit, commit_number=1, seen={"run-0": 2}))
        again = await store.acquire("projection-gateway", "a", 60.0)
        assert again is not None
        assert (again.epoch, again.commit_number) == (2, 1)
        assert await store.seen() == {"run-0": 1}
