"""Apply events to an approval."""

from dataclasses import replace

from penstock_contracts.approval.v1 import (
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalWithdrawn,
    CommandRejected,
    VoteCast,
)
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.values import Wire
from penstock_core.approval.state import ApprovalState
from penstock_core.approval.transitions import APPROVAL_TRANSITIONS
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import without

REJECTED_KEPT = 16  # ids of refused commands that are remembered


def evolve(state: ApprovalState, event: Wire) -> ApprovalState:
    """Give the state after `event`.

    Raises:
        BrokenInvariant: the table allows no such step.
    """
    version = state.version + 1
    match event:
        case CommandRejected():
            kept = (*state.rejected, event.command_id)[-REJECTED_KEPT:]
            return replace(state, version=version, rejected=kept)
        case MessageParked():
            return replace(state, version=version, frozen=(*state.frozen, event))
        case MessageRedriven():
            left = without(state.frozen, event)
            return replace(state, version=version, frozen=left)
        case _:
            return _step(replace(state, version=version), event)


def _step(state: ApprovalState, event: Wire) -> ApprovalState:
    status = APPROVAL_TRANSITIONS.get(type(event), {}).get(state.status)
    if status is None:
        raise BrokenInvariant(f"{type(event).__name__} while the approval is {state.status}")
    state = replace(state, status=status)
    match event:
        case ApprovalRequested():
            return replace(state, request=event)
        case VoteCast():
            return replace(state, votes=(*state.votes, event))
        case ApprovalReminded():
            return replace(state, reminded=event.number)
        case ApprovalGranted():
            return replace(
                state,
                decided_by=event.by,
                reason=event.reason,
                answers=event.answers,
                granted_us=event.granted_us,
                grant_until_us=event.expires_us,
            )
        case ApprovalRejected():
            return replace(state, decided_by=event.by, reason=event.reason)
        case ApprovalPushedBack():
            return replace(state, decided_by=event.by, reason=event.feedback, to=event.to)
        case ApprovalWithdrawn():
            return replace(state, reason=event.reason)
        case _:
            return state
