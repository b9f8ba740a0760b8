"""Runs one task from its order to its end."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import binascii
import marshal
import os
import select
import time

from .speech import Channel, Tape
from .task import Task

ORDER = "/penstock/.order"

_TICK_S = 0.1
_SIGCHLD = 17


def noted(_number: int, _frame: object) -> None:
    """Handle a signal by the byte in the wakeup pipe alone."""


def watch(task: Task, channel: Channel | None, wall_s: float) -> None:
    """Wait for the agent's end, or bring it about."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(awake, False)
    _signal.signal(_SIGCHLD, noted)  # pyright: ignore[reportUnknownMemberType]
    _signal.set_wakeup_fd(wake)  # pyright: ignore[reportUnknownMemberType]
    task.reap()
    deadline, tick = time.monotonic() + wall_s, time.monotonic() + _TICK_S
    while task.code is None:
        poll = select.poll()
        poll.register(awake, select.POLLIN)
        if channel is not None:
            poll.register(channel.socket, channel.waits())
        if channel is None or not channel.full:
            for fd in task.pipes:
                poll.register(fd, select.POLLIN)
        for fd, events in poll.poll(max(0, int((tick - time.monotonic()) * 1000))):
            if fd in task.pipes:
                task.read(fd)
            elif fd == awake:
                os.read(awake, 512)
            elif channel is not None:
                obey(task, channel, events)
        task.reap()
        if time.monotonic() >= tick:
            tick = time.monotonic() + _TICK_S
            task.look()
        if time.monotonic() > deadline:
            task.end(b"W")


def obey(task: Task, channel: Channel, events: int) -> None:
    """Do what the executor asks for."""
    if events & select.POLLOUT:
        channel.send()
    if events & ~select.POLLOUT:
        for kind, _ in channel.heard():
            if kind == b"T":
                task.terminate()
            elif kind in (b"K", b"B"):
                task.end(b"K")
    if channel.closed:
        task.end(b"K")


def main(arguments: list[str]) -> int:
    """Run one task: `TOKEN` for one with a channel, nothing for one that is remembered."""
    if arguments:
        channel = Channel(arguments[0].encode())
        order = channel.started()
        channel.socket.setblocking(False)
        task = Task(order, channel)
        watch(task, channel, order["wall_s"])
        task.bury()
        channel.finish()
        return 0
    with open(ORDER, "rb") as file:
        # penstock: ignore[unsafe-deserialisation] -- the order is the executor's own
        order = marshal.loads(binascii.a2b_base64(file.read()))  # noqa: S302 - the executor's own
    os.unlink(ORDER)
    tape = Tape(order["log_bytes"])
    task = Task(order, tape)
    watch(task, None, order["wall_s"])
    task.bury()
    tape.keep()
    return 0 if task.code == 0 and task.stop == b"-" else 1
