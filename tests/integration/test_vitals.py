"""Gauges that are looked at now and then."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock_adapters.system.vitals import Vitals, disk_sample
from penstock_runtime.faults import TransientFault
from penstock_runtime.telemetry.metrics import (
    DISK_FREE,
    DISK_SIZE,
    LOOP_LAG,
    SAMPLE_FAILURES,
    Metric,
)
from penstock_testkit.fakes.measured import KeptMetrics

WITHIN_S = 5.0


class Watched(KeptMetrics):
    """Tells when the event loop's lag was measured."""

    def __init__(self) -> None:
        super().__init__()
        self.lag_seen = asyncio.Event()

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        super().observe(metric, value, *labels)
        if metric is LOOP_LAG:
            self.lag_seen.set()


async def test_a_sample_that_fails_keeps_no_other_from_being_taken(tmp_path: Path):
    kept, taken = Watched(), asyncio.Event()

    async def away() -> None:
        raise TransientFault("nobody answers")

    async def broken() -> None:
        raise KeyError("a defect")

    async def last() -> None:
        taken.set()

    vitals = Vitals(kept, [away, broken, disk_sample(kept, "state", tmp_path), last])
    vitals.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            await taken.wait()
            await kept.lag_seen.wait()
    finally:
        await vitals.close()
    assert kept.of(SAMPLE_FAILURES, "TransientFault") == 1
    assert kept.of(SAMPLE_FAILURES, "KeyError") == 1
    assert 0 < kept.of(DISK_FREE, "state") <= kept.of(DISK_SIZE, "state")


async def test_closing_twice_is_no_fault(tmp_path: Path):
    vitals = Vitals(KeptMetrics(), [disk_sample(KeptMetrics(), "gone", tmp_path / "gone")])
    vitals.start()
    await vitals.close()
    await vitals.close()
