"""Everything this executor publishes leaves here, in batches that grow with the load.

What is handed over while the event loop turns once goes out together; while `MAX_FLIGHTS` batches
are under way the next one collects.
"""

import asyncio
import logging
from collections import deque

from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.telemetry.metrics import PUBLISHED, Metrics

MAX_BATCH = 500  # messages in one publish
MAX_FLIGHTS = 4  # publishes under way at once
MAX_QUEUED = 20_000  # messages waiting; beyond, posts are refused and sends fail
CLOSE_S = 5.0

_log = logging.getLogger(__name__)
_Entry = tuple[Outgoing, asyncio.Future[Published] | None]


class Outbox:
    """Batches publishes over the port `Publisher`."""

    def __init__(self, publisher: Publisher, metrics: Metrics) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._queue: deque[_Entry] = deque()
        self._flights: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def post(self, message: Outgoing) -> bool:
        """Publish without waiting; False: no room, the message is not taken."""
        if len(self._queue) >= MAX_QUEUED:
            return False
        self._queue.append((message, None))
        self._schedule()
        return True

    async def send(self, message: Outgoing) -> Published:
        """Publish and wait for the outcome."""
        if len(self._queue) >= MAX_QUEUED:
            return Published.FAILED
        outcome: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._queue.append((message, outcome))
        self._schedule()
        return await outcome

    async def close(self) -> None:
        """Wait, at most `CLOSE_S`, until everything has left."""
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._queue or self._flights:
                    self._take_off()
                    _ = await asyncio.wait(tuple(self._flights))
        except TimeoutError:
            _log.warning("messages left unsent at the stop", extra={"messages": len(self._queue)})

    def _schedule(self) -> None:
        if not self._scheduled and len(self._flights) < MAX_FLIGHTS:
            self._scheduled = True
            _ = asyncio.get_running_loop().call_soon(self._take_off)

    def _take_off(self) -> None:
        self._scheduled = False
        if not self._queue or len(self._flights) >= MAX_FLIGHTS:
            return
        size = min(len(self._queue), MAX_BATCH)
        batch = [self._queue.popleft() for _ in range(size)]
        flight = asyncio.get_running_loop().create_task(self._fly(batch))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)
        if self._queue:
            self._schedule()

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._queue:
            self._schedule()

    async def _fly(self, batch: list[_Entry]) -> None:
        outcomes = [Published.FAILED] * len(batch)
        try:
            outcomes = list(await self._publisher.publish([message for message, _ in batch]))
        except Exception:  # noqa: BLE001 - a task boundary: every sender must get an answer
            _log.exception("publishing failed")
        finally:
            for (message, waiting), outcome in zip(batch, outcomes, strict=True):
                self._metrics.add(PUBLISHED, message.stream or "core", outcome)
                if waiting is not None and not waiting.done():
                    waiting.set_result(outcome)
