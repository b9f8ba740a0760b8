"""Gauges of what has no moment of its own: looked at now and then, beside the event loop's lag."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from penstock_runtime.faults import TransientFault
from penstock_runtime.telemetry.metrics import (
    DISK_FREE,
    DISK_SIZE,
    LOOP_LAG,
    SAMPLE_FAILURES,
    Metrics,
)

TICK_S = 0.5  # between two looks at the event loop
TICKS_PER_SAMPLE = 20
SAMPLE_TIMEOUT_S = 5.0  # for one sample

Sample = Callable[[], Awaitable[None]]
"""Sets some gauges; a `TransientFault` leaves them as they were."""

_log = logging.getLogger(__name__)


class Vitals:
    """Takes samples from `start` until `close`; what cannot be read is counted, never raised."""

    def __init__(self, metrics: Metrics, samples: Sequence[Sample]) -> None:
        """Prepare; the first samples are taken at once after `start`."""
        self._metrics = metrics
        self._samples = tuple(samples)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._watch_loop(), name="event loop lag"),
            loop.create_task(self._take_samples(), name="samples"),
        ]

    async def close(self) -> None:
        """End; without effect when it has not begun."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            _ = task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self._metrics.observe(LOOP_LAG, max(loop.time() - due, 0.0))

    async def _take_samples(self) -> None:
        while True:
            for sample in self._samples:
                await self._take(sample)
            await asyncio.sleep(TICK_S * TICKS_PER_SAMPLE)

    async def _take(self, sample: Sample) -> None:
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_S):
                await sample()
        except (TransientFault, TimeoutError, OSError) as fault:
            self._metrics.add(SAMPLE_FAILURES, type(fault).__name__)
        except Exception as defect:  # noqa: BLE001 - a task boundary: gauges are never worth it
            self._metrics.add(SAMPLE_FAILURES, type(defect).__name__)
            _log.exception("a gauge could not be read")


def disk_sample(metrics: Metrics, folder: str, path: Path) -> Sample:
    """Give a sample of the file system that `path` is on, labelled `folder`."""

    async def sample() -> None:
        usage = await asyncio.to_thread(shutil.disk_usage, path)
        metrics.set(DISK_FREE, usage.free, folder)
        metrics.set(DISK_SIZE, usage.total, folder)

    return sample
