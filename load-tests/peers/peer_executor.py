"""The executor of a default installation, whose built-in agents do the harness's step as well.

What a benchmark needs stays outside of Penstock: the inline sandbox runs `noop` as ever, and then
the step that all engines run gives the output.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from peer_harness import FOLDER, Harness, harness_at
from pydantic_core import from_json, to_json

from penstock_adapters.inline import InlineSandbox
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.process import serve
from penstock_executor.live import run
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.ports.sandbox import (
    LogLine,
    Sandbox,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

STEP: Final = "i"
PAUSE: Final = "pause_ms"  # not `sleep_ms`, which the built-in agent itself would obey
LOG: Final = "log"


class StepSandbox:
    """Fulfils the port `Sandbox`: the built-in agents, and the harness's step in their input."""

    def __init__(self, inner: Sandbox, harness: Harness) -> None:
        """Run in `inner`, then do the step of `harness`."""
        self._inner = inner
        self._step = harness.step_body

    async def check(self) -> SandboxHealth:
        """As the one inside."""
        return await self._inner.check()

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run the agent; its output is the step's, if its input names one."""
        done = await self._inner.run(spec, on_log)
        given: dict[str, Any] = from_json(spec.input)
        if done.exit_code != 0 or STEP not in given:
            return done
        run_id = spec.env["PENSTOCK_RUN_ID"]
        body = await self._step(run_id, given[STEP], given.get(PAUSE, 0), given.get(LOG, False))
        return replace(done, output=to_json(body))

    async def close(self) -> None:
        """Close the one inside."""
        await self._inner.close()


def opened(_settings: ExecutorSettings, _scratch: Path, clock: SystemClock) -> Sandbox:
    """Open the built-in agents with the harness's step."""
    return StepSandbox(InlineSandbox(clock), harness_at(os.environ[FOLDER]))


if __name__ == "__main__":
    sys.exit(serve("executor", ExecutorSettings, partial(run, open_sandbox=opened)))
