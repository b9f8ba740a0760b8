"""Messages that could not be processed: how aggregates hold them and give them back.

A message that no aggregate can be named for becomes an aggregate of its own (`ParkedState`), and
so do the refusal of a command whose target does not exist and the record of a recovery; none of
them ever grows.
"""

import base64
from dataclasses import dataclass, replace

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote
from penstock_contracts.codes import Code
from penstock_contracts.ids import derive
from penstock_contracts.partition.v1 import (
    CommandRejected,
    MessageParked,
    MessageRedriven,
    StoreRecovered,
)
from penstock_contracts.registry import name_of
from penstock_contracts.run.v1 import ApplyDecision
from penstock_contracts.subjects import Stream
from penstock_contracts.values import SYSTEM_TENANT, Wire
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.effects import Effect, KeepDead, Outstanding, PutBack

# Commands that only their author may publish: the run asks for its decision again, and a voter
# votes again, so these are let go instead of put back.
_OTHERS_WORD = frozenset({name_of(ApplyDecision.TYPE), name_of(CastVote.TYPE)})


def without(parked: tuple[MessageParked, ...], event: MessageRedriven) -> tuple[MessageParked, ...]:
    """Give `parked` less the message that was put back."""
    gone = (event.stream, event.sequence)
    return tuple(item for item in parked if (item.stream, item.sequence) != gone)


def redrive(
    frozen: tuple[MessageParked, ...], rejected: tuple[str, ...], context: Context
) -> Outcome:
    """Put every parked message back, oldest first."""
    if context.command_id in rejected:
        return Stale(Code.STALE)
    if not frozen:
        return Rejection(Code.STALE, "nothing is parked here any more")
    cut = [item for item in frozen if _is_cut(item)]
    if cut:
        places = ", ".join(f"{item.stream}/{item.sequence}" for item in cut)
        return Rejection(Code.TOO_LARGE, f"only the beginning of {places} was kept")
    return Decision(
        tuple(
            MessageRedriven(stream=item.stream, sequence=item.sequence, by=context.actor)
            for item in frozen
        )
    )


def _is_cut(item: MessageParked) -> bool:
    return len(base64.b64decode(item.raw)) < item.size_bytes


def parking_effects(before: tuple[MessageParked, ...], event: Wire) -> tuple[Effect, ...]:
    """Give DEAD its copy of a parked message, and a stream its message back.

    A timer was no message (sequence 0): once nothing is parked any more it is due by itself.
    """
    match event:
        case MessageParked():
            return (_keep_dead(event),)
        case MessageRedriven():
            wanted = (event.stream, event.sequence)
            return tuple(
                PutBack(item.stream, item.subject, base64.b64decode(item.raw))
                for item in before
                if (item.stream, item.sequence) == wanted
                and item.sequence
                and item.subject.rpartition(".")[2] not in _OTHERS_WORD
            )
        case _:
            return ()


def _keep_dead(event: MessageParked) -> KeepDead:
    address = event.subject.split(".")
    tenant = address[1] if len(address) > 1 else SYSTEM_TENANT
    rest = ".".join(address[2:]) or "unknown"
    return KeepDead(
        subject=subjects.dead(tenant, Stream(event.stream), rest),
        key=derive("dead", event.stream, str(event.sequence), event.subject),
        payload=event.model_dump_json(exclude_defaults=True).encode(),
    )


@dataclass(frozen=True, slots=True)
class ParkedState:
    """A parked message, or a refusal, that belongs to no other aggregate."""

    aggregate_id: str
    version: int = 0
    frozen: tuple[MessageParked, ...] = ()
    rejected: tuple[str, ...] = ()


class ParkedDecider:
    """Decider over `ParkedState`; stateless."""

    def decide(self, state: ParkedState, command: Wire, context: Context) -> Outcome:
        """Refuse everything: an operator's redrive is answered before deciders are asked."""
        del command
        return Stale(Code.STALE)

    def evolve(self, state: ParkedState, event: Wire) -> ParkedState:
        """Apply one event.

        Raises:
            BrokenInvariant: no event of this kind.
        """
        match event:
            case MessageParked():
                frozen = (*state.frozen, event)
            case MessageRedriven():
                frozen = without(state.frozen, event)
            case CommandRejected() | StoreRecovered():
                frozen = state.frozen
            case _:
                raise BrokenInvariant(f"{type(event).__name__} is no event of a parked message")
        return replace(state, version=state.version + 1, frozen=frozen)

    def effects(self, before: ParkedState, event: Wire, after: ParkedState) -> tuple[Effect, ...]:
        """Give nothing beside what parking itself calls for."""
        return ()

    def outstanding(self, state: ParkedState) -> tuple[Outstanding, ...]:
        """Give nothing: an operator is asked, not a service."""
        return ()

    def is_open(self, state: ParkedState) -> bool:
        """Say no: nothing falls due."""
        return False

    def due_of(self, event: Wire) -> int | None:
        """Give nothing."""
        return None

    def own_due(self, state: ParkedState) -> int | None:
        """Give nothing."""
        return None
