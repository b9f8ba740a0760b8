"""A spawned program and its end, without threads and without the loop's child watcher.

The end is awaited through a pidfd, so it works alike under asyncio and uvloop, and the program is
reaped with `wait4`, which also tells its CPU time. Programs are spawned on the loop's own thread:
a parent-death signal is tied to the thread that forked, so a worker thread would not do.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from penstock_runtime.ports.sandbox import Limits

SIGNAL_BASE = 128
"""Exit codes above this mean "ended by signal code - 128", as shells report it."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended.

    `code` is `128 + signal` for one that a signal ended. `max_rss_bytes` is an upper bound: the
    kernel counts in what the child shared with us before it became another program.
    """

    code: int
    cpu_s: float
    max_rss_bytes: int


class Child:
    """One spawned program with its stdout and stderr pipes.

    Attributes:
        pid: Its process id.
        stdout: Reading end of its stdout, non-blocking.
        stderr: Reading end of its stderr, non-blocking.
    """

    def __init__(self, process: subprocess.Popen[bytes], stdout: int, stderr: int) -> None:
        self._process = process
        self.pid = process.pid
        self.stdout = stdout
        self.stderr = stderr
        self._pidfd = os.pidfd_open(process.pid)
        self._exit: Exit | None = None

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        stdin: int | None = None,
    ) -> Child:
        """Start a program in a session of its own, its stdin empty or the descriptor given.

        Raises:
            OSError: The program cannot be started.
        """
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=out_write,
                stderr=err_write,
                env=dict(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except OSError:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
        os.set_blocking(out_read, False)
        os.set_blocking(err_read, False)
        return cls(process, out_read, err_read)

    def limit(self, limits: Limits, file_bytes: int) -> None:
        """Set the resource limits that hold per process; children inherit them.

        Args:
            limits: of the task.
            file_bytes: of any one file written.
        """
        cpu_s = max(1, int(limits.cpu_s + 0.999))
        for kind, soft, hard in (
            (resource.RLIMIT_CORE, 0, 0),
            (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
            (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
            (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        ):
            lower_limit(self.pid, kind, soft, hard)

    async def wait(self) -> Exit:
        """Wait until the program has ended and reap it. May be called by one waiter at a time."""
        if self._exit is None:
            await wait_readable(self._pidfd)
            self._exit = self._reap()
        return self._exit

    def _reap(self) -> Exit:
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:  # somebody else reaped it: its status is lost, its end is not
            self._process.returncode = SIGNAL_BASE + signal.SIGKILL
            return Exit(SIGNAL_BASE + signal.SIGKILL, 0.0, 0)
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else SIGNAL_BASE - code
        self._process.returncode = code
        return Exit(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    @property
    def ended(self) -> bool:
        """True once the end was seen by `wait`."""
        return self._exit is not None

    def has_ended(self) -> bool:
        """Whether it has ended at this moment, seen or not."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return self._exit is not None or bool(poll.poll(0))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program unless it has ended."""
        if self._exit is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Release the descriptors; kills and reaps a program that still runs."""
        if self._pidfd < 0:
            return
        if self._exit is None:
            self.send(signal.SIGKILL)
            self._exit = self._reap()
        for fd in (self.stdout, self.stderr, self._pidfd):
            os.close(fd)
        self._pidfd = -1


def lower_limit(pid: int, kind: int, soft: int, hard: int) -> None:
    """Set a resource limit of a process, never above the hard limit it already has."""
    with suppress(ProcessLookupError, PermissionError):
        _, ceiling = resource.prlimit(pid, kind)
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.prlimit(pid, kind, (soft, hard))


async def wait_readable(fd: int) -> None:
    """Wait until a descriptor is readable; for a pidfd that is the end of its process."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, settle)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
