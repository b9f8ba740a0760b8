"""Child processes: how one is started, and how one that was started is recognised later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.home import FILE_MODE, read_object, write_private

LAUNCHER: Final = Path(__file__).with_name("launch.py")
LOG_LIMIT_BYTES: Final = 16 * 1024 * 1024  # a larger log is set aside at the next start
POLL_S: Final = 0.02
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STAT_START = 19  # field 22 of /proc/PID/stat, counted after the command's closing bracket


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a program started by root loses.

    Attributes:
        uid: user to become.
        gid: group to become.
        cover: folder nobody else may enter, to be hidden in a private mount namespace.
        keep: folder below `cover` that stays reachable.
    """

    uid: int
    gid: int
    cover: Path | None = None
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, probe and end one child.

    Attributes:
        name: unique within a supervisor; names its log and its process record.
        argv: program (absolute path) and arguments.
        environment: the whole environment of the child.
        folder: working directory.
        log: file that receives stdout and stderr.
        probe: True once the child is ready; must return within about a second.
        before_start: work to do before each start, such as waiting for a predecessor's remains.
        stop_signal: asks for a graceful end.
        death_signal: sent by the kernel when the supervisor dies.
        ready_within_s: bound of the wait for readiness.
        stop_within_s: bound of the graceful end; SIGKILL follows.
        confinement: what root gives up for it, or None.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    probe: Callable[[], bool]
    before_start: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    ready_within_s: float = 30.0
    stop_within_s: float = 10.0
    confinement: Confinement | None = None


def launch_argv(
    argv: tuple[str, ...],
    death_signal: signal.Signals,
    confinement: Confinement | None,
    passwd: Path | None = None,
) -> list[str]:
    """Command line that starts `argv` tied to the life of this process's calling thread.

    Args:
        argv: program (absolute path) and arguments.
        death_signal: sent to it when that thread ends.
        confinement: what root gives up for it, or None.
        passwd: shown to it as /etc/passwd, for a user without an account and without confinement.
    """
    identity = cover = keep = "-"
    if passwd is not None:
        identity = f"={passwd}"
    if confinement is not None:
        identity = f"{confinement.uid}:{confinement.gid}"
        if confinement.cover is not None and confinement.keep is not None:
            cover, keep = str(confinement.cover), str(confinement.keep)
    shim = [sys.executable, "-I", "-S", str(LAUNCHER), str(int(death_signal)), str(os.getpid())]
    return [*shim, identity, cover, keep, *argv]


def open_log(path: Path) -> int:
    """Open a log for appending; one grown beyond its limit is first set aside as `.1`."""
    try:
        if path.stat().st_size > LOG_LIMIT_BYTES:
            _ = path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)


def spawn(spec: ChildSpec) -> subprocess.Popen[bytes]:
    """Start a child. Call it from the main thread: the child dies with the calling thread."""
    log = open_log(spec.log)
    try:
        return subprocess.Popen(
            launch_argv(spec.argv, spec.death_signal, spec.confinement),
            env=dict(spec.environment),
            cwd=spec.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for the supervisor alone
        )
    finally:
        os.close(log)


def log_tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(content.splitlines()[-lines:])


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Poll `condition` until it holds; False when `within_s` seconds were not enough."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for certain: its pid, when it started, and in which boot of the machine."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a process that exists now (a zombie does not count)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        if fields[0] in ("Z", "X"):
            return None
        return cls(pid, int(fields[_STAT_START]), _BOOT_ID.read_text().strip())

    def alive(self) -> bool:
        """Tell whether this very process still exists."""
        return Identity.of(self.pid) == self

    def end(self, first: signal.Signals, within_s: float) -> None:
        """Signal it, wait, then kill it; without effect when it has gone."""
        for number, bound in ((first, within_s), (signal.SIGKILL, within_s)):
            if not self.alive():
                return
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return
            if wait_until(lambda: not self.alive(), bound):
                return

    def record(self, path: Path) -> None:
        """Write it down for a later start."""
        document = {"pid": self.pid, "start_ticks": self.start_ticks, "boot_id": self.boot_id}
        write_private(path, json.dumps(document) + "\n", durable=False)

    @classmethod
    def recorded(cls, path: Path) -> Identity | None:
        """Read a record; None when there is none or it is not one."""
        return cls.told(read_object(path) or {})

    @classmethod
    def told(cls, document: Mapping[str, object]) -> Identity | None:
        """Take it from a document that holds one; None when it does not."""
        pid, ticks, boot = (document.get(key) for key in ("pid", "start_ticks", "boot_id"))
        if isinstance(pid, int) and isinstance(ticks, int) and isinstance(boot, str):
            return cls(pid, ticks, boot)
        return None


def processes_in(folder: Path) -> Iterator[int]:
    """Pids whose working directory is `folder` itself, seen through any mount namespace."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            found = (entry / "cwd").stat()
        except OSError:
            continue  # gone, or not ours to look at
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            yield int(entry.name)
