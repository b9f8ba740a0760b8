"""The read model's suite, over memory and over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from penstock_adapters.memory.projection import MemoryProjection
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_testkit.conformance.projection import ProjectionSuite, ReadModel
from penstock_testkit.servers import RealPostgres


class StillClock:
    def now_us(self) -> int:
        return 1_700_000_000_000_000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits {seconds} s")


class TestMemoryProjection(ProjectionSuite):
    @pytest.fixture
    def store(self) -> ReadModel:
        return MemoryProjection(StillClock())


@pytest.mark.real
class TestPostgresProjection(ProjectionSuite):
    @pytest.fixture
    async def store(self, postgres: RealPostgres) -> AsyncIterator[ReadModel]:
        urls = postgres.fresh_database("penstock_gateway")
        migrate(urls.owner, "penstock_gateway_service", "auditor", Schema.PROJECTION)
        async with PostgresProjection(urls.service) as projection:
            yield projection
