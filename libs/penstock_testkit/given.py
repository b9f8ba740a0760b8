"""Given, when, then over a decider: facts in, a command, facts or a refusal out.

Every step also holds the laws of `Decider`: an event is applied as it is decided, the index's
lower bound is never later than the next due time, and what is outstanding was called for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Generic, Self, TypeVar

from penstock_contracts.values import MICROSECONDS, Wire
from penstock_core.decider import Decider, next_due
from penstock_core.decision import Context, Decision, Outcome, Rejection, Stale
from penstock_core.effects import Effect, QueueTask, SendCommand, StoreArtifacts

S = TypeVar("S")
E = TypeVar("E", bound=Wire)
START_US = 1_800_000_000 * MICROSECONDS


class Story(Generic[S]):
    """One aggregate from its first event on.

    Attributes:
        state: after everything that was given and decided.
        now_us: time of the next command.
        events: all events so far.
        outcome: what the last command was answered with.
        fresh: events of the last decision.
        effects: what the events of the last decision call for.
        bound: what the index of open aggregates would hold.
    """

    def __init__(self, decider: Decider[S], blank: S, context: Context | None = None) -> None:
        """Begin with `blank`; `context` gives what stays the same in all decisions."""
        self.decider = decider
        self.blank = blank
        self.state = blank
        self.now_us = START_US
        self.events: list[Wire] = []
        self.outcome: Outcome = Decision()
        self.fresh: tuple[Wire, ...] = ()
        self.effects: list[Effect] = []
        self.bound: int | None = None
        self._context = context or Context(now_us=START_US)
        self._number = 0

    # --- given --------------------------------------------------------------------------------

    def given(self, *events: Wire) -> Self:
        """Apply facts."""
        for event in events:
            self._apply(event)
        return self

    def later(self, seconds: float) -> Self:
        """Let time pass."""
        self.now_us += int(seconds * MICROSECONDS)
        return self

    # --- when ---------------------------------------------------------------------------------

    def when(self, command: Wire, command_id: str | None = None, actor: str = "user:ann") -> Self:
        """Decide on a command and apply what was decided."""
        self._number += 1
        context = replace(
            self._context,
            now_us=self.now_us,
            command_id=command_id or f"command-{self._number}",
            actor=actor,
        )
        self.outcome = self.decider.decide(self.state, command, context)
        self.fresh = self.outcome.events if isinstance(self.outcome, Decision) else ()
        self.effects = []
        for event in self.fresh:
            self._apply(event)
        return self

    def _apply(self, event: Wire) -> None:
        before = self.state
        self.state = self.decider.evolve(before, event)
        self.events.append(event)
        self.effects.extend(self.decider.effects(before, event, self.state))
        self._keep_bound(event)

    def _keep_bound(self, event: Wire) -> None:
        """Do as the runtime does with its index, and hold the law of `due_of`."""
        if not self.decider.is_open(self.state):
            self.bound = None
            assert not self.decider.outstanding(self.state), "closed, and still waiting"
            assert self.decider.own_due(self.state) is None, "closed, and still timed"
            return
        due = self.decider.due_of(event)
        if due is not None and (self.bound is None or due < self.bound):
            self.bound = due

    def check_bound(self) -> None:
        """Hold the law of `due_of`: the index is never later than the next due time."""
        following = next_due(self.decider, self.state, self.now_us)
        if following is not None:
            assert self.bound is not None, "waits, and is not in the index"
            assert self.bound <= following, f"the index is late by {self.bound - following} us"

    def fires(self, timer: Wire, up_to_us: int) -> Self:
        """Act on every due time up to a moment, as the runtime does."""
        while (due := self.decider.own_due(self.state)) is not None and due <= up_to_us:
            self.now_us = due
            self.when(timer)
            assert self.fresh, f"due at {due} and does nothing"
        self.now_us = max(self.now_us, up_to_us)
        self.bound = next_due(self.decider, self.state, self.now_us)
        return self

    # --- then ---------------------------------------------------------------------------------

    def then(self, *types: type[Wire]) -> Self:
        """Expect exactly these events of the last decision, in order."""
        assert isinstance(self.outcome, Decision), f"refused: {self.outcome}"
        assert [type(event).__name__ for event in self.fresh] == [one.__name__ for one in types]
        self.check_bound()
        return self

    def stale(self, code: str | None = None) -> Self:
        """Expect that the last command was only counted."""
        assert isinstance(self.outcome, Stale), self.outcome
        assert code is None or self.outcome.code == code, self.outcome
        return self

    def rejected(self, code: str, detail: str = "") -> Self:
        """Expect that the last command was refused, and its sender told."""
        assert isinstance(self.outcome, Rejection), self.outcome
        assert self.outcome.code == code, self.outcome
        assert detail in self.outcome.detail, self.outcome
        return self

    @property
    def refused(self) -> bool:
        """Whether the last command led to no event."""
        return not self.fresh

    @property
    def replies(self) -> tuple[Effect, ...]:
        """Answers that follow from no event."""
        return () if isinstance(self.outcome, Rejection) else self.outcome.replies

    def last(self, kind: type[E]) -> E:
        """Give the last event of a type."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def refold(self) -> S:
        """Fold all events from the beginning."""
        state = self.blank
        for event in self.events:
            state = self.decider.evolve(state, event)
        return state


def asks(effects: Iterable[Effect]) -> set[str]:
    """Give the subjects of those effects that somebody has to answer."""
    return {
        effect.subject
        for effect in effects
        if isinstance(effect, QueueTask | SendCommand | StoreArtifacts)
    }
