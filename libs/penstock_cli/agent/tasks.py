"""Tasks for the bench: what a scheduler would ask for, and a person would allow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from penstock_adapters.signing.ed25519 import Ed25519Signer
from penstock_adapters.system.clock import SystemClock
from penstock_cli.faults import CliFault
from penstock_contracts.agent.v1 import AgentManifest, Risk
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.ids import approval_id, idempotency_key, run_id, task_id
from penstock_contracts.subjects import run_partition
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, JsonObject, Phase
from penstock_core.binding import bind
from penstock_runtime.bundles import Bundle

WORKFLOW, NODE = "bench", "agent"
START_S = 120  # beside the agent's own time: an engine may have to fetch an image
GRANT_S = 3_600


@dataclass(frozen=True, slots=True)
class Asked:
    """What one agent is asked to do.

    Attributes:
        principal: who stands for the approval where one is needed.
        feedback: what an approver said who sent the plan back.
    """

    bundle: Bundle
    input: JsonObject
    run: str
    attempt: int = 1
    principal: str = "you"
    feedback: str = ""

    def again(self, feedback: str = "") -> Asked:
        """Ask for a further attempt."""
        return replace(self, attempt=self.attempt + 1, feedback=feedback)


def ask(bundle: Bundle, given: JsonObject, feedback: str = "") -> Asked:
    """Ask an agent for something, as a run of its own."""
    run = run_id(DEFAULT_TENANT, WORKFLOW, str(uuid.uuid4()))
    return Asked(bundle, given, run, feedback=feedback)


def first_phase(manifest: AgentManifest) -> Phase:
    """Give the phase that an agent begins with."""
    return Phase.PLAN if manifest.plans else Phase.RUN


def needs_leave(manifest: AgentManifest) -> bool:
    """Tell whether a person has to allow it before anything happens."""
    return manifest.risk is Risk.APPROVAL_REQUIRED and not manifest.plans


def task_of(asked: Asked, phase: Phase, clock: SystemClock) -> TaskMessage:
    """Make the task of a phase that needs nobody's leave."""
    manifest = asked.bundle.manifest
    wall_s = manifest.limits.wall_s
    return TaskMessage(
        task_id=task_id(asked.run, NODE, asked.attempt, phase.value),
        run_id=asked.run,
        partition=run_partition(0),
        workflow=WORKFLOW,
        node=NODE,
        attempt=asked.attempt,
        phase=phase,
        agent=manifest.name,
        agent_digest=asked.bundle.digest,
        idempotency_key=idempotency_key(asked.run, NODE),
        ends_by_us=clock.now_us() + int((wall_s + START_S) * MICROSECONDS),
        running_s=wall_s,
        input=asked.input,
        feedback=asked.feedback,
    )


def granted(
    asked: Asked, phase: Phase, clock: SystemClock, signer: Ed25519Signer,
    plan: PlannedChange | None = None,
) -> TaskMessage:  # fmt: skip
    """Make the task of a phase that a person has allowed, with the grant that says so.

    Raises:
        CliFault: what was allowed has no canonical form, so nothing can be bound to it.
    """
    task = task_of(asked, phase, clock).model_copy(update={"plan": plan})
    proposal = Proposal(
        agent=task.agent, agent_digest=task.agent_digest, input=task.input, plan=plan
    )
    try:
        binding = bind(proposal)
    except ValueError as error:
        raise CliFault(f"this cannot be allowed: {error}") from None
    now_us = clock.now_us()
    grant = Grant(
        tenant=DEFAULT_TENANT,
        run_id=task.run_id,
        node=task.node,
        attempt=task.attempt,
        approval_id=approval_id(task.run_id, task.node, task.attempt),
        binding=binding,
        principals=(asked.principal,),
        granted_us=now_us,
        expires_us=now_us + GRANT_S * MICROSECONDS,
        key_id=signer.key_id,
    )
    return task.model_copy(update={"grant": signer.sign(grant)})
