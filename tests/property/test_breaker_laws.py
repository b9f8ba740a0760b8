"""Laws of the circuit breaker over any story of failures, looks and probes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock_contracts.executor.v1 import BreakerState
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.breaker import Breaker, BreakerRules

RULES = BreakerRules(failures=3, window_s=20.0, open_s=10.0)
START_US = 1_800_000_000 * MICROSECONDS


class Story(RuleBasedStateMachine):
    """Whoever holds it probes when asking has made it HALF_OPEN, and never otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = START_US
        self.breaker = Breaker(since_us=START_US)
        self.probes = 0
        self.recent: list[int] = []
        self.changes = [self.breaker.since_us]

    def become(self, after: Breaker) -> None:
        if after.state is not self.breaker.state:
            self.changes.append(after.since_us)
        self.breaker = after

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now_us += int(seconds * MICROSECONDS)

    @rule()
    def fail(self) -> None:
        before = self.breaker
        self.become(before.failed(self.now_us, "no answer", RULES))
        if before.state is not BreakerState.CLOSED:
            assert self.breaker == before
            return
        first_us = self.now_us - int(RULES.window_s * MICROSECONDS)
        self.recent = [at for at in self.recent if at > first_us] + [self.now_us]
        assert self.breaker.lets_through == (len(self.recent) < RULES.failures)

    @rule()
    def ask(self) -> None:
        before = self.breaker
        self.become(before.asked(self.now_us, RULES))
        if before.state is BreakerState.OPEN and self.now_us < before.until_us:
            assert self.breaker == before  # nothing before its end
        if before.state is BreakerState.OPEN and self.breaker.state is BreakerState.HALF_OPEN:
            self.probes += 1

    @rule(well=st.booleans())
    def end_probe(self, well: bool) -> None:
        if not self.probes:
            return
        self.probes -= 1
        self.become(self.breaker.probed(self.now_us, "" if well else "no answer", RULES))
        assert self.breaker.lets_through == well
        self.recent = []

    @invariant()
    def at_most_one_probe_and_only_half_open(self) -> None:
        assert self.probes == int(self.breaker.state is BreakerState.HALF_OPEN)

    @invariant()
    def an_end_stands_only_on_an_open_one(self) -> None:
        assert (self.breaker.until_us > 0) == (self.breaker.state is BreakerState.OPEN)

    @invariant()
    def moments_grow(self) -> None:
        assert self.changes == sorted(set(self.changes))

    @invariant()
    def failures_are_bounded(self) -> None:
        assert len(self.breaker.failed_us) <= RULES.failures


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
