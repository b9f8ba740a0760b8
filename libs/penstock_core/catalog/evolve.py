"""Apply events to a catalog entry."""

from dataclasses import replace

from penstock_contracts.agent import v1 as agent
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import Wire
from penstock_contracts.workflow import v1 as workflow
from penstock_core.catalog.state import EntryState
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import without

REJECTED_KEPT = 16  # ids of refused commands that are remembered


def evolve(state: EntryState, event: Wire) -> EntryState:
    """Give the entry after `event`.

    Raises:
        BrokenInvariant: no event of the catalog.
    """
    state = replace(state, version=state.version + 1)
    match event:
        case agent.AgentRegistered():
            return replace(
                state, kind="agent", tenant=event.tenant, digest=event.digest, in_use=True
            )
        case workflow.WorkflowApplied():
            return replace(
                state, kind="workflow", tenant=event.tenant, digest=event.digest, in_use=True
            )
        case trigger.TokenIssued():
            mark = token_mark(event.sha256, event.roles)
            return replace(state, kind="token", tenant=event.tenant, digest=mark, in_use=True)
        case agent.AgentRemoved() | workflow.WorkflowRemoved() | trigger.TokenRevoked():
            return replace(state, in_use=False)
        case trigger.TriggerMatched():
            return _matched(state, event)
        case trigger.TriggerIgnored():
            return replace(state, kind="trigger", tenant=event.tenant, trigger_id=event.trigger_id)
        case trigger.StartConfirmed():
            left = tuple(run for run in state.waiting if run.run_id != event.run_id)
            return replace(state, waiting=left)
        case agent.AgentUnchanged() | workflow.WorkflowUnchanged() | trigger.TokenUnchanged():
            return state
        case agent.CommandRejected() | workflow.CommandRejected() | trigger.CommandRejected():
            kept = (*state.rejected, event.command_id)[-REJECTED_KEPT:]
            return replace(state, rejected=kept)
        case MessageParked():
            return replace(state, frozen=(*state.frozen, event))
        case MessageRedriven():
            left = without(state.frozen, event)
            return replace(state, frozen=left)
        case _:
            raise BrokenInvariant(f"{type(event).__name__} is no event of the catalog")


def _matched(state: EntryState, event: trigger.TriggerMatched) -> EntryState:
    return replace(
        state,
        kind="trigger",
        tenant=event.tenant,
        trigger_id=event.trigger_id,
        requested_by=event.requested_by,
        traceparent=event.traceparent,
        waiting=event.runs,
        asked_us=event.matched_us,
    )


def token_mark(sha256: str, roles: tuple[str, ...]) -> str:
    """Give what makes a token the same token: its hash and its roles."""
    return f"{sha256}:{','.join(sorted(roles))}"
