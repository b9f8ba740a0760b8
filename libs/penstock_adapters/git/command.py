"""Running git: an argument list, a clean environment, a bounded answer and an end.

Under root a command on somebody's repository runs as that somebody. So what it writes has the
right owner by itself, and a link planted in the repository leads nowhere its owner could not go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from penstock_adapters.process.child import wait_readable
from penstock_adapters.process.leftovers import owned
from penstock_runtime.ports.repositories import RepositoryRefused

COMMAND_TIMEOUT_S = 60.0
"""Seconds for one command, or for two joined by a pipe."""

KILL_WAIT_S = 5.0
"""Seconds until a killed command has to be gone."""

OUTPUT_BYTES_MAX = 64 * 1024 * 1024
"""Most that is read of a command's answer unless the caller wants less."""

_ERROR_BYTES = 4 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Actor:
    """Who runs a command.

    Attributes:
        uid: None for whoever we are.
        gid: goes with it.
        umask: of the files it makes; None for ours.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int | None = None


OURSELVES = Actor(umask=0o077)


class CommandFailed(RepositoryRefused):
    """git said no; the message carries the first line of what it said."""


class TooMuchOutput(RepositoryRefused):
    """git said more than was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave: its exit code and its stdout."""

    code: int
    out: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """One call of git.

    Attributes:
        args: behind `git`.
        env: the whole environment; see `environment`.
    """

    args: Sequence[str]
    env: Mapping[str, str]
    actor: Actor = OURSELVES

    def spawn(self, stdin: int, stdout: int, stderr: int) -> Running:
        """Start it in a session of its own.

        Raises:
            CommandFailed: there is no git, or we may not act as the repository's owner.
        """
        actor = self.actor
        try:
            process = subprocess.Popen(
                ["git", *self.args],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**self.env, **owned()},
                cwd="/",
                start_new_session=True,
                user=actor.uid,
                group=actor.gid,
                extra_groups=None if actor.uid is None else (),
                umask=-1 if actor.umask is None else actor.umask,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CommandFailed(f"git cannot be started here: {error}") from None
        return Running(process)


class Running:
    """A started command; closing it kills what is left of it and reaps it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)

    async def ended(self) -> int:
        """Wait for the end and give the exit code."""
        await wait_readable(self._pidfd)
        return self._process.wait(KILL_WAIT_S)

    def close(self) -> None:
        """Leave no process behind."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_WAIT_S)
        os.close(self._pidfd)


async def run(
    command: Command,
    *,
    stdin: bytes = b"",
    accept: Sequence[int] = (0,),
    limit: int = OUTPUT_BYTES_MAX,
) -> Answer:
    """Run a command to its end.

    Raises:
        CommandFailed: another exit code than one of `accept`, or out of time.
        TooMuchOutput: more than `limit` bytes.
    """
    with ExitStack() as stack:
        given = _filled(stdin, stack)
        out_read, out_write = _pipe(stack)
        err_read, err_write = _pipe(stack)
        running = command.spawn(given, out_write.fileno(), err_write.fileno())
        stack.callback(running.close)
        out_write.close()
        err_write.close()
        name = command.args[0]
        async with _in_time(name):
            errors = asyncio.create_task(_read(err_read, None))
            try:
                out = await _read(out_read, limit)
                if out is None:
                    raise TooMuchOutput(f"git {name} said more than {limit} bytes")
                code = await running.ended()
                said = await errors
            finally:
                errors.cancel()
    if code not in accept:
        raise _failed(name, code, said)
    return Answer(code, out)


async def pipe(source: Command, sink: Command, *, stdin: bytes) -> None:
    """Run two commands, the first writing to the second.

    Raises:
        CommandFailed: either failed.
    """
    with ExitStack() as stack:
        given = _filled(stdin, stack)
        between_read, between_write = _pipe(stack)
        source_read, source_errors = _pipe(stack)
        sink_read, sink_errors = _pipe(stack)
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        stack.callback(os.close, nowhere)
        first = source.spawn(given, between_write.fileno(), source_errors.fileno())
        stack.callback(first.close)
        second = sink.spawn(between_read.fileno(), nowhere, sink_errors.fileno())
        stack.callback(second.close)
        for end in (between_read, between_write, source_errors, sink_errors):
            end.close()
        async with _in_time(source.args[0]):
            told = asyncio.gather(_read(source_read, None), _read(sink_read, None))
            try:
                codes = (await first.ended(), await second.ended())
                said = await told
            finally:
                told.cancel()
    for command, code, words in zip((source, sink), codes, said, strict=True):
        if code != 0:
            raise _failed(command.args[0], code, words)


class _in_time:  # noqa: N801 - reads as the statement it is
    """`asyncio.timeout` whose end is a refusal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._timeout = asyncio.timeout(COMMAND_TIMEOUT_S)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, None)
        except TimeoutError:
            raise CommandFailed(
                f"git {self._name} took longer than {COMMAND_TIMEOUT_S:g} s"
            ) from None


class _End:
    """One end of a pipe, closed once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def taken(self) -> int:
        """Hand the descriptor over to somebody who closes it."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self.taken())


def _pipe(stack: ExitStack) -> tuple[_End, _End]:
    read, write = (_End(fd) for fd in os.pipe2(os.O_CLOEXEC))
    stack.callback(read.close)
    stack.callback(write.close)
    return read, write


def _filled(content: bytes, stack: ExitStack) -> int:
    """A descriptor that reads as `content`; a file in memory never blocks a writer."""
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def _read(end: _End, limit: int | None) -> bytes | None:
    """Read to the end; more than `limit` gives None. Without a limit the beginning is enough."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(end.taken(), "rb", 0)
    )
    try:
        parts: list[bytes] = []
        size = 0
        while chunk := await reader.read(_CHUNK):
            size += len(chunk)
            if limit is not None and size > limit:
                return None
            if limit is not None or size <= _ERROR_BYTES:
                parts.append(chunk)
        return b"".join(parts)
    finally:
        transport.close()


def _failed(name: str, code: int, said: bytes | None) -> CommandFailed:
    lines = (said or b"").decode("utf-8", "replace").strip().splitlines()
    words = next((line for line in lines if line.startswith(("fatal:", "error:"))), "")
    return CommandFailed(f"git {name}: {words or (lines[0] if lines else f'exit code {code}')}")
