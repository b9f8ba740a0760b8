"""Decide on a command to an approval."""

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalWithdrawn,
    CastVote,
    FireTimers,
    RequestApproval,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.values import Wire
from penstock_core.approval.effects import answer
from penstock_core.approval.state import ApprovalState, ApprovalStatus
from penstock_core.approval.voting import approvals_missing, vote
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Stale


def decide(state: ApprovalState, command: Wire, context: Context) -> Outcome:
    """Answer a command to an approval.

    A command from another tenant finds no approval here, whatever its id.

    Raises:
        BrokenInvariant: the command is of another kind.
    """
    match command:
        case RequestApproval():
            return _request(state, command, context)
        case CastVote():
            return vote(state, command, context)
        case WithdrawApproval():
            return _withdraw(state, command, context)
        case FireTimers():
            return _fire(state, context)
        case _:
            raise BrokenInvariant(f"{type(command).__name__} is no command to an approval")


def _request(state: ApprovalState, command: RequestApproval, context: Context) -> Outcome:
    tenant = command.tenant if state.request is None else state.request.tenant
    if tenant != context.tenant:
        return Stale(Code.UNKNOWN_APPROVAL)
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
        proposal=command.proposal,
        binding=command.binding,
        policy=command.policy,
        requested_by=command.requested_by,
        because=command.because,
        requested_us=context.now_us,
        expires_us=command.expires_us,
        traceparent=command.traceparent,
    )
    return Decision((requested,))


def _withdraw(state: ApprovalState, command: WithdrawApproval, context: Context) -> Outcome:
    if state.request is None or context.tenant != state.request.tenant:
        return Stale(Code.UNKNOWN_APPROVAL)
    if state.status is not ApprovalStatus.PENDING:
        return Stale(Code.STALE)
    return Decision((ApprovalWithdrawn(reason=command.reason),))


def _fire(state: ApprovalState, context: Context) -> Outcome:
    """Expire or remind; a settled approval ignores its late timer."""
    request = state.request
    if request is None or state.status is not ApprovalStatus.PENDING:
        return Stale(Code.STALE)
    if request.expires_us <= context.now_us:
        return Decision((ApprovalExpired(),))
    due = state.remind_us
    if due is None or due > context.now_us:
        return Stale(Code.STALE)
    reminded = ApprovalReminded(
        number=state.reminded + 1,
        at_us=due,
        missing=approvals_missing(state, request.policy),
    )
    return Decision((reminded,))
