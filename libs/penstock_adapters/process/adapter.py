"""The process adapter: a subprocess with resource limits and a watchdog, and no isolation."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from penstock_adapters.process.child import Child
from penstock_adapters.process.leavings import Leavings
from penstock_adapters.process.leftovers import owned
from penstock_adapters.process.marked import MARK, MarkedTree
from penstock_adapters.process.output import read_path
from penstock_adapters.process.proctree import descendants
from penstock_adapters.process.scratch import Scratch
from penstock_adapters.process.supervision import Supervisor, conclude, outcome
from penstock_runtime.ports.sandbox import (
    ENV_ARTIFACTS,
    ENV_INPUT,
    ENV_OUTPUT,
    ENV_WORK,
    ExitReason,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

DEFAULT_GRACE_S = 2.0
"""Seconds between SIGTERM and SIGKILL at a timeout."""

_DEGRADED = (
    "no isolation: an agent can read and reach whatever this user can",
    "memory and processes are limited by a watchdog that may come late",
    "mounts are not shown, egress is not restricted, disk use is limited per file only",
)


class UnsandboxedRefused(RuntimeError):
    """Running agents without isolation was not allowed by name."""


class ProcessSandbox:
    """Runs agents as plain subprocesses. See the sandbox port for the contract.

    Args:
        scratch: Folder for temporaries; made 0700 if absent.
        allow_unsandboxed: Must be True; whoever sets it knows that nothing is isolated.
        grace_s: Seconds between SIGTERM and SIGKILL at a timeout.

    Raises:
        UnsandboxedRefused: `allow_unsandboxed` is not True.
    """

    def __init__(
        self, scratch: Path, *, allow_unsandboxed: bool = False, grace_s: float = DEFAULT_GRACE_S
    ) -> None:
        if not allow_unsandboxed:
            raise UnsandboxedRefused(
                "the process adapter isolates nothing; set PENSTOCK_ALLOW_UNSANDBOXED=1 to use it"
            )
        self._scratch = Scratch(scratch)
        self._grace_s = grace_s
        self._running: set[asyncio.Task[SandboxResult]] = set()

    async def check(self) -> SandboxHealth:
        """It always runs, and is always degraded."""
        return SandboxHealth("process", "none", True, _DEGRADED, None, None)

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run one task; see the port."""
        if spec.image is not None:
            return no_image(spec.image)
        task = asyncio.create_task(self._run(spec, on_log))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await outcome(task)

    async def _run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        folder = self._scratch.task_folder()
        child: Child | None = None
        try:
            env = self._environment(spec, folder)
            try:
                child = Child.spawn(spec.command, env=env, cwd=folder / "work")
            except OSError as error:
                return start_failed(f"cannot start {spec.command[0]}: {error.strerror}")
            child.limit(spec.limits, spec.file_bytes)
            tree = MarkedTree(child, str(folder))
            leavings = Leavings(spec, folder / "output.json", partial(_alive, child.pid))
            supervisor = Supervisor(
                child, tree, spec.limits, on_log, self._grace_s, leavings.excess
            )
            ending = leavings.judged(await supervisor.run())
            output = read_path(folder / "output.json", spec.limits.output_bytes)
            return conclude(ending, output, spec.limits)
        finally:
            if child is not None:
                child.close()
            self._scratch.remove(folder)

    def _environment(self, spec: SandboxSpec, folder: Path) -> Mapping[str, str]:
        work = folder / "work"
        work.mkdir()
        (folder / "input.json").write_bytes(spec.input)
        path = f"{Path(sys.prefix) / 'bin'}:{os.defpath}"
        return {
            "PATH": path,
            "HOME": str(work),
            "TMPDIR": str(work),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(spec.bundle),
            ENV_INPUT: str(folder / "input.json"),
            ENV_OUTPUT: str(folder / "output.json"),
            ENV_WORK: str(work),
            MARK: str(folder),
            **({} if spec.artifacts is None else {ENV_ARTIFACTS: str(spec.artifacts)}),
            **owned(),
            **spec.env,
            **spec.secrets,
        }

    async def close(self) -> None:
        """Cancel what runs and remove the temporaries."""
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))
        self._scratch.close()


def _alive(pid: int) -> list[int]:
    return [pid, *descendants(pid)]


def start_failed(detail: str) -> SandboxResult:
    """The result of a task that never began."""
    return SandboxResult(ExitReason.START_FAILED, None, None, None, detail, 0.0, 0.0, 0, False)


def unavailable(detail: str) -> SandboxResult:
    """The result of a task that never began, through no fault of its own."""
    return SandboxResult(ExitReason.UNAVAILABLE, None, None, None, detail, 0.0, 0.0, 0, False)


def no_image(image: str) -> SandboxResult:
    """The result of a task that asks for a file system which an adapter cannot give it."""
    return start_failed(f"this agent needs the image {image}: run it with PENSTOCK_SANDBOX=dagger")
