"""The circuit breaker: every state under every signal, and what it counts."""

from __future__ import annotations

import itertools

import pytest

from penstock_contracts.executor.v1 import REASON_CHARS, BreakerState
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.breaker import TRANSITIONS, Breaker, BreakerRules, Signal

RULES = BreakerRules(failures=5, window_s=120.0, open_s=60.0)
AT_US = 1_800_000_000 * MICROSECONDS
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def later(seconds: float) -> int:
    return AT_US + int(seconds * MICROSECONDS)


def failing(times: int, every_s: float = 1.0) -> Breaker:
    """A closed breaker after failures, the last of them at 0 s."""
    breaker = Breaker(since_us=later(-3_600))
    for number in range(times):
        at_us = later(-every_s * (times - 1 - number))
        breaker = breaker.failed(at_us, f"reason {number + 1}", RULES)
    return breaker


def opened() -> Breaker:
    return failing(RULES.failures)


def half_open() -> Breaker:
    return opened().asked(later(61), RULES)


BEFORE = {CLOSED: failing(2), OPEN: opened(), HALF_OPEN: half_open()}
NOW = later(62)


def signalled(breaker: Breaker, signal: Signal) -> Breaker:
    match signal:
        case Signal.FAILED:
            return breaker.failed(NOW, "again", RULES)
        case Signal.FAILED_TOO_OFTEN:
            rules = BreakerRules(failures=1)
            return breaker.failed(NOW, "again", rules)
        case Signal.DUE:
            return breaker.asked(NOW, RULES)
        case Signal.PROBE_OK:
            return breaker.probed(NOW, "", RULES)
        case Signal.PROBE_FAILED:
            return breaker.probed(NOW, "still", RULES)


@pytest.mark.parametrize(("state", "signal"), list(itertools.product(BreakerState, Signal)))
def test_every_signal_in_every_state_does_what_the_table_says(state: BreakerState, signal: Signal):
    before = BEFORE[state]
    assert before.state is state
    after = signalled(before, signal)
    listed = TRANSITIONS.get((state, signal))
    if listed is None:
        assert after == before
    else:
        assert after.state is listed


def test_four_failures_do_not_open_it_and_the_fifth_does():
    assert failing(4).lets_through
    breaker = opened()
    assert (breaker.state, breaker.since_us, breaker.until_us) == (OPEN, AT_US, later(60))
    assert (len(breaker.failed_us), breaker.reason) == (5, "reason 5")
    assert not breaker.lets_through


def test_failures_count_together_within_the_window_only():
    assert failing(5, every_s=29.9).state is OPEN
    assert failing(5, every_s=30.0).state is CLOSED  # the first is two minutes old: it has left
    assert failing(50, every_s=31.0).state is CLOSED
    assert len(failing(50, every_s=31.0).failed_us) == 4


def test_open_waits_for_its_time_and_failures_do_not_prolong_it():
    breaker = opened().failed(later(30), "a task that was still under way", RULES)
    assert breaker == opened()
    assert breaker.asked(later(59.999), RULES) is breaker
    assert breaker.wait_s(later(45)) == 15.0
    assert breaker.asked(later(60), RULES).state is HALF_OPEN
    assert breaker.wait_s(later(99)) == 0.0


def test_a_probe_decides():
    well = half_open().probed(later(62), "", RULES)
    assert (well.state, well.failed_us, well.until_us, well.since_us) == (CLOSED, (), 0, later(62))
    again = half_open().probed(later(62), "no engine", RULES)
    assert (again.state, again.until_us, again.reason) == (OPEN, later(122), "no engine")


def test_a_clock_set_back_keeps_nobody_waiting_and_moments_in_their_order():
    breaker = opened()
    tried = breaker.asked(later(-7_200), RULES)
    assert tried.state is HALF_OPEN
    assert tried.since_us == breaker.since_us + 1
    closed = failing(4).failed(later(-7_200), "of another time", RULES)
    assert (closed.state, len(closed.failed_us)) == (CLOSED, 1)


def test_a_reason_is_one_bounded_line():
    told = Breaker().failed(AT_US, "first line\n  second " + "x" * 1_000, RULES).reason
    assert told.startswith("first line second x")
    assert len(told) == REASON_CHARS
    assert Breaker().failed(AT_US, " \n", RULES).reason == "no reason was given"
