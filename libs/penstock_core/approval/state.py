"""The state of an approval."""

from dataclasses import dataclass
from enum import StrEnum

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
    VoteCast,
)
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.values import Wire


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    ABSENT = "absent"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


_A = ApprovalStatus

APPROVAL_TRANSITIONS: dict[type[Wire], dict[ApprovalStatus, ApprovalStatus]] = {
    ApprovalRequested: {_A.ABSENT: _A.PENDING},
    VoteCast: {_A.PENDING: _A.PENDING},
    ApprovalGranted: {_A.PENDING: _A.APPROVED},
    ApprovalRejected: {_A.PENDING: _A.REJECTED},
    ApprovalExpired: {_A.PENDING: _A.EXPIRED},
    ApprovalWithdrawn: {_A.PENDING: _A.WITHDRAWN},
}
"""Which event leads from which status to which; the diagram in the docs is drawn from it."""


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """An approval: what was asked, who voted, what came of it."""

    approval_id: str
    version: int = 0
    status: ApprovalStatus = ApprovalStatus.ABSENT
    request: ApprovalRequested | None = None
    votes: tuple[VoteCast, ...] = ()
    decided_by: tuple[str, ...] = ()
    reason: str = ""
    rejected: tuple[str, ...] = ()
    frozen: tuple[MessageParked, ...] = ()
