"""A run partition: what the runtime needs to know of runs."""

from penstock_contracts.codes import Code
from penstock_contracts.ids import task_id
from penstock_contracts.partition.v1 import RedriveMessages, StoreRecovered
from penstock_contracts.registry import type_of
from penstock_contracts.run.v1 import (
    ApplyDecision,
    CancelRun,
    ClaimTask,
    CommandRejected,
    ConfirmArtifacts,
    FireTimers,
    ReportResult,
    ReportStarted,
    RestoreArtifact,
    RunStarted,
    SettleOutcome,
    StartRun,
)
from penstock_contracts.subjects import CATALOG_PARTITION, Stream, runs_of_partition
from penstock_contracts.values import Phase, Wire
from penstock_core.catalog.library import Library
from penstock_core.decision import Rejection
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import RunState
from penstock_runtime.cells import event_of
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.domain import Addressed, Labels, Refused
from penstock_runtime.ports.inbox import Received, Source
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.reading import addressed, one_of, read_envelope

PAGE = 1_000
_TIMER = FireTimers()
_LOSSES = (StoreRecovered.TYPE,)


def sources(partition: str) -> tuple[Source, ...]:
    """Give what a run partition consumes."""
    return (Source(Stream.RUNS.value, runs_of_partition(partition)),)


class RunDomain:
    """What the runtime needs to know of runs."""

    service = "scheduler"

    def __init__(self, definitions: Definitions, codes: TaskCodeBook) -> None:
        """Compile plans by `definitions`; believe executors by `codes`."""
        self._definitions = definitions
        self._codes = codes
        self.decider = RunDecider()

    @property
    def timer(self) -> Wire:
        """The command that says: the time of the context has come."""
        return _TIMER

    def read(self, message: Received) -> Addressed:
        """Understand a command to a run; an executor's word needs its task's code."""
        address, envelope, command = read_envelope(message)
        run_id = address.rest[1]
        match command:
            case (
                StartRun() | CancelRun() | SettleOutcome() | ConfirmArtifacts() | RestoreArtifact()
            ):
                one_of(command.run_id, address, 1)
            case ClaimTask() | ReportStarted():
                self._check_code(run_id, command, *Phase)
            case ReportResult():
                self._check_code(run_id, command, command.phase)
            case ApplyDecision() | RedriveMessages():
                pass
            case _:
                raise Refused(Code.UNKNOWN_TYPE)
        return addressed(run_id, address, envelope, command)

    def _check_code(
        self, run_id: str, command: ClaimTask | ReportStarted | ReportResult, *phases: Phase
    ) -> None:
        """Believe only who was given the task, in one of `phases`."""
        named = command.task_id
        if not any(
            named == task_id(run_id, command.node, command.attempt, phase) for phase in phases
        ) or not self._codes.matches(named, command.token):
            raise Refused(Code.FORGED)

    async def blank(self, aggregate_id: str, hint: Wire | None) -> RunState:
        """Make the state before the first event, with the plan the run is pinned to."""
        if not isinstance(hint, StartRun | RunStarted):
            return RunState(aggregate_id)
        plan = await self._definitions.plan(
            hint.tenant, hint.workflow, hint.definition_digest, hint.agents
        )
        return RunState(aggregate_id, plan=plan)

    def labels(self, state: RunState) -> Labels:
        """Mark events with the run."""
        return Labels(state.tenant, state.run_id, state.traceparent)

    def refusal(self, command: Wire, command_id: str, rejection: Rejection) -> Wire | None:
        """Tell whoever asked over HTTP."""
        if not isinstance(command, CancelRun | SettleOutcome | RedriveMessages):
            return None
        return CommandRejected(
            command_id=command_id,
            command=type_of(command),
            code=rejection.code,
            detail=rejection.detail[:4096],
        )

    async def open_library(self, reader: EventReader) -> Library:
        """Fold what is known to be lost, if the store was ever put back."""
        library, after_n = Library(), 0
        while page := await reader.of_topics(CATALOG_PARTITION, _LOSSES, after_n, PAGE):
            for record in page:
                library = library.apply(event_of(record))
            after_n = page[-1].n
        return library

    def fold_library(self, library: Library, event: Wire) -> Library:
        """Change nothing."""
        del event
        return library
