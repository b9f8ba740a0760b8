"""Penstock for a harness that runs the same workloads on several engines.

A default installation as `penstock up` starts it, with the inline adapter in place of the sandbox:
nats-server and PostgreSQL as they ship (fsync on), all four services, the gateway's projection.

Variants, joined by `+`: `each` counts every process by itself instead of `server`, `worker` and
`db`; `NAME=VALUE` sets PENSTOCK_NAME. Other settings of the caller's environment are left out, so
that the name of the engine tells everything that was not a default.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peer_client import Begun, PeerClient
from peer_harness import FOLDER, harness
from peer_stack import EXECUTOR, HOME, OWNER, WORKERS, executors

from penstock_adapters.embedded import detached
from penstock_adapters.embedded.faults import StartFailedError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.processes import log_tail
from penstock_adapters.embedded.status import ChildStatus, StackStatus, read_status
from penstock_adapters.embedded.supervisor import ChildState

SETTINGS: Final = "PENSTOCK_"
EACH: Final = "each"
KILLED: Final = "PEERS_KILL"  # environment: what W5s kills, see SERVERS
SERVERS: Final = {
    "nats": ("nats",),
    "postgres": ("postgres",),
    "scheduler": ("scheduler",),
    "all": ("scheduler", "nats", "postgres"),
}
SUPERVISOR: Final = "supervisor"
DATABASE: Final = "postgres"
BACK_WITHIN_S: Final = 120.0
LOOK_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Counted:
    """A process whose time and memory the harness counts, with all that descend from it or not.

    Attributes:
        role: what it is summed up under.
        pids: its processes now.
    """

    role: str
    pids: Callable[[], list[int]]


class Engine:
    """What the harness asks of an engine."""

    def __init__(self, variant: str, workers: int) -> None:
        """Describe a stack with `workers` executors; nothing is started."""
        words = [word for word in variant.split("+") if word]
        self._each = EACH in words
        self._told = dict(word.split("=", 1) for word in words if word != EACH)
        self._workers = executors(workers)
        self._servers = SERVERS[os.environ.get(KILLED, "all")]
        self._harness = harness()
        self._folder: StateFolder | None = None
        self._killed: dict[str, int] = {}

    # --- processes --------------------------------------------------------------------------

    def start_server(self) -> None:
        """Bring everything up, the executor included, and wait until all of it is ready.

        Raises:
            StartFailedError: it is not; says why.
        """
        self._folder = StateFolder.at(Path(tempfile.mkdtemp(prefix="penstock-peers-")))
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)
        }
        told = {f"{SETTINGS}{name.upper()}": value for name, value in self._told.items()}
        own = {
            "PENSTOCK_SANDBOX": "inline",
            HOME: str(self._folder.root),
            OWNER: str(os.getpid()),
            WORKERS: str(len(self._workers)),
            FOLDER: str(Path(self._harness.__file__).resolve().parent),
        }
        program = Path(__file__).with_name("peer_stack.py")
        try:
            _ = detached.up(
                self._folder, (sys.executable, str(program)), {**inherited, **told, **own}
            )
        except StartFailedError:
            for log in sorted(self._folder.logs.iterdir()):  # `stop` removes them
                print(f"--- {log.name}\n{log_tail(log)}", file=sys.stderr)
            raise
        for child in self._status().children:
            if child.pid is not None:
                self._harness.prio(child.pid)

    def start_worker(self) -> None:
        """Wait until the executors are ready: the supervisor has started them."""
        self._wait_back(self._workers)

    def kill_worker(self) -> None:
        """Kill -9 the executors."""
        self._kill(self._workers)

    def kill_server(self) -> None:
        """Kill -9 the scheduler and both servers, or what PEERS_KILL names."""
        self._kill(self._servers)

    def restart_server(self) -> None:
        """Wait until the supervisor has brought back what was killed."""
        self._wait_back(self._servers)

    def stop(self) -> None:
        """Stop everything and remove its state."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        supervisor = read_status(folder).supervisor
        try:
            _ = detached.down(folder)
            if supervisor is not None:  # it was left running on purpose, and is still our child
                with contextlib.suppress(ChildProcessError):
                    _ = os.waitpid(supervisor.pid, 0)
        finally:
            shutil.rmtree(folder.root, ignore_errors=True)

    def procs(self) -> Sequence[Counted]:
        """Give every process of the stack, its supervisor included."""
        if self._folder is None:
            return ()
        status = self._status()
        counted = [
            Counted(self._role(child.name), lambda pid=child.pid: self._harness.tree(pid))
            for child in status.children
            if child.pid is not None
        ]
        if status.supervisor is not None:
            alone = [status.supervisor.pid]  # what descends from it is counted above
            counted.append(Counted(self._role(SUPERVISOR), lambda: alone))
        return counted

    def _role(self, name: str) -> str:
        if self._each:
            return name
        if name == DATABASE:
            return "db"
        return "worker" if name.startswith(EXECUTOR) else "server"

    def _status(self) -> StackStatus:
        assert self._folder is not None, "the stack has not been started"
        return read_status(self._folder)

    def _children(self, names: Iterable[str]) -> list[ChildStatus]:
        wanted = set(names)
        return [child for child in self._status().children if child.name in wanted]

    def _kill(self, names: Iterable[str]) -> None:
        children = self._children(names)
        self._killed = {child.name: child.pid for child in children if child.pid is not None}
        # A parent before its children, so that none of them is missed or mourned.
        condemned = [pid for root in self._killed.values() for pid in self._harness.tree(root)]
        for pid in condemned:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _wait_back(self, names: Sequence[str]) -> None:
        end = time.monotonic() + BACK_WITHIN_S
        while any(
            child.state != ChildState.READY or child.pid == self._killed.get(child.name)
            for child in self._children(names)
        ):
            if time.monotonic() > end:
                told = "; ".join(f"{one.name}: {one.detail}" for one in self._children(names))
                raise TimeoutError(f"not back within {BACK_WITHIN_S:g} s: {told}")
            time.sleep(LOOK_S)

    # --- client -----------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the client."""
        assert self._folder is not None, "the stack has not been started"
        self._client = PeerClient(self._folder, self._status().gateway_url)
        await self._client.open()

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def start(self, kind: str, wid: str, p: dict[str, Any]) -> Begun:
        """Start a workflow of the harness."""
        return await self._client.start(kind, wid, p)

    async def wait(self, wid: str, h: Begun) -> dict[str, Any]:
        """Wait for its result."""
        return await h.result()

    async def wait_robust(self, wid: str, h: Begun) -> dict[str, Any]:
        """As `wait`: the subscription goes on behind what it has seen, whatever was killed."""
        return await self.wait(wid, h)

    async def run(self, kind: str, wid: str, p: dict[str, Any]) -> dict[str, Any]:
        """Start and wait."""
        return await (await self.start(kind, wid, p)).result()

    async def signal(self, wid: str, h: Begun) -> None:
        """Approve a parked workflow."""
        await self._client.approve(h)
