"""How an approval answers the run that waits for it."""

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalRequested,
)
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.ids import derive
from penstock_contracts.run.v1 import ApplyDecision, Verdict
from penstock_contracts.subjects import Stream
from penstock_contracts.values import Wire
from penstock_core.approval.state import ApprovalState, ApprovalStatus
from penstock_core.effects import UNSIGNED, Effect, SendCommand

_VERDICTS = {
    ApprovalStatus.APPROVED: Verdict.APPROVED,
    ApprovalStatus.REJECTED: Verdict.REJECTED,
    ApprovalStatus.PUSHED_BACK: Verdict.PUSHED_BACK,
    ApprovalStatus.EXPIRED: Verdict.EXPIRED,
}

_SETTLING = (ApprovalGranted, ApprovalRejected, ApprovalPushedBack, ApprovalExpired)


def answer(state: ApprovalState) -> tuple[Effect, ...]:
    """Give the decision for the run, if there is one yet."""
    request, verdict = state.request, _VERDICTS.get(state.status)
    if request is None or verdict is None:
        return ()
    body = ApplyDecision(
        approval_id=state.approval_id,
        node=request.node,
        attempt=request.attempt,
        verdict=verdict,
        by=", ".join(state.decided_by),
        reason=state.reason,
        to=state.to,
        answers=state.answers or {},
    )
    return (
        SendCommand(
            stream=Stream.RUNS,
            subject=subjects.run(
                request.tenant, request.partition, request.run_id, "apply_decision"
            ),
            about=request.run_id,
            key=derive("apply_decision", state.approval_id),
            body=body,
            tenant=request.tenant,
            correlation_id=request.run_id,
            traceparent=request.traceparent,
            seal=grant(state, request) if verdict is Verdict.APPROVED else None,
        ),
    )


def grant(state: ApprovalState, request: ApprovalRequested) -> Grant:
    """Give the leave that an approval is, still to be signed."""
    return Grant(
        tenant=request.tenant,
        run_id=request.run_id,
        node=request.node,
        attempt=request.attempt,
        approval_id=state.approval_id,
        binding=request.binding,
        principals=state.decided_by,
        granted_us=state.granted_us,
        expires_us=state.grant_until_us,
        key_id=UNSIGNED,
    )


def effects(event: Wire, after: ApprovalState) -> tuple[Effect, ...]:
    """Give the messages that `event` calls for."""
    if isinstance(event, _SETTLING):
        return answer(after)
    return ()
