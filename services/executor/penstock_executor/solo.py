"""An executor without a bus: tasks are handed to it, and what it says of them is handed back.

For trying agents where no Penstock runs. Everything in between is the executor's own: its checks,
its sandbox, redaction, judging, and repositories. There is no scheduler: whoever hands over a task
is it, grants each claim by having asked, and stands for the approval by the grant that the task
carries.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.images import ImagePolicy
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.task.v1 import (
    CLAIM_ANSWER_TYPE,
    LOG_TYPE,
    TASK_TYPE,
    ClaimAnswer,
    LogLines,
    TaskMessage,
)
from penstock_contracts.values import DEFAULT_TENANT
from penstock_executor.app import Executor, Options, Ports
from penstock_executor.landing import Temporaries
from penstock_executor.secret_grants import EverySecret
from penstock_executor.workspaces import Workspaces
from penstock_runtime.bundles import Bundles
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.artifacts import ArtifactShelf, NoArtifacts
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.heartbeat import NoHeartbeats
from penstock_runtime.ports.repositories import Repositories
from penstock_runtime.ports.sandbox import EgressRule, Sandbox
from penstock_runtime.ports.secrets import Secrets
from penstock_runtime.ports.signing import GrantVerifier
from penstock_runtime.ports.work import ControlHandler, WorkItem
from penstock_runtime.telemetry.metrics import NoMetrics

NAME = "solo"
SOURCE = "penstock/solo"
MAX_TASKS = 64  # handed over and not yet taken

OnLines = Callable[[LogLines], None]


class Abandoned(PenstockFault):
    """The executor gave the task back without having run it; its log says why."""


@dataclass(frozen=True, slots=True)
class SoloPorts:
    """What it is given of the world.

    Attributes:
        verifier: checks grants; None: nothing is run that needs one.
        artifacts: where outputs go that are too large for a result.
    """

    sandbox: Sandbox
    bundles: Bundles
    secrets: Secrets
    verifier: GrantVerifier | None
    repositories: Repositories
    temporaries: Temporaries
    clock: Clock
    artifacts: ArtifactShelf = field(default_factory=NoArtifacts)


@dataclass(frozen=True, slots=True)
class SoloTerms:
    """What it gives agents.

    Attributes:
        roots: folders inside which their workspaces may lie.
        rewrite: whether the sandbox can mount, so that agents see folders at places of its own.
        local_images: accept images in agents' folders.
        at_once: tasks.
    """

    roots: Sequence[Path] = ()
    rewrite: bool = True
    egress: tuple[EgressRule, ...] = ()
    local_images: bool = True
    at_once: int = 1


class _Item:
    """The task in its hand; nobody else could take it."""

    def __init__(self, subject: str, payload: bytes, at_us: int, give_up: Callable[[str], None]):
        self.subject = subject
        self.payload = payload
        self.queued_us = at_us
        self._give_up = give_up

    async def in_progress(self) -> None:
        """Nobody's patience could end."""

    async def ack_sync(self) -> None:
        """After a result it is of no use; without one, there will be none."""
        self._give_up("the executor dropped the task")

    async def give_back(self, delay_s: float) -> None:
        """Give it up."""
        del delay_s
        self._give_up("the executor could not run the task: its sandbox is away")


class _World:
    """Queue, bus and control channel of one executor, in this process."""

    def __init__(self, on_lines: OnLines) -> None:
        self._on_lines = on_lines
        self._tasks: asyncio.Queue[WorkItem | None] = asyncio.Queue(MAX_TASKS)
        self._awaited: dict[str, asyncio.Future[ReportResult]] = {}
        self._control: ControlHandler | None = None

    async def execute(self, task: TaskMessage, at_us: int) -> ReportResult:
        """Hand a task over and await its result.

        Raises:
            Abandoned: it was not run.
        """
        result: asyncio.Future[ReportResult] = asyncio.get_running_loop().create_future()

        def give_up(why: str) -> None:
            if not result.done():
                result.set_exception(Abandoned(why))

        self._awaited[task.task_id] = result
        envelope = Envelope(
            id=task.task_id, source=SOURCE, type=TASK_TYPE, tenant=DEFAULT_TENANT,
            data=task.to_data(),
        )  # fmt: skip
        subject = subjects.task(DEFAULT_TENANT, NAME, task.agent, task.task_id)
        try:
            await self._tasks.put(_Item(subject, envelope.encode(), at_us, give_up))
            return await result
        finally:
            del self._awaited[task.task_id]

    # --- the queue ------------------------------------------------------------------------------

    async def take(self, limit: int, timeout_s: float) -> Sequence[WorkItem]:
        """Give one task; the next is asked for at once."""
        del limit
        try:
            async with asyncio.timeout(timeout_s):
                item = await self._tasks.get()
        except TimeoutError:
            return ()
        return () if item is None else (item,)

    async def close(self) -> None:
        """Wake who waits."""
        await self._tasks.put(None)

    # --- the bus --------------------------------------------------------------------------------

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Hear everything."""
        for message in batch:
            await self._hear(Envelope.decode(message.payload))
        return [Published.DONE] * len(batch)

    async def _hear(self, envelope: Envelope) -> None:
        data = envelope.data
        if envelope.type == LOG_TYPE:
            self._on_lines(LogLines.model_validate(data))
        elif envelope.type == ClaimTask.TYPE:
            await self._grant(ClaimTask.model_validate(data))
        elif envelope.type == ReportResult.TYPE:
            result = ReportResult.model_validate(data)
            awaited = self._awaited.get(result.task_id)
            if awaited is not None and not awaited.done():
                awaited.set_result(result)

    async def _grant(self, claim: ClaimTask) -> None:
        answer = ClaimAnswer(task_id=claim.task_id, nonce=claim.nonce, granted=True)
        envelope = Envelope(
            id=claim.nonce, source=SOURCE, type=CLAIM_ANSWER_TYPE, data=answer.to_data()
        )
        subject = subjects.control(DEFAULT_TENANT, claim.task_id, "claim")
        await self.send(subject, envelope.encode())

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Hold nothing that could be purged."""

    # --- the control channel --------------------------------------------------------------------

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """Remember who listens; there is one."""
        del subject
        self._control = handler

        async def end() -> None:
            self._control = None

        return end

    async def send(self, subject: str, payload: bytes) -> None:
        """Tell who listens."""
        if self._control is not None:
            await self._control(subject, payload)


class Solo:
    """Runs tasks; made by `opened`."""

    def __init__(self, world: _World, clock: Clock, executor: asyncio.Task[None]) -> None:
        self._world = world
        self._clock = clock
        self._executor = executor

    async def execute(self, task: TaskMessage) -> ReportResult:
        """Run a task to its end, and give its result.

        Raises:
            Abandoned: the executor did not run it, or failed itself.
        """
        work = asyncio.ensure_future(self._world.execute(task, self._clock.now_us()))
        try:
            _ = await asyncio.wait({work, self._executor}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
        finally:
            _ = work.cancel()
        error = None if self._executor.cancelled() else self._executor.exception()
        raise Abandoned(f"the executor ended: {type(error).__name__}")


@asynccontextmanager
async def opened(ports: SoloPorts, terms: SoloTerms, on_lines: OnLines) -> AsyncGenerator[Solo]:
    """Start an executor of one's own, and stop it at the end, with all that still runs."""
    world = _World(on_lines)
    executor = Executor(
        Ports(
            queue=world, publisher=world, control=world, sandbox=ports.sandbox,
            bundles=ports.bundles, secrets=ports.secrets, verifier=ports.verifier,
            repositories=ports.repositories, temporaries=ports.temporaries,
            heartbeats=NoHeartbeats(), artifacts=ports.artifacts, clock=ports.clock,
            metrics=NoMetrics(),
        ),
        Options(
            name=NAME, pool=NAME, capacity=terms.at_once, grace_s=0.0,
            workspaces=Workspaces(terms.roots, rewrite=terms.rewrite), egress=terms.egress,
            images=ImagePolicy(local=terms.local_images), secret_grants=EverySecret(),
        ),
    )  # fmt: skip
    stop = asyncio.Event()
    running = asyncio.create_task(executor.run(stop))
    try:
        yield Solo(world, ports.clock, running)
    finally:
        stop.set()
        await asyncio.wait({running})
        _ = running.exception()
