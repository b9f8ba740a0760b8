"""The processes of one sandbox: a pid namespace that dies with its first process."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress

from penstock_adapters.bubblewrap.cgroups import OWN_PROCESSES
from penstock_adapters.bubblewrap.launcher import Slot
from penstock_adapters.process.child import lower_limit, wait_readable
from penstock_adapters.process.proctree import Usage, descendants, measure
from penstock_runtime.ports.sandbox import INSIDE_ROOT, Limits

NPROC_PER_NAMESPACE = (5, 14)
"""Linux release since which RLIMIT_NPROC counts per user namespace, not per user."""

SHARED_PROCESSES = 256
"""Processes that all agents of one uid may have together, where only the watchdog tells tasks
apart: between two of its looks one of them could otherwise take every number there is."""

SCRATCH_FOLDERS = (f"{INSIDE_ROOT}/work", "/tmp", "/dev/shm")
INODE_BYTES = 1_024
"""What the kernel spends on an empty file in memory, name included; measured with cgroups."""


class SandboxTree:
    """Implements the supervisor's view of a running slot."""

    def __init__(self, slot: Slot, limits: Limits, *, own_namespace: bool) -> None:
        self._slot = slot
        self._limits = limits
        self._pid1_fd: int | None = None
        self._limit_processes = slot.group is None and _kernel() >= NPROC_PER_NAMESPACE
        self._most_processes = limits.processes + OWN_PROCESSES - 1
        if not own_namespace:
            self._most_processes = max(self._most_processes, SHARED_PROCESSES)
        self._last = Usage()

    def follow(self) -> bool:
        """Take in bwrap's status; called when its pipe is readable. False at the pipe's end."""
        more = self._slot.read_status()
        if self._pid1_fd is None and self._slot.pid1 is not None:
            self._pid1_fd = _open_namespace_init(self._slot.pid1)
            self.sample()
        return more

    def sample(self) -> Usage:
        """From the cgroup where there is one, else by summing the tree."""
        if self._slot.group is not None:
            usage = self._slot.group.usage()
            if usage.peak_bytes:
                self._last = usage
            return self._last
        if self._slot.child.ended:
            return self._last
        pids = descendants(self._slot.child.pid)
        if self._limit_processes:
            for pid in pids:
                lower_limit(pid, resource.RLIMIT_NPROC, self._most_processes, self._most_processes)
        usage = measure(pids)
        memory_bytes = usage.memory_bytes + self._scratch_bytes()
        self._last = Usage(
            memory_bytes=memory_bytes,
            peak_bytes=max(memory_bytes, self._last.peak_bytes),
            processes=max(0, usage.processes - (OWN_PROCESSES - 1)),
            cpu_s=max(usage.cpu_s, self._last.cpu_s),
        )
        return self._last

    def _scratch_bytes(self) -> int:
        """Memory that lies in scratch folders, empty files included; no process is charged it."""
        total = 0
        if self._pid1_fd is None:
            return total
        with suppress(OSError):  # not made yet, or gone already
            for folder in SCRATCH_FOLDERS:
                found = os.statvfs(f"/proc/{self._slot.pid1}/root{folder}")
                # The first one has our size only once the sandbox' own root is in place.
                if found.f_blocks * found.f_frsize > self._limits.disk_bytes + found.f_frsize:
                    return 0
                total += (found.f_blocks - found.f_bfree) * found.f_frsize
                total += (found.f_files - found.f_ffree) * INODE_BYTES
        return total

    def terminate(self) -> None:
        """SIGTERM to the agent itself: bwrap would die of it and take the agent along."""
        _ = self.follow()  # who it is may have been told a moment ago
        if self._slot.pid1 is None:
            return
        with (
            suppress(OSError),
            open(
                f"/proc/{self._slot.pid1}/task/{self._slot.pid1}/children", encoding="ascii"
            ) as file,
        ):
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGTERM)

    def kill(self) -> None:
        """End bwrap and the namespace's first process: the kernel ends all the others."""
        self.follow()
        if self._pid1_fd is not None:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pid1_fd, signal.SIGKILL)
        self._slot.child.send(signal.SIGKILL)

    async def gone(self) -> None:
        """The namespace's first process ends only after all others have."""
        self.follow()
        if self._pid1_fd is not None:
            await wait_readable(self._pid1_fd)

    def close(self) -> None:
        """Release the descriptor."""
        if self._pid1_fd is not None:
            os.close(self._pid1_fd)
            self._pid1_fd = None


def _open_namespace_init(pid: int) -> int | None:
    """A pidfd of a namespace's first process; None if it is gone and its number somebody else's."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("NSpid:") and line.split()[-1] == "1" and len(line.split()) > 2:
                return fd
    os.close(fd)
    return None


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
