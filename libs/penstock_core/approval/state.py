"""The state of an approval."""

from dataclasses import dataclass
from enum import StrEnum

from penstock_contracts.approval.v1 import ApprovalRequested, VoteCast
from penstock_contracts.partition.v1 import MessageParked


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    ABSENT = "absent"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


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
