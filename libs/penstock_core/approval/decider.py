"""The approval's functions behind the one decider interface."""

from penstock_contracts.approval.v1 import ApprovalRequested
from penstock_contracts.values import Wire
from penstock_core.approval import effects as approval_effects
from penstock_core.approval.decide import decide
from penstock_core.approval.evolve import evolve
from penstock_core.approval.state import ApprovalState, ApprovalStatus, reminder_us
from penstock_core.decision import Context, Outcome
from penstock_core.effects import Effect, Outstanding


class ApprovalDecider:
    """Decider over `ApprovalState`; stateless.

    An approval asks nobody for anything, so nothing of it is ever outstanding: the run that
    waits asks again, and a settled approval answers again.
    """

    def decide(self, state: ApprovalState, command: Wire, context: Context) -> Outcome:
        """Answer a command to an approval."""
        return decide(state, command, context)

    def evolve(self, state: ApprovalState, event: Wire) -> ApprovalState:
        """Apply one event."""
        return evolve(state, event)

    def effects(
        self, before: ApprovalState, event: Wire, after: ApprovalState
    ) -> tuple[Effect, ...]:
        """Give the messages that this event calls for."""
        return approval_effects.effects(event, after)

    def outstanding(self, state: ApprovalState) -> tuple[Outstanding, ...]:
        """Give nothing: see the class."""
        return ()

    def is_open(self, state: ApprovalState) -> bool:
        """Tell cheaply whether the state may still wait for anything."""
        return state.status is ApprovalStatus.PENDING

    def due_of(self, event: Wire) -> int | None:
        """Give the first reminder or the expiry of a request.

        A reminder needs no time of its own: the index already holds an earlier one.
        """
        if not isinstance(event, ApprovalRequested):
            return None
        return _earliest(reminder_us(event, 1), event.expires_us)

    def own_due(self, state: ApprovalState) -> int | None:
        """Give the next reminder or the expiry while the approval is pending."""
        if state.status is ApprovalStatus.PENDING and state.request is not None:
            return _earliest(state.remind_us, state.request.expires_us)
        return None


def _earliest(reminder_due_us: int | None, expires_us: int) -> int:
    return expires_us if reminder_due_us is None else min(reminder_due_us, expires_us)
