"""Where artifacts lie: in memory, in the bus's object store, in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from penstock_adapters.memory.artifacts import MemoryShelf, MemoryVault
from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.streams import ensure_artifacts
from penstock_adapters.postgres.artifacts import PostgresVault
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.system.clock import SystemClock
from penstock_runtime.ports.artifacts import ArtifactShelf, ArtifactVault
from penstock_testkit.conformance.artifacts import ShelfSuite, VaultSuite, content_of, key_of
from penstock_testkit.conformance.artifacts import pieces as pieces_of
from penstock_testkit.servers import DatabaseUrls, RealNats, RealPostgres
from tests.conformance.conftest import connected

BUCKET_BYTES = 256 * 1024 * 1024


class TestMemoryShelf(ShelfSuite):
    @pytest.fixture
    def shelf(self) -> ArtifactShelf:
        return MemoryShelf()


class TestMemoryVault(VaultSuite):
    @pytest.fixture
    def vault(self) -> ArtifactVault:
        return MemoryVault(SystemClock())


@pytest.mark.real
class TestNatsShelf(ShelfSuite):
    @pytest.fixture
    async def shelf(self, nats: RealNats) -> AsyncIterator[ArtifactShelf]:
        connection = await connected(nats)
        await ensure_artifacts(connection, BUCKET_BYTES)
        yield NatsShelf(connection)
        await connection.close()


@pytest.fixture
def urls(postgres: RealPostgres) -> DatabaseUrls:
    found = postgres.fresh_database()
    migrate(found.owner, "penstock_scheduler_service", "auditor", Schema.LEDGER)
    migrate(found.owner, "penstock_scheduler_service", "auditor", Schema.ARTIFACTS)
    return found


@pytest.mark.real
class TestPostgresVault(VaultSuite):
    @pytest.fixture
    async def vault(self, urls: DatabaseUrls) -> AsyncIterator[ArtifactVault]:
        async with PostgresVault(urls.service, unfinished_s=0) as vault:
            yield vault

    async def test_nothing_is_left_of_what_was_pruned_or_put_twice(
        self, vault: ArtifactVault, urls: DatabaseUrls
    ) -> None:
        content = content_of(3_000_000)
        for _ in range(2):
            await vault.put(key_of(content), pieces_of(content))
        await vault.prune(-1, 10)
        await vault.prune(-1, 10)
        with psycopg.connect(urls.admin) as connection:
            for table in (b"artifact_chunks", b"artifact_copies"):
                counted = connection.execute(b"SELECT count(*) FROM " + table).fetchone()
                assert counted == (0,)

    @pytest.mark.parametrize("role", ["service", "auditor"])
    def test_content_is_never_changed(self, urls: DatabaseUrls, role: str) -> None:
        with (
            psycopg.connect(getattr(urls, role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("UPDATE artifact_chunks SET data = ''")
