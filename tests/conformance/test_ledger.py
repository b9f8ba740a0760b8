"""The event store's suite, over memory and over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import migrate
from penstock_testkit.conformance.ledger import LedgerStore, LedgerSuite
from penstock_testkit.servers import RealPostgres, RealServers


class StillClock:
    def now_us(self) -> int:
        return 1_700_000_000_000_000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits {seconds} s")


class TestMemoryLedger(LedgerSuite):
    @pytest.fixture
    def store(self) -> LedgerStore:
        return MemoryLedger(StillClock())


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with RealServers.started() as servers:
        yield servers.postgres


@pytest.mark.real
class TestPostgresLedger(LedgerSuite):
    @pytest.fixture
    async def store(self, postgres: RealPostgres) -> AsyncIterator[LedgerStore]:
        urls = postgres.fresh_database()
        migrate(urls.owner, "penstock_scheduler_service", "auditor")
        async with PostgresLedger(urls.service) as ledger:
            yield ledger
