"""The executor, wired from ports: pulls tasks, hands each to its own asyncio task, and stops."""

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock_contracts import subjects
from penstock_contracts.images import ImagePolicy
from penstock_executor.artifacts import Artifacts, Ways
from penstock_executor.attempts import Attempts, Tools, draw_nonce
from penstock_executor.breakers import BreakerChanges, BreakerReports
from penstock_executor.claims import Claims
from penstock_executor.grants import Grants
from penstock_executor.images import Images
from penstock_executor.landing import Landings, Temporaries
from penstock_executor.messages import Messages
from penstock_executor.outbox import Outbox
from penstock_executor.preparing import Preparer, Terms
from penstock_executor.presence import RETRY_S, Presence, Seat
from penstock_executor.running import Interruption, Pulse, RunningTasks
from penstock_executor.secret_grants import SecretGiver, SecretGrant
from penstock_executor.stock import Stock
from penstock_executor.workspaces import Workspaces
from penstock_runtime.bundles import Bundles
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import ArtifactShelf
from penstock_runtime.ports.bus import Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.health import Check
from penstock_runtime.ports.heartbeat import Heartbeats
from penstock_runtime.ports.repositories import Repositories
from penstock_runtime.ports.sandbox import EgressRule, Sandbox
from penstock_runtime.ports.secrets import Secrets
from penstock_runtime.ports.signing import GrantVerifier
from penstock_runtime.ports.work import ControlChannel, WorkItem, WorkQueue
from penstock_runtime.telemetry.metrics import CAPACITY, Metrics

TAKE_S = 5.0  # longest wait for tasks in one pull
MAX_TAKE = 500
SETTLE_S = 5.0  # for reports of interrupted tasks
PULL_RETRY_S = 1.0
BEAT_S = 10.0  # a third of the 30 s after which a silent task is delivered again

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside.

    Attributes:
        verifier: None: no keys were given, and nothing that needs approval is executed.
        temporaries: where repositories are cloned to.
        artifacts: the object store.
        breaker: told by the sandbox, where it stands behind a circuit breaker.
        draw: gives a fresh nonce for each delivery that is claimed.
    """

    queue: WorkQueue
    publisher: Publisher
    control: ControlChannel
    sandbox: Sandbox
    bundles: Bundles
    secrets: Secrets
    verifier: GrantVerifier | None
    repositories: Repositories
    temporaries: Temporaries
    heartbeats: Heartbeats
    artifacts: ArtifactShelf
    clock: Clock
    metrics: Metrics
    breaker: BreakerChanges = field(default_factory=BreakerChanges)
    draw: Callable[[], str] = draw_nonce


@dataclass(frozen=True, slots=True)
class Options:
    """What an executor is told.

    Attributes:
        grace_s: how long running tasks may go on after a stop.
        images: which images agents may name.
        leaves: agents have a folder that they may leave artifacts in.
        secret_grants: which agent may be given which secret.
        version: of Penstock; told in heartbeats.
        memoises: the sandbox answers equal tasks of memoised agents with what it has kept.
    """

    name: str
    pool: str
    capacity: int
    grace_s: float
    workspaces: Workspaces
    egress: tuple[EgressRule, ...] = ()
    images: ImagePolicy = field(default_factory=ImagePolicy)
    leaves: bool = False
    secret_grants: Container[SecretGrant] = ()
    memoises: bool = False
    beat_s: float = BEAT_S
    version: str = ""


class Executor:
    """One executor process: bounded, stoppable, and silent when its sandbox cannot run."""

    def __init__(self, ports: Ports, options: Options) -> None:
        self._ports = ports
        self._options = options
        self._tasks = RunningTasks()
        self._outbox = Outbox(ports.publisher, ports.metrics)
        self._claims = Claims(self._outbox, ports.clock, ports.metrics)
        messages = Messages(options.name)
        self._pulse = Pulse(self._tasks, self._outbox, messages, ports.clock, options.beat_s)
        self._presence = Presence(
            Seat(options.name, options.pool, options.capacity, options.version),
            Stock(ports.bundles, ports.clock), self._tasks, ports.sandbox,
            ports.heartbeats, ports.clock, ports.metrics, ports.breaker,
        )  # fmt: skip
        self._reports = BreakerReports(
            ports.breaker, options.pool, messages, ports.publisher, ports.clock
        )
        images = Images(options.images)
        terms = Terms(options.workspaces, options.egress, images, options.memoises)
        grants = Grants(ports.verifier, ports.clock)
        giver = SecretGiver(ports.secrets, options.secret_grants)
        preparer = Preparer(ports.bundles, giver, terms, grants, ports.clock)
        tools = Tools(
            tasks=self._tasks,
            preparer=preparer,
            landings=Landings(ports.repositories, ports.temporaries),
            artifacts=self._carrier(messages),
            sandbox=ports.sandbox,
            presence=self._presence,
            outbox=self._outbox,
            claims=self._claims,
            messages=messages,
            clock=ports.clock,
            metrics=ports.metrics,
            draw=ports.draw,
        )
        self._attempts = Attempts(options.pool, tools)

    def _carrier(self, messages: Messages) -> Artifacts:
        ports, options = self._ports, self._options
        ways = Ways(options.leaves, options.workspaces.rewrites, options.pool)
        return Artifacts(
            ports.artifacts, ports.temporaries, self._outbox, messages, ports.clock,
            ports.metrics, ways,
        )  # fmt: skip

    async def checks(self) -> Sequence[Check]:
        """Answer `/health/ready`."""
        return [self._presence.check()]

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set and everything running is ended, reported or given back."""
        self._ports.metrics.set(CAPACITY, self._options.capacity, self._options.pool)
        filter_ = subjects.control_filter()
        end_listening = await self._ports.control.listen(filter_, self._controlled)
        background = [
            asyncio.create_task(self._pulse.run(), name="pulse"),
            asyncio.create_task(self._presence.run(), name="presence"),
            asyncio.create_task(self._reports.run(), name="breaker reports"),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                closing = group.create_task(self._close_queue(stop))
                await self._pull(stop, group.create_task)
                await closing
                await self._let_end()
        finally:
            for task in background:
                _ = task.cancel()
            _ = await asyncio.wait(background)
            await end_listening()
            await self._outbox.close()
            await self._presence.leave()

    async def _close_queue(self, stop: asyncio.Event) -> None:
        """End the pull that waits, so that a stop is noticed at once."""
        _ = await stop.wait()
        await self._ports.queue.close()

    async def _controlled(self, subject: str, payload: bytes) -> None:
        task_id, verb = subjects.parse(subject).rest
        if verb == "claim":
            self._claims.answered(payload)
        elif verb == "cancel":
            running = self._tasks.find(task_id)
            if running is not None:
                _log.info("task cancelled", extra={"task": task_id})
                running.interrupt(Interruption.CANCELLED)

    async def _pull(
        self,
        stop: asyncio.Event,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        while not stop.is_set():
            if not (self._presence.lately_available() or await self._found_available(stop)):
                await self._first_of(self._ports.clock.sleep(RETRY_S), stop.wait())
                continue
            room = self._options.capacity - len(self._tasks)
            if room <= 0:
                await self._first_of(self._tasks.fewer(), stop.wait())
                continue
            for item in await self._take(min(room, MAX_TAKE)):
                if stop.is_set():
                    await item.give_back(0.0)
                else:
                    _ = spawn(self._attempts.handle(item))
            # Lets the new tasks register themselves, so that they count as running.
            await asyncio.sleep(0)

    async def _found_available(self, stop: asyncio.Event) -> bool:
        """Look at the sandbox, but no longer than until the stop: an engine may hang."""
        look = asyncio.ensure_future(self._presence.available())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            _ = await asyncio.wait({look, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return look.done() and look.result()
        finally:
            _ = look.cancel()
            _ = stopped.cancel()

    async def _take(self, limit: int) -> Sequence[WorkItem]:
        try:
            return await self._ports.queue.take(limit, TAKE_S)
        except TransientFault as fault:
            _log.warning("no tasks can be taken", extra={"reason": str(fault)})
            await self._ports.clock.sleep(PULL_RETRY_S)
            return ()

    async def _let_end(self) -> None:
        """Give running tasks their grace, then interrupt them and see their reports out."""
        await self._until_idle(self._options.grace_s)
        for running in self._tasks:
            running.interrupt(Interruption.STOPPING)
        await self._until_idle(SETTLE_S)
        for running in self._tasks:  # their reports cannot be sent: the queue delivers them again
            if running.work is None and running.handler is not None:
                _ = running.handler.cancel()

    async def _until_idle(self, seconds: float) -> None:
        if len(self._tasks):
            await self._first_of(self._idle(), self._ports.clock.sleep(seconds))

    async def _idle(self) -> None:
        while len(self._tasks):
            await self._tasks.fewer()

    @staticmethod
    async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                _ = task.cancel()
