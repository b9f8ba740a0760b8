"""An executor whose engine a test takes away: while a file is there, nothing can be started.

As with a real one, nobody knows before a task has tried. The file is named by `SWITCH`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.process import serve
from penstock_executor.live import run
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    Sandbox,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

SWITCH = "FAILING_EXECUTOR_SWITCH"
OBSTACLE = "the engine does not answer"


class Switched:
    """Fulfils the port `Sandbox`: the real one, unless the switch is there."""

    def __init__(self, inner: Sandbox, switch: Path) -> None:
        self._inner = inner
        self._switch = switch
        self._found_out = False

    async def check(self) -> SandboxHealth:
        health = await self._inner.check()
        if self._found_out and self._switch.exists():
            return replace(health, available=False, obstacle=OBSTACLE, mend="start it")
        return health

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        if not self._switch.exists():
            return await self._inner.run(spec, on_log)
        self._found_out = True
        return SandboxResult(ExitReason.UNAVAILABLE, None, None, None, OBSTACLE, 0, 0, 0, False)

    async def close(self) -> None:
        await self._inner.close()


def opened(_settings: ExecutorSettings, scratch: Path, _clock: SystemClock) -> Sandbox:
    return Switched(BubblewrapSandbox(scratch), Path(os.environ[SWITCH]))


if __name__ == "__main__":
    sys.exit(serve("executor", ExecutorSettings, partial(run, open_sandbox=opened)))
