"""The executor with witnesses: each time an agent acts, a line is appended outside of Penstock.

Effects are counted from that file alone: no event, message or log line has a say in it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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

WITNESSES = "CHAOS_WITNESSES"
_MARK = re.compile(rb'"mark":"([a-z0-9-]{1,40})"')


@dataclass(frozen=True, slots=True)
class Act:
    """One time that an agent acted.

    Attributes:
        key: the node's idempotency key, the same over all attempts.
        at_s: monotonic seconds, the same clock for all processes of the machine.
        mark: that its input carried.
    """

    run: str
    node: str
    attempt: int
    phase: str
    agent: str
    key: str
    at_s: float
    mark: str = ""


def acts_in(path: Path, offset: int = 0) -> Iterator[tuple[Act, int]]:
    """Read acts from a place in the file; gives each with the place behind it."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return  # the rest of it comes later
            offset += len(line)
            given: dict[str, Any] = json.loads(line)
            yield Act(**given), offset


class Witnessed:
    """Fulfils the port `Sandbox`: writes the act down, then does it."""

    def __init__(self, inner: Sandbox, path: Path) -> None:
        self._inner = inner
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def check(self) -> SandboxHealth:
        """As the one inside."""
        return await self._inner.check()

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Note the act, then do it."""
        env = spec.env
        line = {
            "run": env["PENSTOCK_RUN_ID"],
            "node": env["PENSTOCK_NODE"],
            "attempt": int(env["PENSTOCK_ATTEMPT"]),
            "phase": env["PENSTOCK_PHASE"],
            "agent": spec.command[0],
            "key": env["PENSTOCK_IDEMPOTENCY_KEY"],
            "at_s": time.monotonic(),
        }
        if (found := _MARK.search(spec.input)) is not None:
            line["mark"] = found[1].decode()
        _ = os.write(self._file, json.dumps(line).encode() + b"\n")  # in one piece: it is short
        return await self._inner.run(spec, on_log)

    async def close(self) -> None:
        """Close both."""
        await self._inner.close()
        os.close(self._file)


def opened(_settings: ExecutorSettings, _scratch: Path, clock: SystemClock) -> Sandbox:
    """Open the built-in agents with witnesses."""
    return Witnessed(InlineSandbox(clock), Path(os.environ[WITNESSES]))


if __name__ == "__main__":
    sys.exit(serve("executor", ExecutorSettings, partial(run, open_sandbox=opened)))
