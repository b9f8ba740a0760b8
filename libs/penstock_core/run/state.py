"""The state of a run: immutable, shared, cheap to change one node of."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from immutables import Map

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.grant.v1 import Binding, SignedGrant
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.run.v1 import RunCause, TaskResultReceived
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import MICROSECONDS, Failure, JsonObject, Phase
from penstock_core.workflow.plan import Plan

PUSH_BACKS_MAX = 10  # of one gate in one run
LOSSES_MAX = 3  # results of one node whose artifacts were lost, before that fails it
STORING_MAX_US = 3_600 * MICROSECONDS  # for the artifacts of a result to become durable
REJECTED_KEPT = 16  # ids of refused commands that are remembered, so that a copy is not told twice


class RunStatus(StrEnum):
    """Where a run stands."""

    ABSENT = "absent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class NodeStatus(StrEnum):
    """Where a node stands."""

    WAITING = "waiting"
    GATED = "gated"
    QUEUED = "queued"
    RUNNING = "running"
    STORING = "storing"
    UNKNOWN = "unknown"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


SETTLED = frozenset(
    {NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED}
)
ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class Review(NamedTuple):
    """What people have to do with a node: its plan, its gate, and what they sent back.

    Apart from the rest, so that the nodes that nobody reviews cost nothing.

    Attributes:
        gate_attempt: attempt that the gate was opened for; 0: never.
        plan: what the agent would do, until the node begins again.
        binding: what an approval is bound to.
        grant: proof of the approval.
        decision: by whom, why, and the answers to the gate's form, once the gate is passed.
        feedback: of the last push back to this node.
        run_feedback: of the last push back in the run when the node began; templates see it for
            as long as the attempts of that beginning last, whatever is pushed back meanwhile.
        push_backs: how often this gate has sent work back.
        attempts_before: attempts made before the last push back; retries count from there.
        because: why people are asked again; "" until they have been asked once.
    """

    gate_attempt: int = 0
    plan: PlannedChange | None = None
    binding: Binding | None = None
    grant: SignedGrant | None = None
    decision: JsonObject | None = None
    feedback: str = ""
    run_feedback: str = ""
    push_backs: int = 0
    attempts_before: int = 0
    because: str = ""


NO_REVIEW = Review()


class NodeState(NamedTuple):
    """One node of a run. A named tuple: changing a field costs a fifth of a frozen dataclass.

    Attributes:
        pending: parents that are not settled yet.
        approved: its gate has been passed.
        asked_us: when its task or its approval was asked for.
        due_us: next own due time of the attempt or of the retry wait.
        review: None until a person is asked about the node or sends it back to work.
        received: the result that stands once its artifacts are durable.
        artifacts: durable, of the attempt that succeeded.
        losses: attempts that had succeeded, and whose artifacts were lost; they cost no retry.
    """

    status: NodeStatus = NodeStatus.WAITING
    pending: int = 0
    attempt: int = 0
    phase: Phase = Phase.RUN
    approved: bool = False
    approval_id: str | None = None
    asked_us: int = 0
    queued_until_us: int | None = None
    running_until_us: int | None = None
    ends_by_us: int | None = None
    retry_at_us: int | None = None
    gate_expires_us: int | None = None
    nonce: str | None = None
    executor: str = ""
    output: JsonObject | None = None
    error: Failure | None = None
    review: Review | None = None
    received: TaskResultReceived | None = None
    artifacts: tuple[Artifact, ...] = ()
    losses: int = 0

    @property
    def reviewed(self) -> Review:
        """Give the review, an empty one if there is none."""
        return self.review or NO_REVIEW

    @property
    def tries(self) -> int:
        """Count the attempts since the node last began anew."""
        before = 0 if self.review is None else self.review.attempts_before
        return self.attempt - before - self.losses

    @property
    def due_us(self) -> int | None:
        """Give the earliest of the times that now apply."""
        match self.status:
            case NodeStatus.QUEUED:
                return _earliest(self.queued_until_us, self.ends_by_us)
            case NodeStatus.RUNNING:
                return _earliest(self.running_until_us, self.ends_by_us)
            case NodeStatus.RETRYING:
                return self.retry_at_us
            case NodeStatus.STORING:
                return self.received and self.received.received_us + STORING_MAX_US
            case _:
                return None


def _earliest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


class RunState(NamedTuple):
    """A run.

    Attributes:
        plan: the compiled definition the run is pinned to; given by whoever loads the run.
        version: events applied so far.
        agents: digest of each agent the run is pinned to.
        unsettled: nodes that are not settled yet; after the end, those of unknown outcome.
        feedback: what was said with the last push back.
        doubts: nodes of `once` agents of which nobody knows what they have done since the store
            was put back; until somebody says so, each of their attempts is of unknown outcome.
        frozen: parked messages that an operator has to deal with; while there are any, later
            ones park behind them.
    """

    run_id: str
    plan: Plan | None = None
    version: int = 0
    status: RunStatus = RunStatus.ABSENT
    tenant: str = ""
    workflow: str = ""
    definition_digest: str = ""
    agents: Mapping[str, str] = {}
    trigger_id: str = ""
    trigger_aggregate: str = ""
    partition: str = ""
    inputs: JsonObject = {}  # noqa: RUF012 - never changed: the state is immutable
    requested_by: str = ""
    traceparent: str | None = None
    started_us: int = 0
    ends_by_us: int = 0
    ended_us: int | None = None
    nodes: Map[str, NodeState] = Map()
    unsettled: int = 0
    cause: RunCause | None = None
    outputs: JsonObject | None = None
    feedback: str = ""
    doubts: frozenset[str] = frozenset()
    rejected: tuple[str, ...] = ()
    frozen: tuple[MessageParked, ...] = ()
