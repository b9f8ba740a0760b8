"""The state of an approval."""

from dataclasses import dataclass
from enum import StrEnum

from penstock_contracts.approval.v1 import ApprovalRequested, VoteCast
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.values import MICROSECONDS, JsonObject

REMINDERS_MAX = 100  # of one approval, however long it waits and however short the interval


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    ABSENT = "absent"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    PUSHED_BACK = "pushed_back"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """An approval: what was asked, who voted, what came of it.

    Attributes:
        decided_by: whose votes settled it.
        reason: of the vote that settled it; of a push back: the feedback.
        to: node that was pushed back.
        answers: of the approval that completed the quorum.
        granted_us: when it was approved, and `grant_until_us` how long that stands.
        reminded: number of reminders so far.
    """

    approval_id: str
    version: int = 0
    status: ApprovalStatus = ApprovalStatus.ABSENT
    request: ApprovalRequested | None = None
    votes: tuple[VoteCast, ...] = ()
    decided_by: tuple[str, ...] = ()
    reason: str = ""
    to: str | None = None
    answers: JsonObject | None = None
    granted_us: int = 0
    grant_until_us: int = 0
    reminded: int = 0
    rejected: tuple[str, ...] = ()
    frozen: tuple[MessageParked, ...] = ()

    @property
    def remind_us(self) -> int | None:
        """Time of the next reminder, microseconds; None: none is to come before the expiry."""
        if self.request is None:
            return None
        return reminder_us(self.request, self.reminded + 1)


def reminder_us(request: ApprovalRequested, number: int) -> int | None:
    """Give when reminder `number`, counted from 1, is due; None: there is no such reminder."""
    every_s = request.policy.remind_every_s
    if every_s is None or number > REMINDERS_MAX:
        return None
    due = request.requested_us + number * max(1, int(every_s * MICROSECONDS))
    return due if due < request.expires_us else None
