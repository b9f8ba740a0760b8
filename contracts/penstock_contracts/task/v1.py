"""Tasks: what the scheduler puts on the work queue and what executors answer."""

from enum import StrEnum

from pydantic import Field

from penstock_contracts.artifact.v1 import TaskArtifact
from penstock_contracts.grant.v1 import SignedGrant
from penstock_contracts.values import Digest, Id, JsonObject, Phase, TimeUs, Wire

TASK_TYPE = "task.execute.v1"
LOG_TYPE = "task.log.v1"
CANCEL_TYPE = "task.cancel.v1"
CLAIM_ANSWER_TYPE = "task.claim_answer.v1"


class PlannedChange(Wire):
    """What an agent's `plan` yields: exactly what `apply` would do, and to what.

    Attributes:
        effect: the change itself: a diff, files, commands.
        base: the state it was made against: a ref and blob ids, an ETag.
        summary: one line for people.
    """

    effect: JsonObject
    base: JsonObject = {}
    summary: str = Field(default="", max_length=1024)


class TaskMessage(Wire):
    """One unit of work for an executor.

    Attributes:
        partition: run partition that the answers go to.
        agent_digest: digest of manifest and bundle; an executor with another refuses the task.
        idempotency_key: the same over all attempts of the node.
        token: the task's own code (HMAC over the task id); the result must carry it.
        ends_by_us: end of the attempt's total time; not worth starting after it.
        running_s: how long the program itself may run.
        plan: what was approved; of an `apply` only.
        grant: proof of the approval, where the node had a gate.
        feedback: what an approver said who pushed the node back; '' if nobody did.
        artifacts: that the input refers to; the agent is shown them.
    """

    task_id: Id
    run_id: Id
    partition: str
    workflow: str
    node: str
    attempt: int = Field(ge=1)
    phase: Phase = Phase.RUN
    agent: str
    agent_digest: Digest
    idempotency_key: Id
    token: str = ""
    ends_by_us: TimeUs
    running_s: float = Field(gt=0)
    input: JsonObject
    plan: PlannedChange | None = None
    grant: SignedGrant | None = None
    feedback: str = ""
    artifacts: tuple[TaskArtifact, ...] = ()


class Outcome(StrEnum):
    """How a task ended, as its executor saw it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Usage(Wire):
    """What a task cost: seconds and bytes."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_bytes: int = 0


class ClaimAnswer(Wire):
    """Core-subject answer to a claim: granted to exactly one nonce for ever."""

    task_id: Id
    nonce: str
    granted: bool


class CancelTask(Wire):
    """Core-subject request to stop a task's sandbox."""

    task_id: Id
    reason: str = ""


class LogLines(Wire):
    """Redacted output lines of an agent, oldest first.

    Attributes:
        first: number of the first line of this message within the task, from 0.
        lines: pairs of stream and text: `stdout` or `stderr`, or `progress` or `partial`, whose
            text is a JSON object.
    """

    task_id: Id
    node: str
    attempt: int
    first: int
    at_us: TimeUs
    lines: tuple[tuple[str, str], ...]
