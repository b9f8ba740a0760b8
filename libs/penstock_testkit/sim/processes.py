"""Processes of a simulated world: they die, pause, have clocks of their own, and begin again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.loop import ShuffledLoop, SimTask
from penstock_testkit.virtual_time import VirtualClock

_LIVING: ContextVar[Life | None] = ContextVar("life", default=None)


class Life:
    """One life of a process: all its tasks, until they die together.

    Attributes:
        calls: how often it has reached for something outside.
        dies_at: the number of the call during which it dies; 0: at none.
    """

    def __init__(self, process: Process) -> None:
        """Begin to live."""
        self.process = process
        self.alive = True
        self.calls = 0
        self.dies_at = 0
        self._tasks: dict[SimTask, None] = {}

    def spawn(self, main: Coroutine[Any, Any, None]) -> None:
        """Run something as part of this life."""
        token = _LIVING.set(self)
        try:
            asyncio.get_running_loop().create_task(main)
        finally:
            _LIVING.reset(token)

    def take(self, task: SimTask) -> None:
        """Let a task end with this life."""
        self._tasks[task] = None
        task.add_done_callback(lambda _: self._tasks.pop(task, None))
        if not self.alive:
            task.cancel()

    def die(self) -> None:
        """End at once, like a process that is killed: nothing of it is heard any more."""
        if self.alive:
            self.alive = False
            for task in tuple(self._tasks):
                task.cancel()
            self.process.died(self)

    async def ended(self) -> None:
        """Wait until nothing of it runs."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def breathe(self) -> None:
        """Pass if the process is alive and runs; every reach for something outside comes by here.

        Raises:
            CancelledError: it is dead.
        """
        self.calls += 1
        if self.alive and self.calls == self.dies_at:
            self.die()
        while self.alive and self.process.paused:
            await self.process.resumed.wait()
        if not self.alive:
            raise asyncio.CancelledError


class ProcessClock:
    """Fulfils the port `Clock` inside of a process, with that process' own time."""

    def __init__(self, life: Life, clock: VirtualClock) -> None:
        """Tell the time of `life`'s process."""
        self._life = life
        self._clock = clock

    def now_us(self) -> int:
        """Give the time as this process takes it to be."""
        return self._clock.now_us() + self._life.process.skew_us

    async def sleep(self, seconds: float) -> None:
        """Wait; who is paused meanwhile waits on."""
        await self._clock.sleep(seconds)
        await self._life.breathe()


class Process:
    """A place in the world that lives again after each death.

    Attributes:
        life: the present one; None while it is down.
        skew_us: how far its clock is ahead.
        deaths: how many lives have ended.
    """

    def __init__(self, name: str, begin: Callable[[Life], None], dice: Dice) -> None:
        """Make a process that is down; `begin` spawns what it does."""
        self.name = name
        self.dice = dice
        self.life: Life | None = None
        self.skew_us = 0
        self.deaths = 0
        self.resumed = asyncio.Event()
        self.resumed.set()
        self._begin = begin
        self.on_death: Callable[[Process], None] = lambda _process: None

    @property
    def paused(self) -> bool:
        """Whether it is stopped in its tracks."""
        return not self.resumed.is_set()

    def start(self) -> None:
        """Live, unless it does."""
        if self.life is None:
            self.life = Life(self)
            self._begin(self.life)

    def pause(self) -> None:
        """Stop it in its tracks."""
        self.resumed.clear()

    def resume(self) -> None:
        """Let it go on."""
        self.resumed.set()

    def kill(self) -> None:
        """Kill it."""
        if self.life is not None:
            self.life.die()

    def died(self, life: Life) -> None:
        """Note that a life has ended."""
        if life is self.life:
            self.life = None
            self.deaths += 1
            self.resume()
            self.on_death(self)


def follow(loop: ShuffledLoop) -> None:
    """Have every task end with the process that made it."""

    def note(task: SimTask) -> None:
        life = _LIVING.get()
        if life is not None:
            life.take(task)

    loop.on_task = note
