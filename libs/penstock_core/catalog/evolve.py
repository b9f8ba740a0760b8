"""Apply events to a catalog entry."""

from dataclasses import replace

from penstock_contracts.agent import v1 as agent
from penstock_contracts.executor import v1 as executor
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import Wire
from penstock_contracts.workflow import v1 as workflow
from penstock_core.catalog.state import EntryState, EntryStatus
from penstock_core.catalog.transitions import (
    DEFINITION_TRANSITIONS,
    EXECUTOR_TRANSITIONS,
    TRIGGER_TRANSITIONS,
)
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import without

REJECTED_KEPT = 16  # ids of refused commands that are remembered
_MOVES = {**DEFINITION_TRANSITIONS, **TRIGGER_TRANSITIONS, **EXECUTOR_TRANSITIONS}


def evolve(state: EntryState, event: Wire) -> EntryState:
    """Give the entry after `event`.

    Raises:
        BrokenInvariant: no event of the catalog.
    """
    state = replace(state, version=state.version + 1)
    match event:
        case agent.CommandRejected() | workflow.CommandRejected() | trigger.CommandRejected():
            kept = (*state.rejected, event.command_id)[-REJECTED_KEPT:]
            return replace(state, rejected=kept)
        case MessageParked():
            return replace(state, frozen=(*state.frozen, event))
        case MessageRedriven():
            return replace(state, frozen=without(state.frozen, event))
        case _:
            command_id = getattr(event, "command_id", "")
            if command_id:
                state = replace(state, done=state.done.set(command_id, None))
            return _changed(replace(state, status=_status_after(state, event)), event)


def _status_after(state: EntryState, event: Wire) -> EntryStatus:
    moves = _MOVES.get(type(event), {})
    if state.status not in moves:
        raise BrokenInvariant(f"{type(event).__name__} while the entry is {state.status}")
    return moves[state.status]


def _changed(state: EntryState, event: Wire) -> EntryState:
    match event:
        case agent.AgentRegistered():
            return replace(state, kind="agent", tenant=event.tenant, digest=event.digest)
        case workflow.WorkflowApplied():
            return replace(state, kind="workflow", tenant=event.tenant, digest=event.digest)
        case trigger.TokenIssued():
            mark = token_mark(event.sha256, event.roles, event.groups)
            return replace(state, kind="token", tenant=event.tenant, digest=mark)
        case trigger.TriggerMatched():
            return _matched(state, event)
        case trigger.TriggerIgnored():
            return replace(state, kind="trigger", tenant=event.tenant, trigger_id=event.trigger_id)
        case trigger.StartConfirmed():
            left = tuple(run for run in state.waiting if run.run_id != event.run_id)
            return replace(state, waiting=left)
        case executor.BreakerChanged():
            return replace(
                state,
                kind="executor",
                tenant=event.tenant,
                breaker=event.state,
                since_us=event.since_us,
            )
        case _:
            return state


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


def token_mark(sha256: str, roles: tuple[str, ...], groups: tuple[str, ...]) -> str:
    """Give what makes a token the same token: its hash, its roles and its groups."""
    return f"{sha256}:{','.join(sorted(roles))}:{','.join(sorted(groups))}"
