"""Approvals: the commands they take and the events they leave."""

from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict, Field

from penstock_contracts.grant.v1 import Binding
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import Digest, Id, JsonObject, TimeUs, Wire

APPROVER_ROLE = "approver"
BECAUSE_MAX = 2048  # characters of why people are asked again


class Approvers(Wire):
    """Who may decide: any listed user, member of a listed group, or holder of a listed role.

    All empty: the role approver.

    Unknown fields are refused: a misspelt `users` must not open the gate to a whole role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


class Policy(Wire):
    """How a gate is decided.

    Attributes:
        approvers: who may.
        quorum: how many different people have to approve; one rejection is enough to deny.
        separation: whoever asked for the run may not decide on it.
        reason_required: an approval needs a reason; a rejection and a push back always do.
        form: JSON Schema of the answers that an approval has to give; {}: none.
        remind_every_s: seconds between two reminders while it is pending; None: none.
        push_back: nodes that may be sent back to work with feedback; empty: none.
        grant_s: how long the leave stands once given, in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approvers: Approvers = Approvers()
    quorum: int = Field(default=1, ge=1, le=100)
    separation: bool = False
    reason_required: bool = False
    form: JsonObject = {}
    remind_every_s: float | None = Field(default=None, gt=0)
    push_back: tuple[str, ...] = ()
    grant_s: float = Field(default=3600.0, gt=0)


class Proposal(Wire):
    """What exactly will execute once it is approved; all of it is covered by the binding.

    Attributes:
        agent: None for a pure gate.
        plan: of an agent that plans; None where the input alone says what will be done.
        atomic: whether applying is conditional on the state planned against.
    """

    agent: str | None = None
    agent_digest: Digest | None = None
    input: JsonObject = {}
    plan: PlannedChange | None = None
    atomic: bool = True


# --- commands -----------------------------------------------------------------------------------


class RequestApproval(Wire):
    """Ask people to decide on a gate; asked again after settling, the answer is given again.

    Attributes:
        context: what the approvers are to see, rendered from the run's own values.
        because: why they are asked again; "" the first time.
    """

    TYPE: ClassVar[str] = "approval.request_approval.v1"
    approval_id: Id
    tenant: str
    run_id: Id
    partition: str
    workflow: str
    node: str
    attempt: int
    title: str
    context: JsonObject = {}
    proposal: Proposal = Proposal()
    binding: Binding
    policy: Policy = Policy()
    requested_by: str = ""
    because: str = Field(default="", max_length=BECAUSE_MAX)
    expires_us: TimeUs
    traceparent: str | None = None


class Choice(StrEnum):
    """What an approver says."""

    APPROVE = "approve"
    REJECT = "reject"
    PUSH_BACK = "push_back"


class Standing(Wire):
    """What a person is now."""

    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class CastVote(Wire):
    """An authenticated principal's vote; the gateway states who that is.

    Attributes:
        reason: of a push back: the feedback.
        to: node that is to work again, of a push back; None: the only one the policy names.
        answers: to the policy's form.
        digest: of what the voter was shown; None: not said.
        standing: of those who voted before, by name, as it is now; who is not in it, or is no
            approver any more, does not count. None: not said, all count.
    """

    TYPE: ClassVar[str] = "approval.cast_vote.v1"
    approval_id: Id
    choice: Choice
    reason: str = Field(default="", max_length=4096)
    to: str | None = None
    answers: JsonObject = {}
    digest: Digest | None = None
    user: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    standing: dict[str, Standing] | None = None


class WithdrawApproval(Wire):
    """The run no longer waits."""

    TYPE: ClassVar[str] = "approval.withdraw_approval.v1"
    approval_id: Id
    reason: str = ""


class FireTimers(Wire):
    """Internal: the time of the context has come; never accepted from the bus."""

    TYPE: ClassVar[str] = "approval.fire_timers.v1"


# --- events -------------------------------------------------------------------------------------


class ApprovalRequested(Wire):
    """People are asked.

    Attributes:
        because: why they are asked again; "" the first time.
    """

    TYPE: ClassVar[str] = "approval.approval_requested.v1"
    tenant: str
    run_id: Id
    partition: str
    workflow: str
    node: str
    attempt: int
    title: str
    context: JsonObject = {}
    proposal: Proposal = Proposal()
    binding: Binding
    policy: Policy = Policy()
    requested_by: str = ""
    because: str = Field(default="", max_length=BECAUSE_MAX)
    requested_us: TimeUs
    expires_us: TimeUs
    traceparent: str | None = None


class VoteCast(Wire):
    """One person's vote."""

    TYPE: ClassVar[str] = "approval.vote_cast.v1"
    choice: Choice
    user: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    reason: str = ""
    to: str | None = None
    answers: JsonObject = {}
    digest: Digest | None = None


class ApprovalReminded(Wire):
    """It still waits: said every so often, for whoever follows the events."""

    TYPE: ClassVar[str] = "approval.approval_reminded.v1"
    number: int = Field(ge=1)
    at_us: TimeUs
    missing: int = Field(ge=1, description="approvals that the quorum still lacks")


class ApprovalGranted(Wire):
    """The gate may be passed.

    Attributes:
        reason: of the vote that completed the quorum; so are the answers.
        expires_us: end of the grant.
    """

    TYPE: ClassVar[str] = "approval.approval_granted.v1"
    by: tuple[str, ...]
    reason: str = ""
    answers: JsonObject = {}
    granted_us: TimeUs
    expires_us: TimeUs


class ApprovalRejected(Wire):
    """The gate stays shut."""

    TYPE: ClassVar[str] = "approval.approval_rejected.v1"
    by: tuple[str, ...]
    reason: str = ""


class ApprovalPushedBack(Wire):
    """A node has to work again before anybody decides."""

    TYPE: ClassVar[str] = "approval.approval_pushed_back.v1"
    by: tuple[str, ...]
    to: str
    feedback: str


class ApprovalExpired(Wire):
    """Nobody decided in time: denied."""

    TYPE: ClassVar[str] = "approval.approval_expired.v1"


class ApprovalWithdrawn(Wire):
    """The run ended first."""

    TYPE: ClassVar[str] = "approval.approval_withdrawn.v1"
    reason: str = ""


class CommandRejected(Wire):
    """A command was refused, said once per command id."""

    TYPE: ClassVar[str] = "approval.command_rejected.v1"
    command_id: str
    command: str
    code: str
    detail: str = Field(default="", max_length=4096)
