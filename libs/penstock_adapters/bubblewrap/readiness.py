"""What was found out about this machine: that tasks can run here and how, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.bubblewrap.identity import Identity
from penstock_adapters.bubblewrap.launcher import Launcher
from penstock_runtime.ports.sandbox import Limits

TRIAL_LIMITS = Limits(
    memory_bytes=256 * 2**20,
    processes=16,
    cpu_s=10,
    wall_s=20,
    output_bytes=1024,
    log_bytes=16 * 1024,
    disk_bytes=2**20,
)
TRIAL_COMMAND = ("python", "-I", "-S", "-c", "pass")
ISOLATION = "own pid, net, ipc, uts, mount and cgroup namespaces, seccomp"
NO_CGROUP = (
    "no cgroup may be made here: memory and processes are limited by a watchdog that sums the "
    "process tree and its scratch folders, and kills (what the kernel holds elsewhere, as for "
    "pipes and files without a name, is not counted)"
)
NO_FILTER = "no system call filter for this machine"


@dataclass(frozen=True, slots=True)
class Ready:
    """What was found to work here."""

    identity: Identity
    view: tuple[str, ...]
    launcher: Launcher
    reader: Launcher | None
    folder: Path

    async def close(self) -> None:
        """End what is parked."""
        for launcher in (self.launcher, self.reader):
            if launcher is not None:
                await launcher.close()
        self.identity.close()


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why nothing works here."""

    obstacle: str
    mend: str


CLOSED = Blocked("the sandbox is closed", "start the executor again")
