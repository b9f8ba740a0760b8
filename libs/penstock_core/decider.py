"""The one interface of everything that decides: runs, approvals, catalog entries, partitions."""

from typing import Protocol, TypeVar

from penstock_contracts.values import Wire
from penstock_core.decision import Context, Outcome
from penstock_core.effects import Effect, Outstanding, reask_after

S = TypeVar("S")


class Decider(Protocol[S]):
    """Pure functions over one kind of state.

    Laws: `evolve` alone changes state; everything `effects` gives for an event is either settled
    by a later event or asked again by `outstanding`; `due_of` is never later than what
    `next_due` says after that event.
    """

    def decide(self, state: S, command: Wire, context: Context) -> Outcome:
        """Answer a command."""
        ...

    def evolve(self, state: S, event: Wire) -> S:
        """Apply one event; total over the kind's events."""
        ...

    def effects(self, before: S, event: Wire, after: S) -> tuple[Effect, ...]:
        """Give the messages that this event calls for."""
        ...

    def outstanding(self, state: S) -> tuple[Outstanding, ...]:
        """Give everything the state still waits for."""
        ...

    def is_open(self, state: S) -> bool:
        """Tell cheaply whether the state may still wait for anything."""
        ...

    def due_of(self, event: Wire) -> int | None:
        """Give the earliest time (microseconds) at which this event may need attention."""
        ...

    def own_due(self, state: S) -> int | None:
        """Give the earliest due time of the state's own timers, re-asks left out."""
        ...


def next_due(decider: Decider[S], state: S, after_us: int) -> int | None:
    """Give the next time beyond which `state` needs attention: a timer or a re-ask.

    None: the state waits for nothing and leaves the index.
    """
    times = [reask_after(item.asked_us, after_us) for item in decider.outstanding(state)]
    own = decider.own_due(state)
    if own is not None:
        times.append(own)
    return min(times, default=None)
