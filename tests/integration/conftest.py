"""Real servers that a module's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_adapters.postgres.migrate import migrate
from penstock_testkit.servers import DatabaseUrls, RealPostgres, RealServers
from tests.integration.doctor_servers import Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A place for the doctor to look at."""
    with Bench.prepared() as prepared:
        yield prepared


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with RealServers.started() as servers:
        yield servers.postgres


@pytest.fixture
def urls(postgres: RealPostgres) -> DatabaseUrls:
    """A database of its own with the scheduler's event tables."""
    found = postgres.fresh_database()
    migrate(found.owner, "penstock_scheduler_service", "auditor")
    return found
