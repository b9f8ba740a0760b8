"""An event loop in virtual time whose order of steps is drawn."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

from penstock_testkit.sim.dice import Dice
from penstock_testkit.virtual_time import VirtualLoop

LIMIT_S = 30 * 86_400.0  # of virtual time that one seed may take
T = TypeVar("T")
ArgsT = TypeVarTuple("ArgsT")


class SimTask(asyncio.Task[Any]):
    """A task with a number for its hash, so that sets of tasks have one order on every machine."""

    number: int

    def __hash__(self) -> int:
        """Give the number."""
        return self.number


class ShuffledLoop(VirtualLoop):
    """Steps that could run now run in an order that is drawn; what would run in threads is inline.

    Attributes:
        on_task: called with each new task.
    """

    def __init__(self, seed: int) -> None:
        """Shuffle as `seed` says."""
        super().__init__(deaf=True)
        self._dice = Dice(seed, "order")
        self._numbers = count()
        self.on_task: Callable[[SimTask], None] = lambda _task: None
        self.set_task_factory(self._make_task)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        main: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: contextvars.Context | None = None,
    ) -> asyncio.Future[T]:
        task = SimTask.__new__(SimTask)
        task.number = next(self._numbers)  # before the loop's own set of tasks asks for it
        task.__init__(main, loop=loop, context=context)
        self.on_task(task)
        return task

    def _run_once(self) -> None:
        """Take the next steps; the loop's own method, which is called for each turn."""
        ready: deque[object] = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            steps = list(ready)
            self._dice.shuffle(steps)
            ready.clear()
            ready.extend(steps)
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue] - asyncio's own

    def run_in_executor(
        self, executor: object, func: Callable[[*ArgsT], T], *args: *ArgsT
    ) -> asyncio.Future[T]:
        """Call at once: threads have an order of their own."""
        del executor
        answer: asyncio.Future[T] = self.create_future()
        try:
            answer.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits it
            answer.set_exception(error)
        return answer


def run_shuffled(seed: int, main: Callable[[ShuffledLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a scenario to its end in the order that `seed` draws.

    Raises:
        TimeoutError: it took longer than `LIMIT_S` of virtual time.
    """

    async def bounded() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await main(loop)

    loop = ShuffledLoop(seed)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(bounded())
