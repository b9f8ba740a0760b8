"""Runs as a recovery sees them: folded and decided on, while no message is read."""

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import FireTimers, RunStarted
from penstock_contracts.values import Wire
from penstock_core.catalog.library import Library
from penstock_core.decision import Rejection
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import RunState
from penstock_runtime.definitions import Definitions
from penstock_runtime.domain import Addressed, Labels, Refused
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.ledger import EventReader

_TIMER = FireTimers()


class RecoveredRuns:
    """`Domain` of runs for whoever has no messages to read."""

    service = "recovery"

    def __init__(self, definitions: Definitions) -> None:
        """Compile plans by `definitions`."""
        self._definitions = definitions
        self.decider = RunDecider()

    @property
    def timer(self) -> Wire:
        """The command that says: the time of the context has come."""
        return _TIMER

    def read(self, message: Received) -> Addressed:
        """Refuse: no message is read here."""
        raise Refused(Code.UNKNOWN_TYPE)

    async def blank(self, aggregate_id: str, hint: Wire | None) -> RunState:
        """Make the state before the first event, with the plan the run is pinned to."""
        if not isinstance(hint, RunStarted):
            return RunState(aggregate_id)
        plan = await self._definitions.plan(
            hint.tenant, hint.workflow, hint.definition_digest, hint.agents
        )
        return RunState(aggregate_id, plan=plan)

    def labels(self, state: RunState) -> Labels:
        """Mark events with the run."""
        return Labels(state.tenant, state.run_id, state.traceparent)

    def refusal(self, command: Wire, command_id: str, rejection: Rejection) -> Wire | None:
        """Tell nobody."""
        return None

    async def open_library(self, reader: EventReader) -> Library:
        """Need to know of no other aggregate."""
        return Library()

    def fold_library(self, library: Library, event: Wire) -> Library:
        """Change nothing."""
        return library
