"""Decide on a command to an approval."""

from penstock_contracts.approval.v1 import (
    APPROVER_ROLE,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
    Approvers,
    CastVote,
    Choice,
    FireTimers,
    RequestApproval,
    VoteCast,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.values import Wire
from penstock_core.approval.effects import answer
from penstock_core.approval.state import ApprovalState, ApprovalStatus
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale


def decide(state: ApprovalState, command: Wire, context: Context) -> Outcome:
    """Answer a command to an approval.

    Raises:
        BrokenInvariant: the command is of another kind.
    """
    match command:
        case RequestApproval():
            return _request(state, command, context)
        case CastVote():
            return _vote(state, command, context)
        case WithdrawApproval():
            return _withdraw(state, command)
        case FireTimers():
            return _expire(state, context)
        case _:
            raise BrokenInvariant(f"{type(command).__name__} is no command to an approval")


def _request(state: ApprovalState, command: RequestApproval, context: Context) -> Outcome:
    if state.status is not ApprovalStatus.ABSENT:
        return Stale(Code.STALE, answer(state))
    requested = ApprovalRequested(
        tenant=command.tenant,
        run_id=command.run_id,
        partition=command.partition,
        workflow=command.workflow,
        node=command.node,
        attempt=command.attempt,
        title=command.title,
        context=command.context,
        approvers=command.approvers,
        requested_by=command.requested_by,
        reason_required=command.reason_required,
        requested_us=context.now_us,
        expires_us=command.expires_us,
        traceparent=command.traceparent,
    )
    return Decision((requested,))


def _vote(state: ApprovalState, command: CastVote, context: Context) -> Outcome:
    if context.command_id in state.rejected:
        return Stale(Code.STALE)
    request = state.request
    if request is None:
        return Rejection(Code.UNKNOWN_APPROVAL, f"there is no approval {state.approval_id}")
    if state.status is not ApprovalStatus.PENDING:
        if any(vote.user == command.user for vote in state.votes):
            return Rejection(Code.ALREADY_DECIDED, f"already {state.status}, with your vote")
        return Rejection(Code.ALREADY_DECIDED, f"already {state.status}")
    if context.now_us >= request.expires_us:
        return Rejection(Code.LATE, "the approval expired before this vote arrived")
    if not allowed(request.approvers, command.user, command.roles):
        return Rejection(Code.NOT_ALLOWED, f"{command.user} is not an approver of this gate")
    if not command.reason and (request.reason_required or command.choice is Choice.REJECT):
        return Rejection(Code.REASON_REQUIRED, "give a reason with this decision")
    vote = VoteCast(
        choice=command.choice, user=command.user, roles=command.roles, reason=command.reason
    )
    settled = ApprovalGranted if command.choice is Choice.APPROVE else ApprovalRejected
    return Decision((vote, settled(by=(command.user,), reason=command.reason)))


def allowed(approvers: Approvers, user: str, roles: tuple[str, ...]) -> bool:
    """Tell whether a principal is among the approvers of a gate."""
    if user in approvers.users:
        return True
    wanted = approvers.roles
    if not wanted and not approvers.users:
        wanted = (APPROVER_ROLE, "admin")
    return any(role in wanted for role in roles)


def _withdraw(state: ApprovalState, command: WithdrawApproval) -> Outcome:
    if state.status is ApprovalStatus.ABSENT:
        return Stale(Code.UNKNOWN_APPROVAL)
    if state.status is not ApprovalStatus.PENDING:
        return Stale(Code.STALE)
    return Decision((ApprovalWithdrawn(reason=command.reason),))


def _expire(state: ApprovalState, context: Context) -> Outcome:
    request = state.request
    if request is None or state.status is not ApprovalStatus.PENDING:
        return Stale(Code.STALE)
    if request.expires_us > context.now_us:
        return Stale(Code.STALE)
    return Decision((ApprovalExpired(),))
