"""Memory and process limits by cgroup, version 1 or 2, where this process may make groups."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from penstock_adapters.process.proctree import Usage
from penstock_adapters.process.scratch import owner_is_dead, unique_name
from penstock_runtime.ports.sandbox import Limits

OWN_PROCESSES = 2
"""Processes of bwrap itself inside a group: its monitor and its pid 1."""

SWEEP_TRIES = 20
SWEEP_WAIT_S = 0.01
"""How often, and after how long, the removal of a dead owner's group is tried again."""

_ROOT = Path("/sys/fs/cgroup")


class Group(ABC):
    """One cgroup (one folder per hierarchy) around one task."""

    @abstractmethod
    def limit(self, limits: Limits) -> None:
        """Set the limits.

        Raises:
            OSError: The kernel refuses them.
        """

    @abstractmethod
    def usage(self) -> Usage:
        """Say what the group uses; zeros once it is removed."""

    @property
    @abstractmethod
    def folders(self) -> tuple[Path, ...]:
        """The folders of the group."""

    def join(self, pid: int) -> None:
        """Put a process into the group.

        The first move after a while makes the kernel wait for all its readers (some 15 ms):
        call it where that does not matter.
        """
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def kill(self) -> None:
        """Kill every process in the group."""
        for pid in _numbers(self.folders[0] / "cgroup.procs"):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Remove the group; False if processes are still in it."""
        done = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                done = False
        return done


class GroupV1(Group):
    """Folders in the memory, pids and (if there) cpuacct hierarchies of cgroup version 1."""

    def __init__(self, parents: Mapping[str, Path], name: str) -> None:
        self._memory = parents["memory"] / name
        self._pids = parents["pids"] / name
        self._cpu = parents["cpuacct"] / name if "cpuacct" in parents else None
        for folder in self.folders:
            folder.mkdir()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the group."""
        found = (self._memory, self._pids)
        return found if self._cpu is None else (*found, self._cpu)

    def limit(self, limits: Limits) -> None:
        """Set memory (swap included) and process limits, and begin to count from here."""
        (self._memory / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        with_swap = self._memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():
            with_swap.write_text(str(limits.memory_bytes))
        (self._pids / "pids.max").write_text(str(limits.processes + OWN_PROCESSES))
        (self._memory / "memory.max_usage_in_bytes").write_text("0")
        if self._cpu is not None:
            (self._cpu / "cpuacct.usage").write_text("0")

    def usage(self) -> Usage:
        """Say what the group uses."""
        control = _fields(self._memory / "memory.oom_control")
        cpu_ns = 0 if self._cpu is None else _number(self._cpu / "cpuacct.usage")
        return Usage(
            peak_bytes=_number(self._memory / "memory.max_usage_in_bytes"),
            cpu_s=cpu_ns / 1e9,
            oom=control.get("oom_kill", 0) > 0,
        )


class GroupV2(Group):
    """A folder of the unified hierarchy."""

    def __init__(self, parent: Path, name: str) -> None:
        self._folder = parent / name
        self._folder.mkdir()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the group."""
        return (self._folder,)

    def limit(self, limits: Limits) -> None:
        """Set memory (no swap) and process limits; one process over it ends them all."""
        (self._folder / "memory.max").write_text(str(limits.memory_bytes))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(FileNotFoundError):
                (self._folder / name).write_text(value)
        (self._folder / "pids.max").write_text(str(limits.processes + OWN_PROCESSES))

    def usage(self) -> Usage:
        """Say what the group uses."""
        events = _fields(self._folder / "memory.events")
        cpu = _fields(self._folder / "cpu.stat")
        return Usage(
            peak_bytes=_number(self._folder / "memory.peak"),
            cpu_s=cpu.get("usage_usec", 0) / 1e6,
            oom=events.get("oom_kill", 0) > 0,
        )


class Cgroups:
    """Makes groups below the places where this process may."""

    def __init__(self, version: int, parents: Mapping[str, Path]) -> None:
        self.version = version
        self._parents = dict(parents)
        self._sweep()

    def make(self) -> Group:
        """Make a fresh group.

        Raises:
            OSError: The kernel refuses.
        """
        if self.version == 1:
            return GroupV1(self._parents, unique_name())
        return GroupV2(self._parents["unified"], unique_name())

    def _sweep(self) -> None:
        """Remove groups of owners that are no more, with whatever still runs in them."""
        for parent in self._parents.values():
            for name in os.listdir(parent):
                if owner_is_dead(name):
                    _clear(parent / name)


def _clear(folder: Path) -> None:
    """Kill what runs in a folder and remove it; gives up after a moment."""
    for _ in range(SWEEP_TRIES):
        for pid in _numbers(folder / "cgroup.procs"):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(SWEEP_WAIT_S)
        else:
            return


def find_cgroups(root: Path = _ROOT, delegated: Path | None = None) -> Cgroups | None:
    """Find where groups can be made, by trying it; None where nothing is permitted.

    Args:
        root: Where the cgroup file systems are mounted.
        delegated: A version 2 group handed over to us for this purpose.
    """
    own = _own_groups()
    for version, parents in (
        (2, _unified(root, own, delegated)),
        (1, _version_1(root, own)),
    ):
        if parents is None:
            continue
        try:
            cgroups = Cgroups(version, parents)
            group = cgroups.make()
        except OSError:
            continue
        try:
            group.limit(_TRIAL)
        except OSError:
            continue
        finally:
            group.remove()
        return cgroups
    return None


_TRIAL = Limits(
    memory_bytes=64 * 2**20,
    processes=8,
    cpu_s=1,
    wall_s=1,
    output_bytes=1,
    log_bytes=1,
    disk_bytes=1,
)


def _unified(root: Path, own: Mapping[str, str], delegated: Path | None) -> dict[str, Path] | None:
    if delegated is not None:
        return {"unified": delegated}
    here = root / own.get("", "/").lstrip("/")
    for folder in (here, here.parent):
        if _controllers(folder / "cgroup.subtree_control") >= {"memory", "pids"}:
            return {"unified": folder}
    return None


def _version_1(root: Path, own: Mapping[str, str]) -> dict[str, Path] | None:
    parents: dict[str, Path] = {}
    for controller in ("memory", "pids", "cpuacct"):
        mounted = root / controller
        here = mounted / own.get(controller, "/").lstrip("/")
        for folder in (here, mounted):  # in a container our own path may not be visible
            if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK):
                parents[controller] = folder
                break
    return parents if {"memory", "pids"} <= parents.keys() else None


def _own_groups() -> dict[str, str]:
    groups: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _controllers(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except OSError:
        return set()


def _fields(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except OSError:
        return {}


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError:
        return 0


def _numbers(path: Path) -> list[int]:
    try:
        return [int(value) for value in path.read_text().split()]
    except OSError:
        return []
