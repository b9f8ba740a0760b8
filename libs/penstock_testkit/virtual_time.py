"""An event loop whose time jumps: when nothing can run, it is at once the next due time.

Whatever waits by the loop (timeouts, sleeps of `VirtualClock`) takes no real time, and the order
of things is the same on every machine. Nothing real may be waited for inside.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from penstock_contracts.values import MICROSECONDS
from penstock_testkit.fakes.clock import START_US

TURN_S = 2e-9  # what a turn of the loop takes: more than asyncio's resolution, or a wait for less
# than that would be over without time having moved, for ever
LIMIT_S = 7 * 86_400.0  # of virtual time that one scenario may take
T = TypeVar("T")
P = ParamSpec("P")


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells the loop how far time has jumped instead.

    Attributes:
        jumped_s: how far.
        deaf: nothing real is looked at, which saves a system call for each turn.
    """

    jumped_s = 0.0
    deaf = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready now, or jump."""
        ready = [] if self.deaf else super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        if not ready and timeout:
            self.jumped_s += timeout
        self.jumped_s += TURN_S
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop of a scenario."""

    def __init__(self, *, deaf: bool = False) -> None:
        """Begin at time 0; who is `deaf` hears of nothing real."""
        self._jumping = JumpingSelector()
        self._jumping.deaf = deaf
        super().__init__(self._jumping)

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._jumping.jumped_s


class VirtualClock:
    """Fulfils the port `Clock` inside a `VirtualLoop`."""

    def now_us(self) -> int:
        """Give microseconds since the epoch."""
        return START_US + round(asyncio.get_running_loop().time() * MICROSECONDS)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(seconds, 0.0), _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end."""

    async def bounded() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await main

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(bounded())


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an asynchronous test an ordinary one that runs in virtual time."""

    @wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtually(test(*args, **kwargs))

    return wrapped


async def until(
    clock: VirtualClock,
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]],
    within_s: float = 120.0,
) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it did not hold within that many seconds of virtual time.
    """
    async with asyncio.timeout(within_s):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await clock.sleep(0.02)
