"""The tail's suite, in memory and on a real server."""

from __future__ import annotations

import pytest

from penstock_testkit.conformance.bus import Bus, MemoryBus, RealBus
from penstock_testkit.conformance.tail import TailSuite


class TestMemoryTail(TailSuite):
    @pytest.fixture
    def bus(self, memory_bus: MemoryBus) -> Bus:
        return memory_bus


@pytest.mark.real
class TestNatsTail(TailSuite):
    @pytest.fixture
    def bus(self, real_bus: RealBus) -> Bus:
        return real_bus
