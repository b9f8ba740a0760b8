"""Keeps child processes alive: starts them in order, restarts what dies, ends them in order.

Children die with the supervisor (see `launch`), so run it on the main thread: the kernel ties a
child to the thread that started it. What survives all the same is found again by the records in
the state folder and ended at the next start, but only where it is the very process recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from penstock_adapters.embedded.faults import EmbeddedError, StartFailedError
from penstock_adapters.embedded.processes import ChildSpec, Identity, log_tail, spawn

FIRST_BACKOFF_S: Final = 0.1
LONGEST_BACKOFF_S: Final = 10.0
STABLE_AFTER_S: Final = 30.0  # ready for so long: the next death starts the backoff anew
START_ATTEMPTS: Final = 4  # before the first readiness; afterwards it is restarted for ever
PROBE_INTERVAL_S: Final = 0.05
RECORD_SUFFIX: Final = ".pid"


class ChildState(StrEnum):
    """What a child is doing."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"  # it died and will be started again
    STOPPED = "stopped"
    FAILED = "failed"  # it never became ready


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """One change of one child.

    Attributes:
        name: the child.
        state: what it does now.
        pid: its process, or None.
        restarts: how often it has been started again.
        detail: why, for people.
    """

    name: str
    state: ChildState
    pid: int | None
    restarts: int
    detail: str = ""


Report = Callable[[ChildEvent], None]


def backoff_s(failures: int) -> float:
    """Pause before the next start after so many deaths in a row, in seconds."""
    return min(FIRST_BACKOFF_S * 2.0 ** (failures - 1), LONGEST_BACKOFF_S) if failures else 0.0


class Child:
    """One supervised child process."""

    def __init__(self, spec: ChildSpec, records: Path, report: Report) -> None:
        """Describe a child; `begin` starts it.

        Args:
            spec: how to start, probe and end it.
            records: folder for its process record.
            report: told of every change.
        """
        self.spec: ChildSpec = spec
        self._record: Path = records / f"{spec.name}{RECORD_SUFFIX}"
        self._report: Report = report
        self._stopping: asyncio.Event = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._restarts: int = 0
        self._failures: int = 0
        self.pid: int | None = None

    def begin(self) -> None:
        """Start it and keep it alive in the background."""
        self._task = asyncio.create_task(self._keep(), name=f"child {self.spec.name}")

    async def wait_ready(self) -> None:
        """Wait for its first readiness.

        Raises:
            StartFailedError: it did not become ready in `START_ATTEMPTS` starts.
        """
        await asyncio.shield(self._ready)

    async def stop(self) -> None:
        """End it gracefully, by force after its bound; without effect when it has ended."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        if not self._ready.cancel():
            _ = self._ready.exception()  # looked at, whether or not anybody waited

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            reason = await self._live_once()
            if self._stopping.is_set():
                break
            self._failures += 1
            if not self._ready.done() and self._failures >= START_ATTEMPTS:
                self._tell(ChildState.FAILED, reason)
                text = f"{self.spec.name} does not start: {reason}; see {self.spec.log}\n"
                self._ready.set_exception(StartFailedError(text + log_tail(self.spec.log)))
                return
            self._tell(ChildState.BACKOFF, reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s(self._failures)):
                    await self._stopping.wait()
            self._restarts += 1
        self._tell(ChildState.STOPPED)

    async def _live_once(self) -> str:
        """One life of the process; says why it ended."""
        self._tell(ChildState.STARTING)
        try:
            if self.spec.before_start is not None:
                await asyncio.to_thread(self.spec.before_start)
            process = spawn(self.spec)
        except (OSError, EmbeddedError) as error:
            return str(error)
        self.pid = process.pid
        with Watched(process) as watched:
            try:
                if (identity := Identity.of(process.pid)) is not None:
                    identity.record(self._record)
                return await self._accompany(watched)
            finally:
                # Also when this task is cancelled: nothing is left behind.
                watched.finish()
                self.pid = None
                self._record.unlink(missing_ok=True)

    async def _accompany(self, watched: Watched) -> str:
        if not await self._become_ready(watched):
            if watched.exited.done() or self._stopping.is_set():
                return await self._ended(watched)
            return f"not ready within {self.spec.ready_within_s:g} s"
        ready_at = time.monotonic()
        if not self._ready.done():
            self._ready.set_result(None)
        self._tell(ChildState.READY)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((watched.exited, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            _ = stop.cancel()
        if time.monotonic() - ready_at >= STABLE_AFTER_S:
            self._failures = 0
        return await self._ended(watched)

    async def _become_ready(self, watched: Watched) -> bool:
        """Probe until the child is ready; False when it ended, must stop, or took too long."""
        end = time.monotonic() + self.spec.ready_within_s
        while time.monotonic() < end and not self._stopping.is_set():
            if await asyncio.to_thread(self.spec.probe) and not watched.exited.done():
                return True
            if (await asyncio.wait((watched.exited,), timeout=PROBE_INTERVAL_S))[0]:
                return False
        return False

    async def _ended(self, watched: Watched) -> str:
        """Ask it to end if it still runs, and say how it ended."""
        if not watched.exited.done():
            watched.process.send_signal(self.spec.stop_signal)
            _ = await asyncio.wait((watched.exited,), timeout=self.spec.stop_within_s)
        return describe_exit(watched.finish())

    def _tell(self, state: ChildState, detail: str = "") -> None:
        self._report(ChildEvent(self.spec.name, state, self.pid, self._restarts, detail))


class Watched:
    """A running process and a future that completes when it exits."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Watch `process` from the running event loop."""
        self.process: subprocess.Popen[bytes] = process
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self._handle: int = os.pidfd_open(process.pid)
        self._loop.add_reader(self._handle, self._on_exit)

    def __enter__(self) -> Self:
        """Watch."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._handle)
        os.close(self._handle)

    def finish(self) -> int:
        """Kill it and what is left of its process group, reap it, return its exit status."""
        if self.process.returncode is None:
            # Not reaped yet, so the pid and the group are certainly still its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def _on_exit(self) -> None:
        _ = self._loop.remove_reader(self._handle)
        if not self.exited.done():
            self.exited.set_result(None)


def describe_exit(status: int) -> str:
    """Exit status of a child, for people."""
    if status < 0:
        return f"ended by signal {signal.Signals(-status).name}"
    return f"exited with status {status}"


class Supervisor:
    """The children of one state folder."""

    def __init__(self, records: Path, report: Report) -> None:
        """Prepare; nothing is started.

        Args:
            records: folder of the process records.
            report: told of every change of every child.
        """
        self._records: Path = records
        self._report: Report = report
        self._children: dict[str, Child] = {}

    def pid(self, name: str) -> int | None:
        """Process of the child called `name`, or None while it has none."""
        child = self._children.get(name)
        return child.pid if child is not None else None

    def spec(self, name: str) -> ChildSpec:
        """How the child called `name` is started.

        Raises:
            KeyError: there is no such child.
        """
        return self._children[name].spec

    async def start(self, specs: Iterable[ChildSpec]) -> None:
        """Start children together and wait until all are ready.

        Raises:
            StartFailedError: one did not become ready; the others are kept, so call `stop`.
        """
        fresh = [Child(spec, self._records, self._report) for spec in specs]
        for child in fresh:
            self._children[child.spec.name] = child
            child.begin()
        _ = await asyncio.gather(*(child.wait_ready() for child in fresh))

    async def stop(self, names: Iterable[str] | None = None) -> None:
        """End the children called `names` (all by default) together."""
        chosen = list(self._children if names is None else names)
        leaving = [child for name in chosen if (child := self._children.pop(name, None))]
        _ = await asyncio.gather(*(child.stop() for child in leaving))


def end_leftovers(records: Path, within_s: float) -> list[str]:
    """End processes that an earlier supervisor recorded and that still are the very same.

    Call it only with the state folder's lock held.

    Returns:
        Names of the children that were ended.
    """
    ended: list[str] = []
    for record in sorted(records.glob(f"*{RECORD_SUFFIX}")):
        identity = Identity.recorded(record)
        if identity is not None and identity.alive():
            identity.end(signal.SIGINT, within_s)
            ended.append(record.name.removesuffix(RECORD_SUFFIX))
        record.unlink(missing_ok=True)
    return ended
