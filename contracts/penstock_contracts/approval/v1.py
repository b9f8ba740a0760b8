"""Approvals: the commands they take and the events they leave."""

from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict, Field

from penstock_contracts.values import Id, JsonObject, TimeUs, Wire

APPROVER_ROLE = "approver"


class Approvers(Wire):
    """Who may decide: any listed user, or anybody with a listed role; empty: the role approver.

    Unknown fields are refused: a misspelt `users` must not open the gate to a whole role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


# --- commands -----------------------------------------------------------------------------------


class RequestApproval(Wire):
    """Ask people to decide on a gate; asked again after settling, the answer is given again.

    Attributes:
        context: what the approvers are to see, rendered from the run's own values.
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
    approvers: Approvers = Approvers()
    requested_by: str = ""
    reason_required: bool = False
    expires_us: TimeUs
    traceparent: str | None = None


class Choice(StrEnum):
    """What an approver says."""

    APPROVE = "approve"
    REJECT = "reject"


class CastVote(Wire):
    """An authenticated principal's vote; the gateway states user and roles."""

    TYPE: ClassVar[str] = "approval.cast_vote.v1"
    approval_id: Id
    choice: Choice
    reason: str = Field(default="", max_length=4096)
    user: str
    roles: tuple[str, ...] = ()


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
    """People are asked."""

    TYPE: ClassVar[str] = "approval.approval_requested.v1"
    tenant: str
    run_id: Id
    partition: str
    workflow: str
    node: str
    attempt: int
    title: str
    context: JsonObject = {}
    approvers: Approvers = Approvers()
    requested_by: str = ""
    reason_required: bool = False
    requested_us: TimeUs
    expires_us: TimeUs
    traceparent: str | None = None


class VoteCast(Wire):
    """One person's vote."""

    TYPE: ClassVar[str] = "approval.vote_cast.v1"
    choice: Choice
    user: str
    roles: tuple[str, ...] = ()
    reason: str = ""


class ApprovalGranted(Wire):
    """The gate may be passed."""

    TYPE: ClassVar[str] = "approval.approval_granted.v1"
    by: tuple[str, ...]
    reason: str = ""


class ApprovalRejected(Wire):
    """The gate stays shut."""

    TYPE: ClassVar[str] = "approval.approval_rejected.v1"
    by: tuple[str, ...]
    reason: str = ""


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
