"""A supervisor in the background: run one until a signal, start one, stop one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

from penstock_adapters.embedded.faults import AlreadyRunningError, StartFailedError
from penstock_adapters.embedded.home import FolderLock, StateFolder
from penstock_adapters.embedded.processes import POLL_S, log_tail, open_log, wait_until
from penstock_adapters.embedded.stack import LEFTOVERS_WITHIN_S, EmbeddedStack
from penstock_adapters.embedded.status import StackState, StackStatus, read_status
from penstock_adapters.embedded.supervisor import end_leftovers

UP_WITHIN_S: Final = 180.0
DOWN_WITHIN_S: Final = 90.0
KILLED_WITHIN_S: Final = 10.0
SUPERVISOR: Final = "supervisor"


async def supervise(stack: EmbeddedStack) -> None:
    """Start `stack`, keep it up until a signal asks for the end, stop it.

    A signal during the start ends the start.

    Raises:
        EmbeddedError: it did not start.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last when its terminal closes
    for number in signals:
        loop.add_signal_handler(number, asked.set)
    start = asyncio.create_task(stack.start())
    stop = asyncio.create_task(asked.wait())
    try:
        _ = await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            await start
            _ = await stop
    finally:
        for task in (start, stop):
            _ = task.cancel()
        _ = await asyncio.gather(start, stop, return_exceptions=True)
        await stack.stop()
        for number in signals:
            _ = loop.remove_signal_handler(number)


def up(
    folder: StateFolder,
    argv: Sequence[str],
    environ: Mapping[str, str] | None = None,
    within_s: float = UP_WITHIN_S,
) -> StackStatus:
    """Start a supervisor in the background and wait until its stack is ready.

    Args:
        folder: the state folder it will use.
        argv: command that supervises that folder in the foreground.
        environ: its environment (default: this process's).
        within_s: bound of the wait, seconds; then it is stopped again.

    Raises:
        AlreadyRunningError: a supervisor already runs there.
        StartFailedError: it ended, or was not ready in time; the message says why.
    """
    folder.create()
    with FolderLock(folder):  # refuses at once, and without a trace, if one runs
        folder.status.unlink(missing_ok=True)
    log_path = folder.log_file(SUPERVISOR)
    log = open_log(log_path)
    try:
        process = subprocess.Popen(
            list(argv),
            env=dict(os.environ if environ is None else environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # outlives this terminal
        )
    finally:
        os.close(log)
    status = StackStatus(StackState.STARTING)
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        ended = process.poll() is not None
        status = read_status(folder)
        if status.state is StackState.READY:
            process.returncode = 0  # left running on purpose: nothing to warn about
            return status
        if ended:
            text = status.fault or f"the supervisor ended:\n{log_tail(log_path)}"
            raise StartFailedError(text)
        time.sleep(POLL_S)
    process.terminate()
    process.wait(DOWN_WITHIN_S)
    raise StartFailedError(f"not ready within {within_s:g} s; see {folder.logs}")


def down(folder: StateFolder, within_s: float = DOWN_WITHIN_S) -> bool:
    """Stop the supervisor of `folder` and wait until nothing of it runs.

    Also ends what a supervisor that died may have left behind.

    Returns:
        False when nothing ran.

    Raises:
        AlreadyRunningError: another supervisor took the folder meanwhile.
    """
    if not folder.run.is_dir():
        return False
    supervisor = read_status(folder).supervisor
    if supervisor is not None:
        supervisor.end(signal.SIGTERM, within_s)
    lock = FolderLock(folder)
    if not wait_until(lambda: _acquired(lock), KILLED_WITHIN_S):
        lock.acquire()
    try:
        left = end_leftovers(folder.run, LEFTOVERS_WITHIN_S)
    finally:
        lock.release()
    return supervisor is not None or bool(left)


def _acquired(lock: FolderLock) -> bool:
    try:
        lock.acquire()
    except AlreadyRunningError:
        return False
    return True
