"""An executor that does as it is told, over the real work queue of the bus in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pydantic_core import from_json

from penstock_adapters.memory.streams import MemoryServer
from penstock_adapters.memory.work import MemoryWorkItem, MemoryWorkQueue
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive
from penstock_contracts.registry import name_of, type_of
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.task.v1 import ClaimAnswer, Outcome, PlannedChange, TaskMessage
from penstock_contracts.values import Failure, JsonObject, Phase, Wire
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.grants import Grants, needs_grant
from penstock_executor.intake import Delivery, read_task
from penstock_runtime.artifacts import digest_text
from penstock_runtime.bundles import Bundle
from penstock_runtime.ports.artifacts import ArtifactKey, ArtifactShelf
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.signing import GrantVerifier

TAKE_S = 1.0
CLAIM_AGAIN_S = 1.0
CLAIM_TRIES = 30


@dataclass(frozen=True, slots=True)
class Act:
    """What is done with one task.

    Attributes:
        output: result, if it succeeds.
        plan: result of a task that plans; None: there is nothing to do, the output says.
        error: result, if it fails.
        leaves: artifacts, by name.
        uploads: False: they are named, and never reach the object store.
        after_s: how long it takes.
        silent: no word of it is ever sent.
        unclaimed: it ends before the claim.
    """

    output: JsonObject = field(default_factory=lambda: {"done": True})
    plan: PlannedChange | None = None
    error: Failure | None = None
    leaves: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    uploads: bool = True
    after_s: float = 0.0
    silent: bool = False
    unclaimed: bool = False

    @classmethod
    def failing(cls, code: str = "agent_failed", *, again: bool = False) -> Act:
        """Report a failure."""
        return cls(error=Failure(code=code, message="as told", retryable=again))


class Script:
    """Executor of one pool.

    Attributes:
        acts: (node, attempt) -> what to do; otherwise the task succeeds at once.
        plans: the same for tasks that plan; otherwise there is a plan at once.
        seen: (node, attempt) of every task delivered, in order.
        tasks: these tasks.
        granted: (node, attempt) -> nonces that were told to go on.
        denied: the same, told not to.
        results: every result sent, in order.
    """

    def __init__(
        self,
        bus: MemoryServer,
        clock: Clock,
        agents: Mapping[str, AgentManifest],
        verifier: GrantVerifier,
        shelf: ArtifactShelf,
    ) -> None:
        """Serve the pool `default` of `bus`; believe grants as `verifier` does."""
        self._shelf = shelf
        self.acts: dict[tuple[str, int], Act] = {}
        self.plans: dict[tuple[str, int], Act] = {}
        self.seen: list[tuple[str, int]] = []
        self.tasks: list[TaskMessage] = []
        self.granted: list[tuple[str, int]] = []
        self.denied: list[tuple[str, int]] = []
        self.results: list[ReportResult] = []
        self._bus = bus
        self._clock = clock
        self._agents = agents
        self._grants = Grants(verifier, clock)
        self._deliveries = 0

    async def run(self) -> None:
        """Take tasks until cancelled."""
        queue = MemoryWorkQueue(self._bus, "default")
        async with asyncio.TaskGroup() as tasks:
            while True:
                for item in await queue.take(100, TAKE_S):
                    tasks.create_task(self._execute(item))

    async def _execute(self, item: MemoryWorkItem) -> None:
        delivery = read_task(item.subject, item.payload)
        task = delivery.task
        place = (task.node, task.attempt)
        self.seen.append(place)
        self.tasks.append(task)
        self._deliveries += 1
        nonce: str | None = None
        act = self._refusal(delivery) or self._act(task)
        claims = task.phase is not Phase.PLAN and not self._agents[task.agent].repeats
        if claims and not act.unclaimed:
            nonce = derive("nonce", str(self._deliveries))
            if not await self._claim(task, nonce):
                self.denied.append(place)
                await item.ack_sync()
                return
            self.granted.append(place)
        if act.silent:
            return
        await self._clock.sleep(act.after_s)
        for artifact, content in artifacts_of(act) if act.uploads else ():
            await self._shelf.put(ArtifactKey("default", artifact.digest), _whole(content))
        self.report(task, act, nonce)
        await item.ack_sync()

    def _act(self, task: TaskMessage) -> Act:
        place = (task.node, task.attempt)
        if task.phase is Phase.PLAN:
            made = PlannedChange(effect={"write": f"{task.node}/{task.attempt}"}, base={"at": 1})
            return self.plans.get(place, Act(plan=made))
        return self.acts.get(place, Act())

    def _refusal(self, delivery: Delivery) -> Act | None:
        """Check the grant as every executor does."""
        manifest = self._agents[delivery.task.agent]
        bundle = Bundle(manifest, manifest_digest(manifest))
        if not needs_grant(delivery.task, bundle):
            return None
        found = self._grants.check(delivery, bundle)
        return Act(error=found, unclaimed=True) if isinstance(found, Failure) else None

    def report(self, task: TaskMessage, act: Act, nonce: str | None) -> None:
        """Send a result."""
        result = ReportResult(
            task_id=task.task_id, node=task.node, attempt=task.attempt, phase=task.phase,
            executor="executor-1", token=task.token, nonce=nonce,
            outcome=Outcome.FAILED if act.error else Outcome.SUCCEEDED,
            output=None if act.error or act.plan else act.output, plan=act.plan, error=act.error,
            artifacts=tuple(artifact for artifact, _ in artifacts_of(act)),
        )  # fmt: skip
        self.results.append(result)
        self.send(task, result, f"result/{task.task_id}/{self._deliveries}")

    def send(self, task: TaskMessage, body: Wire, message_id: str) -> None:
        """Publish a command to the task's run."""
        kind = type_of(body)
        message = Envelope(
            id=message_id, source="penstock/executor-1", type=kind, data=body.to_data()
        )
        path = subjects.run("default", task.partition, task.run_id, name_of(kind))
        self._bus.store(path, message.encode())

    async def _claim(self, task: TaskMessage, nonce: str) -> bool:
        answered = asyncio.Event()
        answer: list[ClaimAnswer] = []

        def on_answer(_subject: str, payload: bytes) -> None:
            given = ClaimAnswer.model_validate(from_json(payload)["data"])
            if given.nonce == nonce:
                answer.append(given)
                answered.set()

        end = self._bus.listen(subjects.control("default", task.task_id, "claim"), on_answer)
        claim = ClaimTask(
            task_id=task.task_id, node=task.node, attempt=task.attempt,
            executor="executor-1", nonce=nonce, token=task.token,
        )  # fmt: skip
        try:
            for attempt in range(CLAIM_TRIES):
                self.send(task, claim, f"claim/{nonce}/{attempt}")
                try:
                    await asyncio.wait_for(answered.wait(), CLAIM_AGAIN_S)
                except TimeoutError:
                    continue
                return answer[0].granted
            return False
        finally:
            end()


def artifacts_of(act: Act) -> list[tuple[Artifact, bytes]]:
    """Give what an act leaves, as a result names it."""
    return [
        (
            Artifact(
                name=name, digest=digest_text(hashlib.sha256(content).digest()), size=len(content)
            ),
            content,
        )
        for name, content in act.leaves.items()
    ]


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
