"""The Dagger adapter: one container per task on an engine, with a first process of our own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_adapters.dagger.channel import Exchange
from penstock_adapters.dagger.connection import Connection
from penstock_adapters.dagger.documents import Step, Word, chained, innermost
from penstock_adapters.dagger.driving import Driver, Lost, NotStarted
from penstock_adapters.dagger.faults import EngineAway, Refused
from penstock_adapters.dagger.images import Bases, Image, image_of
from penstock_adapters.dagger.interpreter import gather, trial_command
from penstock_adapters.dagger.libraries import CannotCollect
from penstock_adapters.dagger.orders import order_of, patience, uid_of, with_artifacts
from penstock_adapters.dagger.recalling import NO_END_S, recall
from penstock_adapters.dagger.session import Session
from penstock_adapters.dagger.shipping import (
    Bundles,
    channel_step,
    mounting,
    secret_steps,
    take_back,
)
from penstock_adapters.dagger.waits import DEFAULT_WAITS, Waits
from penstock_adapters.egress import EgressDecision, EgressPolicy, EgressProxy
from penstock_adapters.process.adapter import DEFAULT_GRACE_S, start_failed
from penstock_adapters.process.asked import BadSpec, check_spec
from penstock_adapters.process.scratch import Scratch
from penstock_adapters.process.seccomp import UnknownMachine, filter_program
from penstock_adapters.process.supervision import complete, outcome
from penstock_contracts.images import ImageFault
from penstock_runtime.ports.sandbox import (
    ARTIFACTS_PLACE,
    INSIDE_ROOT,
    ExitReason,
    Limits,
    LogLine,
    Mount,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

SOCKET_PATH_BYTES = 100
"""Longest path of a Unix socket, with a little room."""

LONGEST_NAME = len("/.sock") + 32

_TRIAL_LIMITS = Limits(
    memory_bytes=256 * 2**20,
    processes=16,
    cpu_s=10,
    wall_s=20,
    output_bytes=1024,
    log_bytes=16 * 1024,
    disk_bytes=2**20,
)
_ISOLATION = "a container of a Dagger engine, a uid of its own, no capabilities, seccomp, {network}"
_MENDS = "start the engine, or set PENSTOCK_DAGGER_ENGINE to one that runs"


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is made once.

    Attributes:
        command: starts a container's first process; a token follows.
        closed: the call filter that refuses every network.
        open: the one for agents that may use the engine's network.
    """

    command: tuple[str, ...]
    bases: Bases
    exchange: Exchange
    closed: bytes
    open: bytes


class DaggerSandbox:
    """Runs agents in containers of a Dagger engine. See the sandbox port for the contract.

    Args:
        scratch: Folder for temporaries; made 0700 if absent. Leftovers of dead owners go.
        cli: The `dagger` program; None looks on PATH.
        engine: Runner host (`unix://`, `tcp://`, `docker-container://`); None leaves it to the CLI.
        image: Files of agents that name no image.
        readable: Folders that agents read in this machine's own files: the SDK's.
        network: Agents with egress use the engine's own network, which decides what they reach;
            else they have the executor's proxy, and no network.
        on_egress: Told each decision of a task's egress proxy, with the task's id.
        grace_s: Seconds between SIGTERM and SIGKILL at a timeout.
        waits: How long an engine may take for everything.
    """

    def __init__(  # noqa: PLR0913 - an operator's settings, each by its name
        self,
        scratch: Path,
        *,
        cli: Path | None = None,
        engine: str | None = None,
        image: Image = None,
        readable: Iterable[Path] = (),
        network: bool = False,
        on_egress: Callable[[str, EgressDecision], None] | None = None,
        grace_s: float = DEFAULT_GRACE_S,
        waits: Waits = DEFAULT_WAITS,
    ) -> None:
        self._scratch = Scratch(scratch)
        self._image = image
        self._readable = tuple(readable)
        self._network = network
        self._on_egress = on_egress
        self._grace_s = grace_s
        self._waits = waits
        self._connection = Connection(cli, engine, self._scratch.task_folder(), waits)
        self._bundles = Bundles()
        self._sockets: dict[Session, str] = {}
        self._short: Scratch | None = None
        self._prepared: asyncio.Task[_Ready] | None = None
        self._running: set[asyncio.Task[SandboxResult]] = set()
        self._finishing: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def check(self) -> SandboxHealth:
        """Say whether tasks can run, by running one on the engine."""
        network = "the engine's network on request" if self._network else "no network"
        isolation = _ISOLATION.format(network=network)
        bundle = self._scratch.task_folder()
        bundle.chmod(0o755)
        spec = SandboxSpec("trial", bundle, trial_command(), b"{}", _TRIAL_LIMITS)
        try:
            result = await self.run(spec, lambda _: None)
        finally:
            self._scratch.remove(bundle)
        if result.reason is ExitReason.EXITED and result.exit_code == 0:
            return SandboxHealth("dagger", isolation, True, (), None, None)
        return SandboxHealth("dagger", "none", False, (), result.detail, _MENDS)

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run one task; see the port."""
        if self._closed:
            return _away("the sandbox is closed")
        task = asyncio.create_task(self._run(spec, on_log))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await outcome(task)

    async def _run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        try:
            check_spec(spec)
            spec = with_artifacts(spec)
            image = self._image if spec.image is None else image_of(spec.image, spec.bundle)
        except (BadSpec, ImageFault) as error:
            return start_failed(str(error))
        try:
            ready = await self._ready()
            session = await self._connection.session()
            try:
                base = await ready.bases.base(session, image)
            except Refused as refusal:
                if spec.image is None:
                    return _away(f"the files that agents run in cannot be used: {refusal}")
                return start_failed(f"the image {spec.image} cannot be used: {refusal}")
            return await self._run_in(ready, session, base, spec, on_log)
        except (EngineAway, NotStarted, CannotCollect, UnknownMachine) as fault:
            return _away(str(fault))
        except Refused as refusal:
            return _away(f"the engine refuses: {refusal}")
        except Lost as loss:
            return SandboxResult(ExitReason.LOST, None, None, None, str(loss), 0.0, 0.0, 0, False)

    async def _run_in(
        self,
        ready: _Ready,
        session: Session,
        base: str,
        spec: SandboxSpec,
        on_log: Callable[[LogLine], None],
    ) -> SandboxResult:
        uid = uid_of(spec.memo)
        steps = await self._steps(session, base, spec, uid)
        program = ready.open if self._network and spec.egress else ready.closed
        own = spec.image is None and self._image is None
        if spec.memo is not None and not spec.secrets and not spec.egress:
            order = order_of(spec, uid, program=program, own=own, wall_s=NO_END_S)
            known = await recall(session, steps, ready.command, order, spec.limits, on_log)
            if known is not None:
                return known
        driver = Driver(spec.limits, on_log, self._grace_s)
        proxied = bool(spec.egress) and not self._network
        order = order_of(
            spec, uid, program=program, own=own, wall_s=patience(spec.limits, self._grace_s),
            egress=driver.line.token if proxied else "",
        )  # fmt: skip
        async with self._egress(driver, spec if proxied else None):
            steps += await secret_steps(session, spec)
            return await self._drive(ready, session, steps, spec, order, driver)

    async def _steps(self, session: Session, base: str, spec: SandboxSpec, uid: int) -> list[Step]:
        size = spec.limits.disk_bytes
        bundle = await self._bundles.mounting(session, spec.bundle, uid)
        steps: list[Step] = [
            ("loadContainerFromID", {"id": base}),
            ("withMountedTemp", {"path": "/tmp", "size": size}),
            ("withMountedTemp", {"path": f"{INSIDE_ROOT}/work", "size": size}),
            bundle,
        ]
        return steps + [await mounting(session, mount, uid, spec.mounts) for mount in spec.mounts]

    async def _drive(
        self,
        ready: _Ready,
        session: Session,
        steps: list[Step],
        spec: SandboxSpec,
        order: dict[str, Any],
        driver: Driver,
    ) -> SandboxResult:
        writable = [mount for mount in spec.mounts if mount.writable]
        arguments = {
            "args": [*ready.command, driver.line.token],
            "expect": Word("ANY"),
            "noInit": True,
        }
        channel = await channel_step(session, ready.exchange.path, self._sockets)
        steps = [*steps, channel, ("withExec", arguments)]
        ready.exchange.expect(driver.line)
        request = asyncio.create_task(session.ask(chained(steps, "id", "exitCode"), None))
        wait_s, cancelled = self._waits.cancel_s, True
        try:
            result = await driver.run(session, request, order)
            wait_s, cancelled = self._waits.finish_s, False
            if result.reason is ExitReason.ARTIFACTS_TOO_LARGE:
                writable = [mount for mount in writable if mount.target != ARTIFACTS_PLACE]
            if writable:
                ready.exchange.forget(driver.line)
                await _taken_back(session, request, steps, writable)
            return result
        finally:
            ready.exchange.forget(driver.line)
            finishing = asyncio.create_task(_finish(request, wait_s))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            if cancelled:
                await complete(_settled(finishing))

    async def _ready(self) -> _Ready:
        if self._prepared is None or (self._prepared.done() and self._prepared.exception()):
            self._prepared = asyncio.create_task(self._prepare())
        return await asyncio.shield(self._prepared)

    async def _prepare(self) -> _Ready:
        folder = self._scratch.task_folder()
        runtime = folder / "runtime"
        runtime.mkdir()
        command = await asyncio.to_thread(gather, runtime)
        exchange = Exchange(self._socket_folder(folder) / "channel.sock")
        await exchange.open()
        return _Ready(
            command,
            Bases(runtime, self._readable, folder / "files.tar"),
            exchange,
            filter_program(network=False),
            filter_program(network=True),
        )

    def _socket_folder(self, folder: Path) -> Path:
        """Give a folder in which the path of a socket is not too long."""
        if len(bytes(folder)) <= SOCKET_PATH_BYTES - LONGEST_NAME:
            return folder
        if self._short is None:
            # Named for its owner, so that it is found again if we are killed.
            self._short = Scratch(Path(tempfile.gettempdir()))
        return self._short.root

    @asynccontextmanager
    async def _egress(self, driver: Driver, spec: SandboxSpec | None) -> AsyncGenerator[None]:
        """Let a task out through a proxy of its own."""
        if spec is None:
            yield
            return

        def tell(decision: EgressDecision) -> None:
            if self._on_egress is not None:
                self._on_egress(spec.task_id, decision)

        folder = self._scratch.task_folder()
        driver.line.egress = self._socket_folder(folder) / f"{driver.line.token}.sock"
        proxy = EgressProxy(EgressPolicy(spec.egress), tell)
        try:
            await proxy.start(driver.line.egress)
            yield
        finally:
            await complete(self._shut(proxy, folder))

    async def _shut(self, proxy: EgressProxy, folder: Path) -> None:
        await proxy.close()
        self._scratch.remove(folder)

    async def base(self) -> tuple[Session, str]:
        """Give the session, and the container that agents without an image start from.

        Raises:
            EngineAway: There is no engine.
            Refused: It does not take the files.
        """
        ready, session = await self._ready(), await self._connection.session()
        return session, await ready.bases.base(session, self._image)

    async def settled(self) -> None:
        """Wait until the engine has cleared away every container whose agent has ended."""
        if self._finishing:
            await asyncio.wait(tuple(self._finishing), timeout=self._waits.finish_s)

    async def close(self) -> None:
        """Cancel what runs, and close the connection. May be repeated."""
        if self._closed:
            return
        self._closed = True
        for task in tuple(self._running):
            task.cancel()
        pending = {*self._running, *self._finishing}
        if pending:
            await asyncio.wait(pending, timeout=self._waits.finish_s)
        if self._prepared is not None:
            await asyncio.wait({self._prepared})
            if not self._prepared.cancelled() and self._prepared.exception() is None:
                await self._prepared.result().exchange.close()
        await self._connection.close()
        if self._short is not None:
            self._short.close()
        self._scratch.close()


def _away(detail: str) -> SandboxResult:
    return SandboxResult(ExitReason.UNAVAILABLE, None, None, None, detail, 0.0, 0.0, 0, False)


async def _taken_back(
    session: Session, request: asyncio.Task[Any], steps: list[Step], mounts: list[Mount]
) -> None:
    """Bring the workspaces of an agent that has ended back.

    Raises:
        Lost: They cannot be had any more, and so what the agent did is not known.
    """
    try:
        answer = innermost(await request, steps)
        for mount in mounts:
            await take_back(session, str(answer["id"]), mount)
    except (EngineAway, Refused) as fault:
        raise Lost(f"what the agent made could not be brought back: {fault}") from fault


async def _finish(request: asyncio.Task[Any], wait_s: float) -> None:
    """Let a request end, and cancel it if it does not."""
    await asyncio.wait({request}, timeout=wait_s)
    request.cancel()
    await asyncio.wait({request}, timeout=wait_s)
    if request.done() and not request.cancelled():
        request.exception()  # looked at: what it was has been told already


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
