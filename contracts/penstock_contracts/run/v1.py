"""Runs: the commands they take and the events they leave."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from penstock_contracts.artifact.v1 import ARTIFACTS_MAX, Artifact
from penstock_contracts.grant.v1 import Binding, SignedGrant
from penstock_contracts.task.v1 import Outcome, PlannedChange, Usage
from penstock_contracts.values import Digest, Failure, Id, JsonObject, Phase, TimeUs, Wire

# --- commands -----------------------------------------------------------------------------------


class StartRun(Wire):
    """Start the run that a trigger was matched to; a copy is answered again, not repeated.

    Attributes:
        matched_us: when the trigger came; a run of a trigger that came before the store was put
            back may have begun before, in what was lost.
    """

    TYPE: ClassVar[str] = "run.start_run.v1"
    run_id: Id
    tenant: str
    workflow: str
    definition_digest: Digest
    agents: dict[str, Digest]
    trigger_id: str
    trigger_aggregate: Id
    partition: str
    inputs: JsonObject
    requested_by: str = ""
    traceparent: str | None = None
    matched_us: TimeUs = 0


class ClaimTask(Wire):
    """Ask for the exclusive right to begin the effect of a `once` task."""

    TYPE: ClassVar[str] = "run.claim_task.v1"
    task_id: Id
    node: str
    attempt: int
    executor: str
    nonce: str
    token: str


class ReportStarted(Wire):
    """Say that a `repeatable` task still runs after a second."""

    TYPE: ClassVar[str] = "run.report_started.v1"
    task_id: Id
    node: str
    attempt: int
    executor: str
    token: str


class ReportResult(Wire):
    """Say how a task ended.

    A `plan` that succeeded carries either a plan, which then waits for approval, or an output:
    there is nothing to apply, and the node is done.

    Attributes:
        artifacts: what the agent left, of a task that succeeded; in the object store, and not
            durable yet.
    """

    TYPE: ClassVar[str] = "run.report_result.v1"
    task_id: Id
    node: str
    attempt: int
    phase: Phase = Phase.RUN
    executor: str
    token: str
    nonce: str | None = None
    outcome: Outcome
    output: JsonObject | None = None
    plan: PlannedChange | None = None
    error: Failure | None = None
    usage: Usage = Usage()
    artifacts: tuple[Artifact, ...] = Field(default=(), max_length=ARTIFACTS_MAX)


class ConfirmArtifacts(Wire):
    """Say what became of the artifacts of a result: durable, or lost.

    Attributes:
        lost: why they cannot be stored; '': all are.
    """

    TYPE: ClassVar[str] = "run.confirm_artifacts.v1"
    run_id: Id
    node: str
    attempt: int
    phase: Phase = Phase.RUN
    lost: str = Field(default="", max_length=1024)


class RestoreArtifact(Wire):
    """Ask that an artifact which the run names is put back into the object store.

    It is answered by the object that appears there, or by its tombstone once it was pruned.
    """

    TYPE: ClassVar[str] = "run.restore_artifact.v1"
    run_id: Id
    digest: Digest


class CancelRun(Wire):
    """Stop a run, in whatever state it is."""

    TYPE: ClassVar[str] = "run.cancel_run.v1"
    run_id: Id
    reason: str = ""


class Verdict(StrEnum):
    """What became of an approval."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    PUSHED_BACK = "pushed_back"


class ApplyDecision(Wire):
    """The approval service's answer to a gate.

    Attributes:
        to: node that has to work again, of a push back; `reason` is then the feedback.
        answers: to the gate's form.
        grant: of an approval; added by the service that holds the key.
    """

    TYPE: ClassVar[str] = "run.apply_decision.v1"
    approval_id: Id
    node: str
    attempt: int
    verdict: Verdict
    by: str = ""
    reason: str = ""
    to: str | None = None
    answers: JsonObject = {}
    grant: SignedGrant | None = None


class SettleOutcome(Wire):
    """An operator's word on an attempt whose outcome nobody knows.

    Attributes:
        happened: whether the effect did.
        output: the node's output, if it did.
    """

    TYPE: ClassVar[str] = "run.settle_outcome.v1"
    run_id: Id
    node: str
    attempt: int
    happened: bool
    reason: str = Field(min_length=1, max_length=4096)
    output: JsonObject = {}


class FireTimers(Wire):
    """Internal: the time of the context has come; never accepted from the bus."""

    TYPE: ClassVar[str] = "run.fire_timers.v1"


class RecoverRun(Wire):
    """Internal: the store was put back to an earlier state; never accepted from the bus."""

    TYPE: ClassVar[str] = "run.recover_run.v1"


# --- events -------------------------------------------------------------------------------------


class RunStarted(Wire):
    """A run exists, pinned to its definition and to its agents' digests.

    Attributes:
        doubtful: it may have begun before, in what was lost when the store was put back: nobody
            knows what its `once` agents have done.
    """

    TYPE: ClassVar[str] = "run.run_started.v1"
    tenant: str
    workflow: str
    definition_digest: Digest
    agents: dict[str, Digest] = {}
    trigger_id: str
    trigger_aggregate: Id
    partition: str
    inputs: JsonObject = {}
    requested_by: str = ""
    traceparent: str | None = None
    started_us: TimeUs
    ends_by_us: TimeUs
    doubtful: bool = False


class RunRecovered(Wire):
    """The store was put back: what the run's `once` agents have done since then nobody knows.

    Such an attempt in flight is of unknown outcome, and so is each that follows, until somebody
    has settled one of its node.
    """

    TYPE: ClassVar[str] = "run.run_recovered.v1"
    by: str
    recovered_us: TimeUs


class TaskScheduled(Wire):
    """A task was put on its queue."""

    TYPE: ClassVar[str] = "run.task_scheduled.v1"
    node: str
    attempt: int
    phase: Phase = Phase.RUN
    scheduled_us: TimeUs
    queued_until_us: TimeUs | None = None
    ends_by_us: TimeUs


class TaskStarted(Wire):
    """An executor began (repeatable), or holds the only right to begin (once)."""

    TYPE: ClassVar[str] = "run.task_started.v1"
    node: str
    attempt: int
    executor: str
    nonce: str | None = None
    running_until_us: TimeUs | None = None


class TaskResultReceived(Wire):
    """A task has succeeded, and what it left is not durable yet: the node settles once it is."""

    TYPE: ClassVar[str] = "run.task_result_received.v1"
    node: str
    attempt: int
    output: JsonObject | None = None
    plan: PlannedChange | None = None
    artifacts: tuple[Artifact, ...]
    executor: str = ""
    usage: Usage = Usage()
    received_us: TimeUs


class NodeSucceeded(Wire):
    """A node has its output.

    Attributes:
        artifacts: durable, every one.
    """

    TYPE: ClassVar[str] = "run.node_succeeded.v1"
    node: str
    attempt: int
    output: JsonObject = {}
    executor: str = ""
    usage: Usage = Usage()
    artifacts: tuple[Artifact, ...] = ()


class PlanMade(Wire):
    """An agent has said what it would do; people are asked next.

    Attributes:
        binding: what an approval of it will be bound to.
        artifacts: what the planning agent left; durable, every one.
    """

    TYPE: ClassVar[str] = "run.plan_made.v1"
    node: str
    attempt: int
    plan: PlannedChange
    binding: Binding
    executor: str = ""
    usage: Usage = Usage()
    artifacts: tuple[Artifact, ...] = ()


class OutcomeUnknown(Wire):
    """A claimed attempt gave no sign any more: the effect may have happened. A person decides."""

    TYPE: ClassVar[str] = "run.outcome_unknown.v1"
    node: str
    attempt: int
    error: Failure


class OutcomeSettled(Wire):
    """A person has found out whether the effect happened."""

    TYPE: ClassVar[str] = "run.outcome_settled.v1"
    node: str
    attempt: int
    happened: bool
    by: str
    reason: str
    output: JsonObject = {}


class AttemptFailed(Wire):
    """An attempt failed and another will follow at `retry_at_us`."""

    TYPE: ClassVar[str] = "run.attempt_failed.v1"
    node: str
    attempt: int
    error: Failure
    retry_at_us: TimeUs
    usage: Usage = Usage()


class NodeFailed(Wire):
    """A node failed for good (`attempt` 0: before its first task)."""

    TYPE: ClassVar[str] = "run.node_failed.v1"
    node: str
    attempt: int
    error: Failure
    usage: Usage = Usage()


class SkipReason(StrEnum):
    """Why a node did not run."""

    CONDITION = "condition"
    UPSTREAM = "upstream"


class NodeSkipped(Wire):
    """A node will not run."""

    TYPE: ClassVar[str] = "run.node_skipped.v1"
    node: str
    reason: SkipReason


class GateOpened(Wire):
    """A node waits for a human decision."""

    TYPE: ClassVar[str] = "run.gate_opened.v1"
    node: str
    attempt: int
    approval_id: Id
    binding: Binding
    opened_us: TimeUs
    expires_us: TimeUs


class GatePassed(Wire):
    """The decision allows the node to go on."""

    TYPE: ClassVar[str] = "run.gate_passed.v1"
    node: str
    attempt: int
    approval_id: Id
    by: str
    reason: str = ""
    answers: JsonObject = {}
    grant: SignedGrant | None = None


class GatePushedBack(Wire):
    """An approver wants other work first: a node and all between it and the gate run again.

    Attributes:
        node: the gate's.
        to: the node that gets the feedback.
        reset: every node that runs again, the gate's own included.
    """

    TYPE: ClassVar[str] = "run.gate_pushed_back.v1"
    node: str
    attempt: int
    approval_id: Id
    to: str
    by: str
    feedback: str
    reset: tuple[str, ...]


class RunCause(Wire):
    """What ended a run before its time: the node, if one did, and its failure."""

    node: str | None = None
    error: Failure


class RunSucceeded(Wire):
    """Every node is settled and none failed the run."""

    TYPE: ClassVar[str] = "run.run_succeeded.v1"
    outputs: JsonObject = {}
    ended_us: TimeUs


class RunFailed(Wire):
    """The run ended by a failure; unfinished nodes are cancelled with it."""

    TYPE: ClassVar[str] = "run.run_failed.v1"
    cause: RunCause
    ended_us: TimeUs


class RunCancelled(Wire):
    """The run was stopped by request; unfinished nodes are cancelled with it."""

    TYPE: ClassVar[str] = "run.run_cancelled.v1"
    by: str
    reason: str = ""
    ended_us: TimeUs


class CommandRejected(Wire):
    """A command was refused, said once per command id."""

    TYPE: ClassVar[str] = "run.command_rejected.v1"
    command_id: str
    command: str
    code: str
    detail: str = Field(default="", max_length=4096)
