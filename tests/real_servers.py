"""Fixtures of real servers that several tiers share; their `conftest` modules take them in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_adapters.postgres.migrate import migrate
from penstock_testkit.servers import DatabaseUrls, RealPostgres, RealServers


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    """A PostgreSQL for the tests of one module."""
    with RealServers.started() as servers:
        yield servers.postgres


@pytest.fixture
def urls(postgres: RealPostgres) -> DatabaseUrls:
    """A database of its own with the scheduler's event tables."""
    found = postgres.fresh_database()
    migrate(found.owner, "penstock_scheduler_service", "auditor")
    return found
