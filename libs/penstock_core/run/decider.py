"""The run's functions behind the one decider interface."""

from penstock_contracts.values import Wire
from penstock_core.decision import Context, Outcome
from penstock_core.effects import Effect, Outstanding
from penstock_core.run import effects as run_effects
from penstock_core.run.decide import decide
from penstock_core.run.evolve import evolve
from penstock_core.run.state import RunState, RunStatus


class RunDecider:
    """Decider over `RunState`; stateless."""

    def decide(self, state: RunState, command: Wire, context: Context) -> Outcome:
        """Answer a command to a run."""
        return decide(state, command, context)

    def evolve(self, state: RunState, event: Wire) -> RunState:
        """Apply one event."""
        return evolve(state, event)

    def effects(self, before: RunState, event: Wire, after: RunState) -> tuple[Effect, ...]:
        """Give the messages that this event calls for."""
        return run_effects.effects(before, event, after)

    def outstanding(self, state: RunState) -> tuple[Outstanding, ...]:
        """Give everything the run still waits for."""
        return run_effects.outstanding(state)

    def is_open(self, state: RunState) -> bool:
        """Tell cheaply whether the state may still wait for anything."""
        return state.status is RunStatus.RUNNING

    def due_of(self, event: Wire) -> int | None:
        """Give the earliest time at which this event may need attention."""
        return run_effects.due_of(event)

    def own_due(self, state: RunState) -> int | None:
        """Give the earliest of the run's own timers."""
        return run_effects.own_due(state)
