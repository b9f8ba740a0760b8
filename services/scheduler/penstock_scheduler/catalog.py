"""The catalog partition: agents, workflows, tokens and the matching of triggers."""

from penstock_contracts.agent import v1 as agent
from penstock_contracts.codes import Code
from penstock_contracts.executor.v1 import ReportBreaker
from penstock_contracts.ids import agent_id, executor_id, token_id, workflow_id
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.registry import type_of
from penstock_contracts.subjects import (
    CATALOG_PARTITION,
    STREAM_SUBJECTS,
    Address,
    Stream,
    executor_token,
)
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import Wire
from penstock_contracts.workflow import v1 as workflow
from penstock_core.catalog.decider import CatalogDecider
from penstock_core.catalog.library import LIBRARY_EVENTS, Library
from penstock_core.catalog.state import EntryState
from penstock_core.decision import Rejection
from penstock_runtime.cells import event_of
from penstock_runtime.domain import Addressed, Labels, Refused
from penstock_runtime.ports.inbox import Received, Source
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.reading import addressed, one_of, read_envelope
from penstock_scheduler.triggers import read_trigger

SOURCES = tuple(
    Source(stream.value, STREAM_SUBJECTS[stream][0]) for stream in (Stream.TRIGGERS, Stream.CATALOG)
)
PAGE = 1_000


class CatalogDomain:
    """What the runtime needs to know of the catalog."""

    service = "scheduler"

    def __init__(self) -> None:
        """Hold nothing but the stateless decider."""
        self.decider = CatalogDecider()

    @property
    def timer(self) -> Wire:
        """Catalog entries have no timers of their own.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("catalog entries have no timers")

    def read(self, message: Received) -> Addressed:
        """Understand a trigger or a catalog command."""
        if message.stream == Stream.TRIGGERS:
            return read_trigger(message)
        address, envelope, command = read_envelope(message)
        return addressed(_aggregate(address, command), address, envelope, command)

    async def blank(self, aggregate_id: str, hint: Wire | None) -> EntryState:
        """Make the state before the first event."""
        del hint
        return EntryState(aggregate_id)

    def labels(self, state: EntryState) -> Labels:
        """Mark events with tenant and, for triggers, the trigger's id."""
        return Labels(
            tenant=state.tenant or "default",
            correlation_id=state.trigger_id,
            traceparent=state.traceparent,
        )

    def refusal(self, command: Wire, command_id: str, rejection: Rejection) -> Wire | None:
        """Tell whoever sent a command over HTTP."""
        told = {
            "command_id": command_id,
            "command": type_of(command),
            "code": rejection.code,
            "detail": rejection.detail[:4096],
        }
        match command:
            case agent.RegisterAgent() | agent.RemoveAgent():
                return agent.CommandRejected.model_validate(told)
            case workflow.ApplyWorkflow() | workflow.RemoveWorkflow():
                return workflow.CommandRejected(
                    command_id=command_id,
                    command=type_of(command),
                    code=rejection.code,
                    detail=rejection.detail[:4096],
                    problems=rejection.problems,
                )
            case trigger.IssueToken() | trigger.RevokeToken() | RedriveMessages():
                return trigger.CommandRejected.model_validate(told)
            case _:
                return None

    async def open_library(self, reader: EventReader) -> Library:
        """Fold all agents and workflows."""
        library, after_n = Library(), 0
        while True:
            page = await reader.of_topics(CATALOG_PARTITION, LIBRARY_EVENTS, after_n, PAGE)
            for record in page:
                library = library.apply(event_of(record))
            if len(page) < PAGE:
                return library
            after_n = page[-1].n

    def fold_library(self, library: Library, event: Wire) -> Library:
        """Keep it current."""
        return library.apply(event)


def _aggregate(address: Address, command: Wire) -> str:
    tenant = address.tenant
    match command:
        case agent.RegisterAgent():
            return agent_id(tenant, one_of(command.manifest.name, address, 1))
        case agent.RemoveAgent():
            return agent_id(tenant, one_of(command.name, address, 1))
        case workflow.ApplyWorkflow():
            return workflow_id(tenant, one_of(str(command.document.get("name")), address, 1))
        case workflow.RemoveWorkflow():
            return workflow_id(tenant, one_of(command.name, address, 1))
        case trigger.IssueToken() | trigger.RevokeToken():
            return token_id(tenant, one_of(command.name, address, 1))
        case ReportBreaker():
            return executor_id(tenant, one_of(executor_token(command.executor), address, 1))
        case trigger.ConfirmStart():
            return one_of(command.trigger_aggregate, address, 1)
        case RedriveMessages():
            return command.aggregate
        case _:
            raise Refused(Code.UNKNOWN_TYPE)
