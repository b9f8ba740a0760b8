"""An executor among fakes: tasks in, messages out."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from penstock_adapters.memory.artifacts import MemoryShelf
from penstock_adapters.memory.signing import MemorySigner, MemoryVerifier
from penstock_adapters.wrappers.breaker import BreakingSandbox
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest, Effect
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.envelope import Envelope
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.ids import approval_id, idempotency_key, run_id, task_id
from penstock_contracts.images import ImagePolicy
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import CLAIM_ANSWER_TYPE, TASK_TYPE, ClaimAnswer, TaskMessage
from penstock_contracts.values import MICROSECONDS, JsonObject, Phase
from penstock_core.binding import bind
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.app import Executor, Options, Ports
from penstock_executor.breakers import BreakerChanges
from penstock_executor.landing import Temporaries
from penstock_executor.secret_grants import SecretGrant
from penstock_executor.workspaces import Workspaces
from penstock_runtime.breaker import BreakerRules
from penstock_runtime.bundles import Bundle, Bundles, Discovery
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.repositories import Repositories
from penstock_runtime.ports.sandbox import EgressRule, Sandbox
from penstock_runtime.ports.secrets import Secrets
from penstock_runtime.ports.signing import GrantVerifier
from penstock_testkit.fakes.bus import (
    KeptControl,
    KeptHeartbeats,
    KeptItem,
    KeptPublisher,
    KeptQueue,
)
from penstock_testkit.fakes.clock import START_US, ManualClock
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.fakes.repositories import FolderTemporaries, KeptRepositories
from penstock_testkit.fakes.sandbox import ScriptedSandbox

TENANT = "default"
PARTITION = subjects.run_partition(0)
POOL = "default"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RUN = run_id(TENANT, "hello", "trigger-1")
NOWHERE = Path("/nowhere")
_SECRET = b"of the approval service in tests"
SIGNER, VERIFIER = MemorySigner(_SECRET), MemoryVerifier(_SECRET)
PATIENCE_S = 20.0  # until a condition must hold
PROBE = AgentManifest(
    name="probe",
    effect=Effect.REPEATABLE,
    command=("probe",),
    input={"type": "object"},
    output={"type": "object"},
)


class FixedBundles:
    """Fulfils the port `Bundles` with what a test puts in."""

    def __init__(self, manifests: Sequence[AgentManifest], folder: Path) -> None:
        self.bundles = {
            manifest.name: Bundle(manifest, manifest_digest(manifest), folder)
            for manifest in manifests
        }

    async def find(self, agent: str, digest: str) -> Bundle | None:
        """Give it."""
        return self.bundles.get(agent)

    async def discover(self) -> Discovery:
        """Give all."""
        return Discovery(self.bundles)


class FixedSecrets:
    """Fulfils the port `Secrets` with what a test puts in."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    async def find(self, name: str) -> str | None:
        """Give it."""
        return self._values.get(name)

    def places(self, name: str) -> str:
        """Name no place."""
        return f"a secret called {name}"


@dataclass(frozen=True, slots=True)
class Real:
    """What is not a fake in a test of the real thing.

    Attributes:
        repositories: with their temporaries; None: fakes.
    """

    sandbox: Sandbox
    bundles: Bundles
    clock: Clock
    repositories: tuple[Repositories, Temporaries] | None = None


class ExecutorWorld:
    """Runs an executor inside `async with`; nothing of it is real but its own code.

    A test of the real thing may put in a sandbox, bundles and a clock by `real`. With `breaker`
    the sandbox stands behind one.
    """

    def __init__(  # noqa: PLR0913 - a test says only what it needs
        self,
        manifest: AgentManifest = PROBE,
        *,
        secrets: Mapping[str, str] | Secrets | None = None,
        secret_grants: tuple[SecretGrant, ...] | None = None,
        workspaces: Workspaces | None = None,
        egress: tuple[EgressRule, ...] = (),
        images: ImagePolicy | None = None,
        memoises: bool = True,
        leaves: bool = False,
        capacity: int = 4,
        grace_s: float = 5.0,
        verifier: GrantVerifier | None = VERIFIER,
        scratch: Path = NOWHERE,
        real: Real | None = None,
        breaker: BreakerRules | None = None,
    ) -> None:
        self.manifest = manifest
        self.clock = ManualClock()
        self.queue = KeptQueue()
        self.publisher = KeptPublisher()
        self.control = KeptControl()
        self.sandbox = ScriptedSandbox()
        self.bundles = FixedBundles([manifest], NOWHERE)
        self.repositories = KeptRepositories()
        self.temporaries = FolderTemporaries(scratch)
        self.heartbeats = KeptHeartbeats()
        self.artifacts = MemoryShelf()
        self.metrics = KeptMetrics()
        self.stop = asyncio.Event()
        self.breaker = BreakerChanges("scripted")
        sandbox: Sandbox = real.sandbox if real else self.sandbox
        if breaker is not None:
            sandbox = BreakingSandbox(
                sandbox, "scripted", self.clock, breaker, self.metrics, self.breaker.note
            )
        repositories, temporaries = (real and real.repositories) or (
            self.repositories,
            self.temporaries,
        )
        ports = Ports(
            queue=self.queue,
            publisher=self.publisher,
            control=self.control,
            sandbox=sandbox,
            bundles=real.bundles if real else self.bundles,
            secrets=_secrets_of(secrets),
            verifier=verifier,
            repositories=repositories,
            temporaries=temporaries,
            heartbeats=self.heartbeats,
            artifacts=self.artifacts,
            clock=real.clock if real else self.clock,
            metrics=self.metrics,
            breaker=self.breaker,
        )
        options = Options(
            name="executor.one",
            pool=POOL,
            capacity=capacity,
            grace_s=grace_s,
            workspaces=workspaces or Workspaces(()),
            egress=egress,
            secret_grants=_all_of(manifest) if secret_grants is None else secret_grants,
            images=images or ImagePolicy(),
            memoises=memoises,
            leaves=leaves,
        )
        self.executor = Executor(ports, options)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the executor."""
        self._running = asyncio.create_task(self.executor.run(self.stop))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it at once, whatever still runs."""
        self.stop.set()
        if self._running is not None:
            _ = self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def ended(self) -> None:
        """Wait until a stopped executor has ended by itself."""
        assert self._running is not None
        await asyncio.wait_for(asyncio.shield(self._running), 5)

    def task(self, node: str = "scan", phase: Phase = Phase.RUN, **changes: object) -> TaskMessage:
        """Make a task for the manifest's agent."""
        attempt = 1
        task = TaskMessage(
            task_id=task_id(RUN, node, attempt, phase),
            phase=phase,
            run_id=RUN,
            partition=PARTITION,
            workflow="hello",
            node=node,
            attempt=attempt,
            agent=self.manifest.name,
            agent_digest=manifest_digest(self.manifest),
            idempotency_key=idempotency_key(RUN, node),
            # penstock: ignore[bandit:B106, hardcoded-secret] -- a sample
            token="code-of-the-task",  # noqa: S106 - a sample
            ends_by_us=START_US + 600 * MICROSECONDS,
            running_s=60.0,
            input={},
        )
        return task.model_copy(update=changes)

    def granted(self, task: TaskMessage, **changes: object) -> TaskMessage:
        """Sign a grant of exactly this task, but for `changes` of the grant."""
        grant = Grant(
            tenant=TENANT,
            run_id=task.run_id,
            node=task.node,
            attempt=task.attempt,
            approval_id=approval_id(task.run_id, task.node, task.attempt),
            binding=bind(proposal_of(task)),
            principals=("ada",),
            granted_us=START_US,
            expires_us=START_US + 3_600 * MICROSECONDS,
            key_id=SIGNER.key_id,
        )
        signed = SIGNER.sign(grant.model_copy(update=changes))
        return task.model_copy(update={"grant": signed})

    def item(self, task: TaskMessage) -> KeptItem:
        """Wrap a task as the queue would give it."""
        envelope = Envelope(
            id=task.task_id,
            source="penstock/run-0",
            type=TASK_TYPE,
            tenant=TENANT,
            traceparent=TRACE,
            data=task.to_data(),
        )
        subject = subjects.task(TENANT, POOL, task.agent, task.task_id)
        return KeptItem(subject, envelope.encode())

    def deliver(self, task: TaskMessage | None = None) -> KeptItem:
        """Put a task on the queue."""
        item = self.item(task or self.task())
        self.queue.put(item)
        return item

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the event loop turn until `condition` holds; the world's clock stands still.

        Bounded by real time and not by turns: folders are measured in threads, which end when
        they end.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - whatever a test looks at, no event tells
                await asyncio.sleep(0)

    async def settled(self, item: KeptItem) -> str:
        """Give what was done to the item in the end."""
        await self.until(lambda: any(fate != "in_progress" for fate in item.fates))
        return item.fates[-1]

    async def result(self, task: TaskMessage | None = None) -> ReportResult:
        """Deliver a task and give its one result."""
        item = self.deliver(task)
        assert await self.settled(item) == "ack"
        (result,) = self.results()
        return result

    def results(self) -> list[ReportResult]:
        """Give all results that were published."""
        return [ReportResult.model_validate(data) for data in self.data_of(ReportResult.TYPE)]

    def data_of(self, kind: str) -> list[JsonObject]:
        """Give the data of all published messages of a type."""
        found: list[JsonValue] = [envelope["data"] for envelope in self.publisher.of_type(kind)]
        return [data for data in found if isinstance(data, dict)]

    async def answer_claim(self, task: TaskMessage, nonce: str, *, granted: bool) -> None:
        """Answer as the scheduler does."""
        answer = ClaimAnswer(task_id=task.task_id, nonce=nonce, granted=granted)
        envelope = Envelope(
            id="claim", source="penstock/run-0", type=CLAIM_ANSWER_TYPE, data=answer.to_data()
        )
        await self.control.send(subjects.control(TENANT, task.task_id, "claim"), envelope.encode())

    async def cancel(self, task: TaskMessage) -> None:
        """Cancel as the scheduler does."""
        await self.control.send(subjects.control(TENANT, task.task_id, "cancel"), b"")


def _secrets_of(given: Mapping[str, str] | Secrets | None) -> Secrets:
    return FixedSecrets(given or {}) if given is None or isinstance(given, Mapping) else given


def _all_of(manifest: AgentManifest) -> tuple[SecretGrant, ...]:
    return tuple(SecretGrant(manifest.name, name) for name, _ in manifest.asked_secrets)


def once(manifest: AgentManifest = PROBE) -> AgentManifest:
    """Give the manifest as that of a `once` agent."""
    return manifest.model_copy(update={"effect": Effect.ONCE})


def proposal_of(task: TaskMessage) -> Proposal:
    """Give what people are shown of a task."""
    return Proposal(
        agent=task.agent, agent_digest=task.agent_digest, input=task.input, plan=task.plan
    )
