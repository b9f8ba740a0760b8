"""One task from its start to its end: logs, limits, timeout, cancellation, and no survivor."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from penstock_adapters.process.child import SIGNAL_BASE, Child, Exit
from penstock_adapters.process.logs import LogBudget, LogLines, LogPump
from penstock_adapters.process.output import Output, OutputState
from penstock_adapters.process.proctree import Usage
from penstock_runtime.ports.sandbox import ExitReason, Limits, LogLine, SandboxResult

WATCH_INTERVAL_S = 0.1
"""Seconds between two looks at a tree; a limit that only the watchdog holds is that late."""

KILL_WAIT_S = 5.0
"""Seconds a killed tree may take to vanish before it is given up on."""

DRAIN_WAIT_S = 1.0
"""Seconds to read what is left in the pipes once the tree is gone."""

CANCEL_GRACE_S = 1.0
"""Seconds that a cancelled agent has from its notice; nobody awaits its result any more."""

LAST_SIGNAL = 64


class Tree(Protocol):
    """The processes of one task, however the adapter holds them together."""

    def sample(self) -> Usage:
        """Say what the tree uses; valid until the tree is closed, dead or alive."""
        ...

    def terminate(self) -> None:
        """Ask the agent to end."""
        ...

    def kill(self) -> None:
        """End every process of the tree, now."""
        ...

    async def gone(self) -> None:
        """Wait until no process of the tree is left."""
        ...


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the supervisor ended a task."""

    reason: ExitReason
    detail: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended; `stop` is None if it ended by itself."""

    exit: Exit
    stop: Stop | None
    usage: Usage
    wall_s: float
    log_truncated: bool
    last_error_line: str


class Supervisor:
    """Drives one task; used once."""

    def __init__(
        self,
        child: Child,
        tree: Tree,
        limits: Limits,
        on_log: Callable[[LogLine], None],
        grace_s: float,
        excess: Callable[[], Stop | None] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._child = child
        self._tree = tree
        self._limits = limits
        self._grace_s = grace_s
        self._excess = excess
        self._stop: asyncio.Future[Stop] = loop.create_future()
        self._budget = LogBudget(limits.log_bytes, self._flooded)
        self._pumps = (
            LogPump(child.stdout, LogLines("stdout", self._budget, on_log), self._budget),
            LogPump(child.stderr, LogLines("stderr", self._budget, on_log), self._budget),
        )
        self._started = loop.time()
        self._exit = asyncio.create_task(child.wait())

    async def run(self) -> Ending:
        """Wait for the end, bring it about where a limit asks for it, and leave nothing behind.

        Raises:
            asyncio.CancelledError: After the whole tree is dead.
        """
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait(
                {self._exit, self._stop},
                timeout=self._limits.wall_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            await self._give_grace()
        except asyncio.CancelledError:
            await complete(self._give_notice())
            raise
        finally:
            watch.cancel()
            await complete(self._bury())
        return Ending(
            exit=self._exit.result(),
            stop=self._stop.result() if self._stop.done() else None,
            usage=self._tree.sample(),
            wall_s=asyncio.get_running_loop().time() - self._started,
            log_truncated=self._budget.truncated,
            last_error_line=self._pumps[1].last_line,
        )

    async def _give_grace(self) -> None:
        """Let an agent that ran out of time put its things in order."""
        if self._exit.done() or self._stop.done():
            return
        self.stop(ExitReason.TIMEOUT, f"ran longer than {self._limits.wall_s:g} s")
        self._tree.terminate()
        await asyncio.wait({self._exit}, timeout=self._grace_s)

    async def _give_notice(self) -> None:
        """Let a cancelled agent let go of what it holds; one without a handler ends at once."""
        if not self._exit.done() and not self._stop.done():
            self._tree.terminate()
            await asyncio.wait(
                {self._exit, self._stop},
                timeout=min(CANCEL_GRACE_S, self._grace_s),
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _bury(self) -> None:
        self._tree.kill()
        await asyncio.wait({self._exit}, timeout=KILL_WAIT_S)
        if not self._exit.done():
            self._exit.cancel()
            raise TimeoutError("a killed sandbox process did not end")
        async with asyncio.timeout(KILL_WAIT_S):
            await self._tree.gone()
        waits = [asyncio.create_task(pump.ended.wait()) for pump in self._pumps]
        await asyncio.wait(waits, timeout=DRAIN_WAIT_S)
        for pump, wait in zip(self._pumps, waits, strict=True):
            wait.cancel()
            pump.stop()

    async def _watch(self) -> None:
        limits = self._limits
        while not self._stop.done():
            await asyncio.sleep(WATCH_INTERVAL_S)
            usage = self._tree.sample()
            if usage.oom or usage.memory_bytes > limits.memory_bytes:
                self.stop(ExitReason.MEMORY, memory_detail(limits))
            elif usage.processes > limits.processes:
                self.stop(ExitReason.SIGNALLED, f"more than {limits.processes} processes")
            elif usage.cpu_s > limits.cpu_s:
                self.stop(ExitReason.TIMEOUT, f"used more than {limits.cpu_s:g} s of CPU time")
            elif (excess := self._excess()) is not None:
                self.stop(excess.reason, excess.detail)

    def _flooded(self) -> None:
        self.stop(ExitReason.LOG_LIMIT, "printed far more than its log limit")

    def stop(self, reason: ExitReason, detail: str) -> None:
        """End the task for a reason; the first reason counts."""
        if not self._stop.done():
            self._stop.set_result(Stop(reason, detail))


def memory_detail(limits: Limits) -> str:
    """The sentence for a task that met its memory limit."""
    return f"needed more than {limits.memory_bytes // 2**20} MiB of memory"


async def complete(work: Coroutine[None, None, None]) -> None:
    """Finish a bounded piece of cleaning up even while being cancelled, then be cancelled."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


async def outcome(task: asyncio.Task[SandboxResult]) -> SandboxResult:
    """Wait for a task's result; when cancelled, see the task through its own cancellation first."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await complete(_ended(task))
        raise


async def _ended(task: asyncio.Task[SandboxResult]) -> None:
    await asyncio.wait({task})


def conclude(ending: Ending, output: Output, limits: Limits) -> SandboxResult:
    """Make the result of a task that did start."""
    code = ending.exit.code
    number = code - SIGNAL_BASE if SIGNAL_BASE < code <= SIGNAL_BASE + LAST_SIGNAL else None
    reason, detail = _reason(ending, number, limits)
    if reason is ExitReason.EXITED and output.state is OutputState.TOO_LARGE:
        reason = ExitReason.OUTPUT_TOO_LARGE
        detail = f"output is larger than {limits.output_bytes} bytes"
    elif reason is ExitReason.EXITED and output.state is OutputState.REFUSED:
        detail = f"{detail}; output refused: not a plain file"
    return SandboxResult(
        reason=reason,
        exit_code=code,
        signal=number,
        output=output.data,
        detail=detail,
        wall_s=ending.wall_s,
        cpu_s=max(ending.usage.cpu_s, ending.exit.cpu_s),
        max_rss_bytes=ending.usage.peak_bytes or ending.exit.max_rss_bytes,
        log_truncated=ending.log_truncated,
    )


def _reason(ending: Ending, number: int | None, limits: Limits) -> tuple[ExitReason, str]:
    if ending.stop is not None:
        return ending.stop.reason, ending.stop.detail
    if ending.usage.oom and ending.exit.code != 0:
        return ExitReason.MEMORY, memory_detail(limits)
    if number == signal.SIGXCPU:
        return ExitReason.TIMEOUT, f"used more than {limits.cpu_s:g} s of CPU time"
    if number is not None:
        return ExitReason.SIGNALLED, f"exit code {ending.exit.code} (signal {number})"
    return ExitReason.EXITED, f"exit code {ending.exit.code}"
