"""One task on an engine, from the request to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from penstock_adapters.dagger.channel import End, Line, stop_of
from penstock_adapters.dagger.faults import EngineAway, Refused
from penstock_adapters.dagger.session import Session
from penstock_adapters.process.logs import LogBudget, LogLines
from penstock_adapters.process.proctree import Usage
from penstock_adapters.process.supervision import (
    CANCEL_GRACE_S,
    Ending,
    Stop,
    complete,
    conclude,
)
from penstock_runtime.ports.sandbox import ExitReason, Limits, LogLine, SandboxResult


class NotStarted(Exception):
    """No agent was started; the message says why."""


class Lost(Exception):
    """An agent was started, and nobody can say what became of it."""


class Prints:
    """What a task prints: cut into lines, and bounded."""

    def __init__(
        self, limits: Limits, on_log: Callable[[LogLine], None], flooded: Callable[[], None]
    ) -> None:
        self.budget = LogBudget(limits.log_bytes, flooded)
        self._lines = {
            "stdout": LogLines("stdout", self.budget, on_log),
            "stderr": LogLines("stderr", self.budget, on_log),
        }

    def take(self, stream: str, data: bytes) -> None:
        """Take in a piece."""
        if not self.budget.flooded:
            self._lines[stream].feed(data)

    def end(self) -> str:
        """Deliver what is left; gives the last line of stderr."""
        for lines in self._lines.values():
            lines.end()
        return self._lines["stderr"].last_line


class Driver:
    """Drives one task; used once.

    Attributes:
        line: To be given to the exchange before the request is made.
    """

    def __init__(self, limits: Limits, on_log: Callable[[LogLine], None], grace_s: float) -> None:
        self._limits = limits
        self._grace_s = grace_s
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._prints = Prints(limits, on_log, self._flooded)
        self.line = Line(limits.output_bytes, self._prints.take)

    async def run(
        self, session: Session, request: asyncio.Task[Any], order: dict[str, Any]
    ) -> SandboxResult:
        """See the task through.

        Raises:
            NotStarted: The container did not come up.
            Lost: The engine went away, or does not do what it is told.
        """
        await self._opened(session, request)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.line.start(order)
        ended = self.line.ended
        try:
            await self._wait(session, request, begun + self._limits.wall_s)
        except asyncio.CancelledError:
            if not ended.done() and not self._stop.done() and self._heard_of(session, request):
                await complete(self._give_notice())
            raise
        if not ended.done() and not self._stop.done() and self._heard_of(session, request):
            self._end(ExitReason.TIMEOUT, f"ran longer than {self._limits.wall_s:g} s")
            self.line.say(b"T")
            await asyncio.wait({ended}, timeout=self._grace_s)
        if not ended.done():
            self.line.say(b"K")
            heard_of = self._heard_of(session, request)
            waits = session.waits
            await asyncio.wait({ended}, timeout=waits.kill_s if heard_of else waits.late_s)
        last_line = self._prints.end()
        end = ended.result() if ended.done() else None
        # One that was killed here because the engine seemed gone did not end by itself either.
        if end is None or (end.stop == "K" and not self._stop.done()):
            await suspect(session)
            raise Lost("the engine or its container went away while the agent ran")
        return concluded(
            end, self._stop.result() if self._stop.done() else None, self._limits,
            wall_s=loop.time() - begun, truncated=self._prints.budget.truncated,
            last_line=last_line,
        )  # fmt: skip

    async def _give_notice(self) -> None:
        """Let a cancelled agent let go of what it holds; what is left of it is killed then."""
        self.line.say(b"T")
        await asyncio.wait({self.line.ended}, timeout=min(CANCEL_GRACE_S, self._grace_s))

    async def _wait(self, session: Session, request: asyncio.Task[Any], until: float) -> None:
        """Wait for an end, and for signs that none will come."""
        loop = asyncio.get_running_loop()
        waits: set[asyncio.Future[Any]] = {self.line.ended, self._stop, request}
        while (left_s := until - loop.time()) > 0:
            await asyncio.wait(
                waits,
                timeout=min(left_s, session.waits.ping_every_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if any(wait.done() for wait in waits):
                return
            await suspect(session)
            if not session.usable:
                return

    @staticmethod
    def _heard_of(session: Session, request: asyncio.Task[Any]) -> bool:
        return session.usable and not request.done()

    async def _opened(self, session: Session, request: asyncio.Task[Any]) -> None:
        opened = self.line.opened
        start_s = session.waits.start_s
        await asyncio.wait({opened, request}, timeout=start_s, return_when=asyncio.FIRST_COMPLETED)
        if opened.done():
            return
        if not request.done():
            await suspect(session)
            raise NotStarted(f"no container was started in {start_s:g} s")
        try:
            request.result()
        except (EngineAway, Refused) as fault:
            raise NotStarted(str(fault)) from fault
        raise NotStarted("the container ended before its first process called")

    def _flooded(self) -> None:
        self._end(ExitReason.LOG_LIMIT, "printed far more than its log limit")

    def _end(self, reason: ExitReason, detail: str) -> None:
        if not self._stop.done():
            self._stop.set_result(Stop(reason, detail))


def concluded(
    end: End, stop: Stop | None, limits: Limits, *, wall_s: float, truncated: bool, last_line: str
) -> SandboxResult:
    """Make the result of a task that came to an end."""
    stop = stop or stop_of(end.stop, limits)
    usage = Usage(cpu_s=end.exit.cpu_s, peak_bytes=end.exit.max_rss_bytes)
    ending = Ending(end.exit, stop, usage, wall_s, truncated, last_line)
    return conclude(ending, end.output, limits)


async def suspect(session: Session) -> None:
    """Find out whether an engine is alive; a session with one that is not is of no use."""
    try:
        await session.ask("query { version }", session.waits.ping_s)
    except (EngineAway, Refused):
        session.broken = True
