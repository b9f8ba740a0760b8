"""Starting bwrap, with a few processes parked at the gate.

bwrap reads its last arguments from a pipe, before it makes any namespace. A process that waits
there already sits in its cgroup, so that a task begins with one write: joining a cgroup can cost
15 ms after a quiet moment, spawning a millisecond. What isolates is given on the command line;
what arrives by the pipe only adds to what can be seen, and the program to run comes last: if we
die in the middle of the write, nothing runs.

If we die before it, bwrap must not begin: it binds its life to ours only after it has made its
first process, which stays for ever if bwrap is ended in between. So the arguments before the pipe
end in `--perms`, which the first of the pipe has to use; without it bwrap refuses at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from penstock_adapters.bubblewrap.cgroups import Cgroups, Group
from penstock_adapters.bubblewrap.identity import NAMESPACE_FD, Identity
from penstock_adapters.process.child import Child

REFILL_DELAY_S = 0.05
"""Seconds after a start until a new process is parked, so as not to slow that start."""

STATUS_BYTES = 64 * 1024
"""Bytes read from bwrap's status pipe at once."""

PIPE_BYTES = 64 * 1024
"""What a pipe holds unless it is made larger."""

ARGUMENT_BYTES = 1024 * 1024
"""Most that one task's mounts, and its environment, may take each."""

REMOVE_TRIES = 50
REMOVE_WAIT_S = 0.02

LAUNCH_SCRIPT = "/penstock/.launch"
"""Shell script inside the sandbox that sets the environment and becomes the agent.

The environment is set here and not by bwrap: a variable like LD_PRELOAD must not reach the
program that gives up root. The script is never on a disk, for it holds secrets."""

_FIRST = ("--dir", "/penstock")
"""What takes up the `--perms` that the command line ends in before the pipe."""

_TAKE_NAMESPACE = (
    "/bin/sh",
    "-c",
    f'exec "$@" {NAMESPACE_FD}<&0 </dev/null',
    "penstock-sandbox",
)
_NAMESPACES = (
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
_ISOLATION = (
    "--hostname",
    "penstock",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--clearenv",
    "--setenv",
    "PATH",
    "/usr/bin:/bin",
)


@dataclass
class Slot:
    """A bwrap that waits for the rest of its arguments, or runs."""

    child: Child
    group: Group | None
    arguments: int
    script: int
    script_at: int
    status: int
    pid1: int | None = None
    exit_code: int | None = None
    _text: bytes = field(default=b"", repr=False)

    def start(self, arguments: Sequence[str], script: bytes) -> None:
        """Hand over the script to run and the arguments; from here the task runs.

        Raises:
            OSError: They are too large for a pipe.
        """
        last = ("--perms", "0444", "--ro-bind-data", str(self.script_at), LAUNCH_SCRIPT)
        data = b"".join(os.fsencode(item) + b"\0" for item in (*_FIRST, *arguments, *last))
        script_end, self.script = self.script, -1
        _fill(script_end, script)
        arguments_end, self.arguments = self.arguments, -1
        _fill(arguments_end, data)

    def read_status(self) -> bool:
        """Take in what bwrap tells: the sandbox's pid 1, and the agent's exit code.

        Returns:
            False once it has told everything.
        """
        more = True
        with suppress(BlockingIOError):
            while data := os.read(self.status, STATUS_BYTES):
                self._text += data
            more = False
        for line in self._text.splitlines():
            with suppress(ValueError):
                told: dict[str, int] = json.loads(line)
                self.pid1 = told.get("child-pid", self.pid1)
                self.exit_code = told.get("exit-code", self.exit_code)
        return more

    @property
    def alive(self) -> bool:
        """Whether the process still waits."""
        return not self.child.has_ended()

    async def close(self) -> None:
        """Kill what is left, and remove the group."""
        for fd in (self.arguments, self.script, self.status):
            if fd >= 0:
                os.close(fd)
        self.arguments = self.script = self.status = -1
        self.child.close()
        if self.group is None:
            return
        for _ in range(REMOVE_TRIES):
            if await asyncio.to_thread(self.group.remove):  # half a millisecond for each folder
                return
            self.group.kill()
            await asyncio.sleep(REMOVE_WAIT_S)


class Launcher:
    """Spawns bwrap processes and keeps `spare` of them parked."""

    def __init__(
        self,
        bwrap: str,
        identity: Identity,
        program: bytes | None,
        cgroups: Cgroups | None,
        spare: int,
    ) -> None:
        self._bwrap = bwrap
        self._identity = identity
        self._program = program
        self._cgroups = cgroups
        self._spare = spare
        self._parked: list[Slot] = []
        self._refilling: asyncio.Task[None] | None = None

    async def take(self) -> Slot:
        """Get a bwrap that waits for its arguments.

        Raises:
            OSError: It cannot be spawned.
        """
        while self._parked:
            slot = self._parked.pop()
            self._refill()
            if slot.alive:
                return slot
            await slot.close()
        slot = await self._spawn()
        self._refill()
        return slot

    def _refill(self) -> None:
        if self._spare > 0 and (self._refilling is None or self._refilling.done()):
            self._refilling = asyncio.create_task(self._park())

    async def _park(self) -> None:
        await asyncio.sleep(REFILL_DELAY_S)
        while len(self._parked) < self._spare:
            try:
                self._parked.append(await self._spawn())
            except OSError:  # the next take() tries for itself, and reports
                return

    async def _spawn(self) -> Slot:
        arguments_read, arguments_write = _high_pipe()
        script_read, script_write = _high_pipe()
        status_read, status_write = _high_pipe()
        filter_fd = _memory_file(self._program)
        passed = [arguments_read, script_read, status_write]
        passed += [] if filter_fd is None else [filter_fd]
        command = self._command(arguments_read, status_write, filter_fd)
        try:
            child = Child.spawn(command, env={}, pass_fds=passed, stdin=self._identity.namespace)
        except OSError:
            os.close(arguments_write)
            os.close(script_write)
            os.close(status_read)
            raise
        finally:
            for fd in passed:
                os.close(fd)
        os.set_blocking(status_read, False)
        slot = Slot(child, None, arguments_write, script_write, script_read, status_read)
        try:
            if self._cgroups is not None:
                slot.group = self._cgroups.make()
                await asyncio.to_thread(slot.group.join, child.pid)
        except BaseException:
            await slot.close()
            raise
        return slot

    def _command(self, arguments: int, status: int, filter_fd: int | None) -> list[str]:
        command = [self._bwrap, *_NAMESPACES, *_ISOLATION, *self._identity.flags]
        if filter_fd is not None:
            command += ["--seccomp", str(filter_fd)]
        command += ["--json-status-fd", str(status)]
        command += ["--perms", "0755", "--args", str(arguments)]
        command += ["--remount-ro", "/", "--chdir", "/penstock/work"]
        command += ["--", *self._identity.prefix, "/bin/sh", LAUNCH_SCRIPT]
        return command if self._identity.namespace is None else [*_TAKE_NAMESPACE, *command]

    async def close(self) -> None:
        """End the parked processes."""
        if self._refilling is not None:
            self._refilling.cancel()
            await asyncio.wait({self._refilling})
        while self._parked:
            await self._parked.pop().close()


def _fill(pipe: int, data: bytes) -> None:
    """Write all data into an empty pipe at once, and close it."""
    try:
        if len(data) > ARGUMENT_BYTES:
            raise OSError("the task's environment and mounts are too large")
        os.set_blocking(pipe, False)
        if len(data) > PIPE_BYTES:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, len(data))
        if os.write(pipe, data) != len(data):
            raise OSError("the task's environment and mounts are too large")
    finally:
        os.close(pipe)


def _high(fd: int) -> int:
    """Move a descriptor out of the way of the one number that is spoken for."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, NAMESPACE_FD + 1)
    os.close(fd)
    return moved


def _high_pipe() -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    return _high(read), _high(write)


def _memory_file(data: bytes | None) -> int | None:
    if data is None:
        return None
    fd = _high(os.memfd_create("penstock-seccomp", os.MFD_CLOEXEC))
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
