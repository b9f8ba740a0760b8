"""The relay log's suite, in memory and on a real server in both modes."""

from __future__ import annotations

import pytest

from penstock_testkit.conformance.bus import Bus, MemoryBus, RealBus
from penstock_testkit.conformance.relay import RelaySuite


class TestMemoryRelay(RelaySuite):
    @pytest.fixture
    def bus(self, memory_bus: MemoryBus) -> Bus:
        return memory_bus


@pytest.mark.real
class TestNatsRelay(RelaySuite):
    @pytest.fixture
    def bus(self, real_bus: RealBus) -> Bus:
        return real_bus


@pytest.mark.real
class TestAtomicNatsRelay(RelaySuite):
    @pytest.fixture
    def bus(self, atomic_bus: RealBus) -> Bus:
        return atomic_bus
