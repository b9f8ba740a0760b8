"""The event store's suite, over memory and over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_testkit.conformance.ledger import LEASE_S, LedgerStore, LedgerSuite, RunOut
from penstock_testkit.servers import DatabaseUrls


class StillClock:
    def __init__(self) -> None:
        self._now_us = 1_700_000_000_000_000

    def now_us(self) -> int:
        return self._now_us

    def advance(self, seconds: float) -> None:
        self._now_us += int(seconds * 1_000_000)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits {seconds} s")


class TestMemoryLedger(LedgerSuite):
    @pytest.fixture
    def clock(self) -> StillClock:
        return StillClock()

    @pytest.fixture
    def store(self, clock: StillClock) -> LedgerStore:
        return MemoryLedger(clock)

    @pytest.fixture
    def run_out(self, clock: StillClock) -> RunOut:
        async def run_out(partition: str) -> None:
            del partition  # time passes for all of them
            clock.advance(2 * LEASE_S)

        return run_out


@pytest.mark.real
class TestPostgresLedger(LedgerSuite):
    @pytest.fixture
    async def store(self, urls: DatabaseUrls) -> AsyncIterator[LedgerStore]:
        async with PostgresLedger(urls.service) as ledger:
            yield ledger

    @pytest.fixture
    def run_out(self, urls: DatabaseUrls) -> RunOut:
        async def run_out(partition: str) -> None:
            with psycopg.connect(urls.owner) as connection:
                connection.execute(
                    "UPDATE partitions SET lease_ends = now() - interval '1 second' "
                    "WHERE partition = %s",
                    [partition],
                )

        return run_out
