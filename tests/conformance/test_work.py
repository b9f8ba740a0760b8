"""The work queue's and the control channel's suites, in memory and on a real server."""

from __future__ import annotations

import pytest

from penstock_testkit.conformance.bus import Bus, MemoryBus, RealBus
from penstock_testkit.conformance.work import ControlSuite, WorkSuite


class TestMemoryWork(WorkSuite):
    @pytest.fixture
    def bus(self, memory_bus: MemoryBus) -> Bus:
        return memory_bus


@pytest.mark.real
class TestNatsWork(WorkSuite):
    @pytest.fixture
    def bus(self, real_bus: RealBus) -> Bus:
        return real_bus


class TestMemoryControl(ControlSuite):
    @pytest.fixture
    def bus(self, memory_bus: MemoryBus) -> Bus:
        return memory_bus


@pytest.mark.real
class TestNatsControl(ControlSuite):
    @pytest.fixture
    def bus(self, real_bus: RealBus) -> Bus:
        return real_bus
