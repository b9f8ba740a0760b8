"""One nats-server for each suite that needs a real bus; every test finds its streams empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_testkit.cluster import RealCluster
from penstock_testkit.conformance.bus import MemoryBus, RealBus
from penstock_testkit.servers import RealNats, RealServers
from tests.real_servers import postgres, urls

__all__ = [
    "atomic_bus",
    "cluster",
    "cluster_bus",
    "memory_bus",
    "nats",
    "postgres",
    "real_bus",
    "urls",
]


# Not for the whole session: that would end within whatever test is the worker's last, and the
# guard of the pure tiers refuses to wait for a server there.
@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("bus") / "state").nats
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster.started(tmp_path_factory.mktemp("cluster") / "state") as started:
        yield started


async def connected(nats: RealNats | RealCluster) -> NatsConnection:
    login = nats.login()
    return await connect(
        NatsSettings(
            login.url,
            login.user,
            login.password,
            login.inbox_prefix,
            reconnect_wait_s=0.02,
        )
    )


@pytest.fixture
async def memory_bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def real_bus(nats: RealNats, tmp_path: Path) -> AsyncIterator[RealBus]:
    bus = RealBus(nats, await connected(nats), tmp_path / "copy")
    await bus.reset()
    yield bus
    await bus.close()


@pytest.fixture
async def atomic_bus(nats: RealNats, tmp_path: Path) -> AsyncIterator[RealBus]:
    bus = RealBus(nats, await connected(nats), tmp_path / "copy", mode="atomic")
    await bus.reset()
    yield bus
    await bus.close()


@pytest.fixture
async def cluster_bus(cluster: RealCluster, tmp_path: Path) -> AsyncIterator[RealBus]:
    bus = RealBus(cluster, await connected(cluster), tmp_path / "copy", replicas=3)
    await bus.reset()
    yield bus
    await bus.close()
