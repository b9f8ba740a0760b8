"""Carries a plan of faults out, and writes down when each began and was over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_testkit.chaos.observed import Log
from penstock_testkit.chaos.proxy import Weather
from penstock_testkit.chaos.schedule import Fault, Kind
from penstock_testkit.chaos.stack import TARGETS, ChaosStack

WEATHERS = {Kind.CUT: Weather.CUT, Kind.HOLE: Weather.HOLE, Kind.SLOW: Weather.SLOW}
FILL_EVERY_S = 0.2
THERE_WITHIN_S = 60.0  # a target that does not run is waited for


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that happened.

    Attributes:
        began_s: monotonic seconds.
        ended_s: when it was taken back; of a restart, when the process was started anew.
        ready_s: when the restarted process was ready; `ended_s` where nothing was restarted.
    """

    fault: Fault
    began_s: float
    ended_s: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A fault that could not be done here, and why."""

    fault: Fault
    why: str


class Nemesis:
    """Does what is planned.

    Attributes:
        done: faults that are over.
        skipped: faults that could not be done.
    """

    def __init__(
        self, stack: ChaosStack, log: Log, plan: Sequence[Fault], say: Callable[[str], None]
    ) -> None:
        """Prepare; `say` is told a line a fault."""
        self._stack = stack
        self._log = log
        self._plan = plan
        self._say = say
        self.done: list[Done] = []
        self.skipped: list[Skipped] = []

    async def run(self, began_s: float) -> None:
        """Do everything that is planned, each fault at its time."""
        async with asyncio.TaskGroup() as tasks:
            for fault in self._plan:
                await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                _ = tasks.create_task(self._one(fault))

    async def heal(self) -> None:
        """Take everything back, whatever happened."""
        stack = self._stack
        for link in stack.links.values():
            link.change(Weather.CLEAR)
        for name in TARGETS:
            stack.go_on(name)
        for name in stack.clocks.names:
            stack.clocks.set(name, 0.0)
        if stack.disk is not None and stack.disk.ballast.exists():
            stack.disk.empty()

    async def _one(self, fault: Fault) -> None:
        if why := self._obstacle(fault):
            self.skipped.append(Skipped(fault, why))
            self._log.note("skipped", fault=fault.line, why=why)
            self._say(f"{fault.line}: skipped: {why}")
            return
        await self._there(fault)
        began_s = time.monotonic()
        self._log.note("fault", fault=fault.line)
        self._say(fault.line)
        started = await self._acts(fault)(fault)
        ready_s = time.monotonic()
        self.done.append(Done(fault, began_s, started or ready_s, ready_s))
        self._log.note("healed", fault=fault.line, took_s=ready_s - began_s)

    def _obstacle(self, fault: Fault) -> str:
        match fault.kind:
            case Kind.SKEW:
                return self._stack.clocks.obstacle
            case Kind.FULL_DISK:
                disk = self._stack.disk
                return "it is not asked for" if disk is None else disk.obstacle
            case _:
                return ""

    async def _there(self, fault: Fault) -> None:
        names = [name for name in TARGETS if name in fault.needs]

        async def run() -> bool:
            return all(self._stack.lives(name) for name in names)

        await self._stack.until(run, THERE_WITHIN_S)

    def _acts(self, fault: Fault) -> Callable[[Fault], Awaitable[float | None]]:
        match fault.kind:
            case Kind.KILL | Kind.KILL_ALL | Kind.RESTART:
                return self._end
            case Kind.PAUSE | Kind.LONG_PAUSE:
                return self._pause
            case Kind.CUT | Kind.HOLE | Kind.SLOW:
                return self._disturb
            case Kind.LOSE_JETSTREAM:
                return self._lose
            case Kind.OLD_JETSTREAM:
                return self._put_back
            case Kind.SKEW:
                return self._skew
            case Kind.FULL_DISK:
                return self._fill

    async def _end(self, fault: Fault) -> float:
        names = [name for name in TARGETS if name in fault.needs]
        await self._stack.end(names, orderly=fault.kind is Kind.RESTART)
        return max(self._stack.starts[name][-1] for name in names)

    async def _pause(self, fault: Fault) -> None:
        self._stack.pause(fault.target)
        try:
            await asyncio.sleep(fault.hold_s)
        finally:
            self._stack.go_on(fault.target)

    async def _disturb(self, fault: Fault) -> None:
        link = self._stack.links[fault.target]
        link.change(WEATHERS[fault.kind], fault.size)
        try:
            await asyncio.sleep(fault.hold_s)
        finally:
            link.change(Weather.CLEAR)

    async def _lose(self, fault: Fault) -> float:
        await self._stack.lose_jetstream()
        return self._stack.starts["nats"][-1]

    async def _put_back(self, fault: Fault) -> float:
        copy = self._copy(fault)
        await self._stack.keep_jetstream(copy)
        await asyncio.sleep(fault.hold_s)
        await self._stack.put_jetstream_back(copy)
        return self._stack.starts["nats"][-1]

    def _copy(self, fault: Fault) -> Path:
        return self._stack.home / f"jetstream-{fault.number}"

    async def _skew(self, fault: Fault) -> None:
        self._stack.clocks.set(fault.target, fault.size)
        try:
            await asyncio.sleep(fault.hold_s)
        finally:
            self._stack.clocks.set(fault.target, 0.0)

    async def _fill(self, fault: Fault) -> float:
        """Fill the disk; then somebody makes room and starts the server again."""
        disk = self._stack.disk
        assert disk is not None
        until_s = time.monotonic() + fault.hold_s
        try:
            while time.monotonic() < until_s:
                await asyncio.to_thread(disk.fill)
                await asyncio.sleep(FILL_EVERY_S)
        finally:
            disk.empty()
        await self._stack.end(["nats"], orderly=True)
        return self._stack.starts["nats"][-1]
