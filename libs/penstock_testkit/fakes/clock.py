"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from itertools import count

from penstock_contracts.values import MICROSECONDS

START_US = 1_800_000_000 * MICROSECONDS
TURNS = 30  # of the event loop: what was woken gets to its next wait


class ManualClock:
    """Fulfils the port `Clock`."""

    def __init__(self, start_us: int = START_US) -> None:
        self._now_us = start_us
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now_us(self) -> int:
        """Give the time the test has set."""
        return self._now_us

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = self._now_us + int(seconds * MICROSECONDS)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking sleepers one due time after the other."""
        await turns()
        end = self._now_us + int(seconds * MICROSECONDS)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now_us = max(self._now_us, due)
            if not woken.done():
                woken.set_result(None)
                await turns()
        self._now_us = end
        await turns()


async def turns(number: int = TURNS) -> None:
    """Let the event loop turn, so that everything that can run has run."""
    for _ in range(number):
        await asyncio.sleep(0)
