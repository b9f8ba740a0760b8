"""The tasks in work here, and the pulse that keeps them alive on the server."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from penstock_contracts.values import MICROSECONDS
from penstock_executor.intake import Delivery
from penstock_executor.log_stream import LogStream
from penstock_executor.messages import Messages
from penstock_executor.outbox import Outbox
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.work import WorkItem

TICK_S = 0.1  # also the longest a log line waits for others
STARTED_AFTER_S = 1.0  # a repeatable task that runs longer reports its start

_log = logging.getLogger(__name__)


class Interruption(StrEnum):
    """Why a task is ended from outside."""

    CANCELLED = "cancelled"  # the scheduler has settled it
    STOPPING = "stopping"  # this executor goes


@dataclass(slots=True, eq=False)
class Running:
    """One task in work.

    Attributes:
        handler: the asyncio task that sees it through.
        work: the same while it may be interrupted; None once the outcome stands.
        repeats: None until the agent is known.
        nonce: of a granted claim.
        until_us: after which nobody waits for what was claimed, and it is unknown.
        begun_us: when the sandbox was started.
        lands_in: the repository in which the executor will land what was approved.
    """

    item: WorkItem
    delivery: Delivery
    beat_us: int
    handler: asyncio.Task[None] | None = None
    work: asyncio.Task[None] | None = None
    interruption: Interruption | None = None
    repeats: bool | None = None
    nonce: str | None = None
    until_us: int = 0
    begun_us: int | None = None
    lands_in: Path | None = None
    start_reported: bool = False
    logs: LogStream | None = None

    def interrupt(self, reason: Interruption) -> None:
        """End the work, once; without effect when its outcome stands."""
        if self.work is not None and self.interruption is None:
            self.interruption = reason
            _ = self.work.cancel()

    def seal(self) -> None:
        """Allow no interruption any more: what begins now is seen to its end.

        Raises:
            CancelledError: the task has been interrupted.
        """
        if self.interruption is not None:
            raise asyncio.CancelledError
        self.work = None


class RunningTasks:
    """All tasks in work, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Running] = {}
        self._changed = asyncio.Event()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Running]:
        """Go over a copy, so that tasks may end meanwhile."""
        return iter(tuple(self._by_id.values()))

    def find(self, task_id: str) -> Running | None:
        """Give the task of that id."""
        return self._by_id.get(task_id)

    def add(self, running: Running) -> None:
        """Take a task in."""
        self._by_id[running.delivery.task.task_id] = running
        self._some.set()

    def remove(self, running: Running) -> None:
        """Let a task go and wake who waits for room."""
        del self._by_id[running.delivery.task.task_id]
        self._changed.set()
        if not self._by_id:
            self._some.clear()

    async def fewer(self) -> None:
        """Wait until a task has ended."""
        self._changed.clear()
        _ = await self._changed.wait()

    async def some(self) -> None:
        """Wait until there is a task."""
        _ = await self._some.wait()


class Pulse:
    """Looks at all tasks ten times a second while there are any; a short task costs it nothing.

    Args:
        beat_s: how often the server is told that work goes on: a third of its patience.
    """

    def __init__(
        self, tasks: RunningTasks, outbox: Outbox, messages: Messages, clock: Clock, beat_s: float
    ) -> None:
        self._tasks = tasks
        self._outbox = outbox
        self._messages = messages
        self._clock = clock
        self._beat_us = int(beat_s * MICROSECONDS)
        self._beats: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self._tasks.some()
            await self._clock.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Do what is due for each task."""
        now_us = self._clock.now_us()
        for running in self._tasks:
            if running.logs is not None:
                running.logs.flush()
            if now_us - running.beat_us >= self._beat_us:
                running.beat_us = now_us
                beat = asyncio.get_running_loop().create_task(self._beat(running))
                self._beats.add(beat)
                beat.add_done_callback(self._beats.discard)
            self._report_start(running, now_us)

    def _report_start(self, running: Running, now_us: int) -> None:
        begun_us = running.begun_us
        if running.start_reported or not running.repeats or begun_us is None:
            return
        if now_us - begun_us >= STARTED_AFTER_S * MICROSECONDS:
            message = self._messages.started(running.delivery)
            running.start_reported = self._outbox.post(message)

    async def _beat(self, running: Running) -> None:
        try:
            await running.item.in_progress()
        except TransientFault as fault:
            # The next beat comes well before the server's patience is over.
            task_id = running.delivery.task.task_id
            _log.warning("no beat", extra={"task": task_id, "reason": str(fault)})
