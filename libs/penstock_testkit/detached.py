"""The stack as people run it: `penstock up`, a supervisor in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.processes import Identity
from penstock_adapters.embedded.status import StackState, StackStatus, read_status
from penstock_testkit.stack import RunningStack

UP = (sys.executable, "-P", "-m", "penstock_cli", "up")
READY_WITHIN_S = 60.0
GONE_WITHIN_S = 30.0
SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Doors:
    """What is known of a stack from its state folder alone."""

    gateway_url: str
    auditor_urls: Mapping[str, str]


class DetachedStack(RunningStack):
    """A stack whose supervisor may be killed, and which may run as somebody else."""

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        command_of: Callable[[Sequence[str]], Sequence[str]] = tuple,
    ) -> None:
        """Prepare a stack in `home`; `command_of` may turn its command line into another."""
        super().__init__(home, environ)
        self._folder = StateFolder.at(home)
        self._environ = {**os.environ, **environ, "PENSTOCK_HOME": str(home)}
        self._command = tuple(command_of(UP))
        self._supervisor: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start a supervisor and wait until its stack is ready."""
        self._supervisor = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        await self.until(self._ready_or_ended, READY_WITHIN_S)
        assert self._supervisor.returncode is None, self.status().fault
        await self._open(self.status().gateway_url)

    async def _ready_or_ended(self) -> bool:
        assert self._supervisor is not None
        return self._supervisor.returncode is not None or self.status().state is StackState.READY

    async def stop(self) -> None:
        """Ask the supervisor to end, and wait until it has."""
        assert await self.ended_by(signal.SIGTERM) == 0

    async def ended_by(self, number: signal.Signals) -> int:
        """Send the supervisor a signal and give its exit code; 0: it had ended before."""
        await self._leave()
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None or supervisor.returncode is not None:
            return 0
        supervisor.send_signal(number)
        return await asyncio.wait_for(supervisor.wait(), GONE_WITHIN_S)

    def status(self) -> StackStatus:
        """Read what the supervisor says of itself."""
        return read_status(self._folder)

    def pid(self, name: str) -> int:
        """Process id of a service, of `nats`, `postgres`, or of the supervisor."""
        status = self.status()
        if name == SUPERVISOR and status.supervisor is not None:
            return status.supervisor.pid
        (found,) = (child.pid for child in status.children if child.name == name)
        assert found is not None, f"{name} does not run"
        return found

    def everyone(self) -> list[Identity]:
        """Give the supervisor and all its children."""
        pids = [self.pid(SUPERVISOR), *(child.pid for child in self.status().children if child.pid)]
        return [one for pid in pids if (one := Identity.of(pid)) is not None]

    @property
    def endpoints(self) -> Doors:
        """Addresses, as far as the state folder tells them."""
        urls = read_object(self._folder.auditor_url) or {}
        return Doors(self.status().gateway_url, {name: str(url) for name, url in urls.items()})
