"""Leases in PostgreSQL while a commit holds the row of its partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from penstock_adapters.postgres.datastore import StoreLimits
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_testkit.conformance.ledger import LEASE_S, aggregate, commit_of, owned
from penstock_testkit.servers import DatabaseUrls

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

WITHIN_S = 120.0
POLL_S = 0.02
# Long enough for what must wait; what must not wait would wait for as long and then fail.
PATIENT = StoreLimits(lock_s=60.0, statement_s=60.0, call_s=WITHIN_S)

_COMMITTING = """\
UPDATE partitions SET commit_number = commit_number + 1, lease_ends = greatest(
    lease_ends, clock_timestamp() + make_interval(secs => %s)) WHERE partition = 'run-0'
"""
_ENDED = "UPDATE partitions SET lease_ends = now() - interval '1 s' WHERE partition = 'run-0'"
_WAITING = """\
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
_LEFT_S = """\
SELECT extract(epoch FROM lease_ends - clock_timestamp())::float8
FROM partitions WHERE partition = 'run-0'
"""


@pytest.fixture
async def ledger(urls: DatabaseUrls) -> AsyncIterator[PostgresLedger]:
    async with PostgresLedger(urls.service, limits=PATIENT) as opened:
        yield opened


@contextmanager
def slow_commit(urls: DatabaseUrls, *, lease_s: float) -> Iterator[None]:
    """What a commit does to its row, which it then holds until the end."""
    with psycopg.connect(urls.owner) as connection:
        connection.execute(_COMMITTING, [lease_s])
        yield


def ask(urls: DatabaseUrls, query: str) -> float:
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])


async def somebody_waits(urls: DatabaseUrls) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await asyncio.to_thread(ask, urls, _WAITING):
                return
            await asyncio.sleep(POLL_S)


async def test_leases_wait_for_no_commit(urls: DatabaseUrls, ledger: PostgresLedger) -> None:
    await ledger.declare(["run-0", "run-1"])
    row, other = await owned(ledger, "run-0"), await owned(ledger, "run-1")
    with slow_commit(urls, lease_s=LEASE_S):  # in here, what waits for the row is refused
        assert await ledger.renew("run-0", row.epoch, LEASE_S)
        assert not await ledger.renew("run-0", row.epoch + 1, LEASE_S)
        assert await ledger.renew("run-1", other.epoch, LEASE_S)
        assert (await ledger.attend("a", LEASE_S)).living == ["a"]
    await ledger.renew("run-0", row.epoch, 10 * LEASE_S)
    assert ask(urls, _LEFT_S) > LEASE_S


async def test_a_lease_waits_for_no_commit_that_waits_for_its_turn(
    urls: DatabaseUrls, ledger: PostgresLedger
) -> None:
    row = await owned(ledger, "run-0")
    with psycopg.connect(urls.owner) as other:
        other.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        commit = asyncio.create_task(ledger.commit(commit_of(row, (aggregate("x"), 1))))
        await somebody_waits(urls)
        assert await ledger.renew("run-0", row.epoch, 10 * LEASE_S)
    await commit
    assert ask(urls, _LEFT_S) > LEASE_S


@pytest.mark.parametrize("lease_s", [LEASE_S, -1.0])
async def test_nobody_takes_over_from_a_commit_under_way(
    urls: DatabaseUrls, ledger: PostgresLedger, lease_s: float
) -> None:
    """With the second one it lasts longer than the lease that it has prolonged."""
    row = await owned(ledger, "run-0", "a")
    with psycopg.connect(urls.owner) as connection:
        connection.execute(_ENDED)
    with slow_commit(urls, lease_s=lease_s):
        taking = asyncio.create_task(ledger.acquire("run-0", "b", LEASE_S))
        await somebody_waits(urls)
        assert not taking.done()
    assert await taking is None
    found = await ledger.row("run-0")
    assert (found.owner, found.epoch, found.commit_number) == ("a", row.epoch, 1)
    # One that commits no more, and whose lease has ended, is followed.
    taken = await ledger.acquire("run-0", "b", LEASE_S)
    assert (taken is None) == (lease_s > 0)


async def test_who_waited_for_a_row_gets_a_whole_lease(
    urls: DatabaseUrls, ledger: PostgresLedger
) -> None:
    """Its earlier life's commit is still under way."""
    await owned(ledger, "run-0", "a")
    with slow_commit(urls, lease_s=LEASE_S):
        taking = asyncio.create_task(ledger.acquire("run-0", "a", LEASE_S))
        await somebody_waits(urls)
        began = ask(urls, "SELECT extract(epoch FROM clock_timestamp())::float8")
    assert await taking is not None
    ends = ask(urls, "SELECT extract(epoch FROM lease_ends)::float8 FROM partitions")
    assert ends >= began + LEASE_S
