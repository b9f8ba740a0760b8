"""The suites of all ports over the bus on three servers, each stream kept by all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.streams import ensure_artifacts
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.artifacts import ArtifactShelf
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.cluster import RealCluster
from penstock_testkit.conformance.artifacts import ShelfSuite
from penstock_testkit.conformance.bus import Bus, RealBus, command
from penstock_testkit.conformance.inbox import InboxSuite
from penstock_testkit.conformance.publisher import PublisherSuite
from penstock_testkit.conformance.relay import RelaySuite
from penstock_testkit.conformance.tail import TailSuite
from penstock_testkit.conformance.work import ControlSuite, WorkSuite
from tests.conformance.conftest import connected

pytestmark = [pytest.mark.real, pytest.mark.long]

BUCKET_BYTES = 256 * 1024 * 1024
REPLICAS = 3
DONE, FAILED = Published.DONE, Published.FAILED


class OnCluster:
    """Gives a suite the cluster for its bus."""

    @pytest.fixture
    def bus(self, cluster_bus: RealBus) -> Bus:
        return cluster_bus


class TestClusterRelay(OnCluster, RelaySuite):
    pass


class TestClusterInbox(OnCluster, InboxSuite):
    pass


class TestClusterPublisher(OnCluster, PublisherSuite):
    async def test_a_copy_is_no_error(self, bus: Bus) -> None:
        """Unless the first one is still being agreed on: then it is one to try again."""
        copy = Outgoing(Stream.RUNS, command(1).subject, b"1", "same-id")
        first, second = await bus.publisher().publish([copy, copy])
        assert (first, second) in {(DONE, DONE), (DONE, FAILED), (FAILED, DONE)}
        assert await bus.publisher().publish([copy]) == [DONE]


class TestClusterWork(OnCluster, WorkSuite):
    pass


class TestClusterControl(OnCluster, ControlSuite):
    pass


class TestClusterTail(OnCluster, TailSuite):
    pass


class TestClusterShelf(ShelfSuite):
    @pytest.fixture
    async def shelf(self, cluster: RealCluster) -> AsyncIterator[ArtifactShelf]:
        connection = await connected(cluster)
        await ensure_artifacts(connection, BUCKET_BYTES, replicas=REPLICAS)
        yield NatsShelf(connection)
        await connection.close()
