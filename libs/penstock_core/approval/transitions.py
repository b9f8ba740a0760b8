"""Which event leads an approval from which status to which: the table that `evolve` obeys.

The state diagram in the documentation is generated from it.
"""

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalWithdrawn,
    VoteCast,
)
from penstock_contracts.values import Wire
from penstock_core.approval.state import ApprovalStatus

_A = ApprovalStatus

APPROVAL_TRANSITIONS: dict[type[Wire], dict[ApprovalStatus, ApprovalStatus]] = {
    ApprovalRequested: {_A.ABSENT: _A.PENDING},
    VoteCast: {_A.PENDING: _A.PENDING},
    ApprovalReminded: {_A.PENDING: _A.PENDING},
    ApprovalGranted: {_A.PENDING: _A.APPROVED},
    ApprovalRejected: {_A.PENDING: _A.REJECTED},
    ApprovalPushedBack: {_A.PENDING: _A.PUSHED_BACK},
    ApprovalExpired: {_A.PENDING: _A.EXPIRED},
    ApprovalWithdrawn: {_A.PENDING: _A.WITHDRAWN},
}
