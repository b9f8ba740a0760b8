"""The approval partition: what the runtime needs to know of approvals."""

from penstock_contracts.approval.v1 import (
    CastVote,
    CommandRejected,
    FireTimers,
    RequestApproval,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.registry import type_of
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_contracts.values import Wire
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.catalog.library import Library
from penstock_core.decision import Rejection
from penstock_runtime.domain import Addressed, Labels, Refused
from penstock_runtime.ports.inbox import Received, Source
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.reading import addressed, one_of, read_envelope

SOURCES = (Source(Stream.APPROVALS.value, STREAM_SUBJECTS[Stream.APPROVALS][0]),)
_TIMER = FireTimers()


class ApprovalDomain:
    """What the runtime needs to know of approvals."""

    service = "approval"

    def __init__(self) -> None:
        """Hold nothing but the stateless decider."""
        self.decider = ApprovalDecider()

    @property
    def timer(self) -> Wire:
        """The command that says: the time of the context has come."""
        return _TIMER

    def read(self, message: Received) -> Addressed:
        """Understand a command to an approval."""
        address, envelope, command = read_envelope(message)
        match command:
            case RequestApproval() | CastVote() | WithdrawApproval():
                one_of(command.approval_id, address, 0)
            case RedriveMessages():
                pass
            case _:
                raise Refused(Code.UNKNOWN_TYPE)
        return addressed(address.rest[0], address, envelope, command)

    async def blank(self, aggregate_id: str, hint: Wire | None) -> ApprovalState:
        """Make the state before the first event."""
        del hint
        return ApprovalState(aggregate_id)

    def labels(self, state: ApprovalState) -> Labels:
        """Mark events with the run that waits."""
        request = state.request
        if request is None:
            return Labels()
        return Labels(request.tenant, request.run_id, request.traceparent)

    def refusal(self, command: Wire, command_id: str, rejection: Rejection) -> Wire | None:
        """Tell whoever voted."""
        if not isinstance(command, CastVote | RedriveMessages):
            return None
        return CommandRejected(
            command_id=command_id,
            command=type_of(command),
            code=rejection.code,
            detail=rejection.detail[:4096],
        )

    async def open_library(self, reader: EventReader) -> Library:
        """Approvals need to know of no other aggregate."""
        del reader
        return Library()

    def fold_library(self, library: Library, event: Wire) -> Library:
        """Change nothing."""
        del event
        return library
