"""The catalog's functions behind the one decider interface."""

from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_contracts.values import Wire
from penstock_core.catalog.decide import decide
from penstock_core.catalog.effects import start_run
from penstock_core.catalog.evolve import evolve
from penstock_core.catalog.state import EntryState
from penstock_core.decision import Context, Outcome
from penstock_core.effects import REASK_FIRST_US, Effect, Outstanding


class CatalogDecider:
    """Decider over `EntryState`; stateless. `context.library` holds the other entries."""

    def decide(self, state: EntryState, command: Wire, context: Context) -> Outcome:
        """Answer a command to the catalog."""
        return decide(state, command, context)

    def evolve(self, state: EntryState, event: Wire) -> EntryState:
        """Apply one event."""
        return evolve(state, event)

    def effects(self, before: EntryState, event: Wire, after: EntryState) -> tuple[Effect, ...]:
        """Give the starts that a matched trigger calls for."""
        if isinstance(event, TriggerMatched):
            return tuple(start_run(after, run) for run in event.runs)
        return ()

    def outstanding(self, state: EntryState) -> tuple[Outstanding, ...]:
        """Give the starts that are not confirmed yet."""
        return tuple(Outstanding(start_run(state, run), state.asked_us) for run in state.waiting)

    def is_open(self, state: EntryState) -> bool:
        """Tell cheaply whether the state may still wait for anything."""
        return bool(state.waiting)

    def due_of(self, event: Wire) -> int | None:
        """Give the first re-ask time of a start."""
        return event.matched_us + REASK_FIRST_US if isinstance(event, TriggerMatched) else None

    def own_due(self, state: EntryState) -> int | None:
        """Give nothing: catalog entries have no timers of their own yet."""
        return None
