"""The circuit breaker in front of a sandbox: a value, and how it becomes another.

Pure: the time is given, and whoever holds the value acts on it. `TRANSITIONS` says which signal
leads from which state to which; a signal that is not listed for a state changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from penstock_contracts.executor.v1 import REASON_CHARS, BreakerState
from penstock_contracts.values import MICROSECONDS

FAILURES = 5
WINDOW_S = 120.0
OPEN_S = 60.0
HANG_S = 120.0


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens, and for how long.

    Attributes:
        failures: so many within the window open it.
        window_s: seconds in which they count together.
        open_s: seconds until the sandbox is tried again.
        hang_s: seconds without an answer, beyond what was agreed, that count as a failure.
    """

    failures: int = FAILURES
    window_s: float = WINDOW_S
    open_s: float = OPEN_S
    hang_s: float = HANG_S

    @property
    def silence_s(self) -> float:
        """Seconds of silence, while the sandbox is looked at, that count as one failure.

        So many of them fit into the window that an engine which only hangs opens it, however
        patient a single look is.
        """
        return self.window_s / (self.failures + 1)


class Signal(StrEnum):
    """What may change it."""

    FAILED = "failed"  # fewer times than it takes
    FAILED_TOO_OFTEN = "failed too often"
    DUE = "due"  # somebody asks, and the time to stay open is over
    PROBE_OK = "probe ok"
    PROBE_FAILED = "probe failed"


TRANSITIONS: dict[tuple[BreakerState, Signal], BreakerState] = {
    (BreakerState.CLOSED, Signal.FAILED): BreakerState.CLOSED,
    (BreakerState.CLOSED, Signal.FAILED_TOO_OFTEN): BreakerState.OPEN,
    (BreakerState.OPEN, Signal.DUE): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, Signal.PROBE_OK): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, Signal.PROBE_FAILED): BreakerState.OPEN,
}
"""(state, signal) -> state."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """How it stands. Begins closed.

    In HALF_OPEN one probe is under way, and its holder starts no other: only the probe's outcome
    leads out of it.

    Attributes:
        failed_us: when the failures were that count; while it is not closed, those that led to it.
        since_us: when it came to stand so: later with each change, even if the clock is set back.
        until_us: when an open one is due to be tried; else 0.
        reason: of the last failure that counted, bounded; stays when it closes again.
    """

    state: BreakerState = BreakerState.CLOSED
    failed_us: tuple[int, ...] = ()
    since_us: int = 0
    until_us: int = 0
    reason: str = ""

    @property
    def lets_through(self) -> bool:
        """Whether tasks may go to the sandbox."""
        return self.state is BreakerState.CLOSED

    def wait_s(self, now_us: int) -> float:
        """Give the seconds until an open one is due."""
        return max(self.until_us - now_us, 0) / MICROSECONDS

    def failed(self, now_us: int, reason: str, rules: BreakerRules) -> Breaker:
        """Count a failure; it matters only while it is closed."""
        if self.state is not BreakerState.CLOSED:
            return self
        first_us = now_us - int(rules.window_s * MICROSECONDS)
        recent = (*(at for at in self.failed_us if first_us < at <= now_us), now_us)
        counted = replace(self, failed_us=recent, reason=bounded(reason))
        if len(recent) < rules.failures:
            return _after(counted, Signal.FAILED, now_us, rules)
        return _after(counted, Signal.FAILED_TOO_OFTEN, now_us, rules)

    def asked(self, now_us: int, rules: BreakerRules) -> Breaker:
        """Become HALF_OPEN if it is due; whoever gets it so from an open one has to probe.

        A clock that was set back does not make anybody wait longer.
        """
        left_us = self.until_us - now_us
        due = left_us <= 0 or left_us > _open_us(rules)
        if self.state is not BreakerState.OPEN or not due:
            return self
        return _after(self, Signal.DUE, now_us, rules)

    def probed(self, now_us: int, fault: str, rules: BreakerRules) -> Breaker:
        """Take in the probe's outcome; '' says that it went well."""
        if self.state is not BreakerState.HALF_OPEN:
            return self
        if not fault:
            return replace(_after(self, Signal.PROBE_OK, now_us, rules), failed_us=())
        told = replace(self, reason=bounded(fault))
        return _after(told, Signal.PROBE_FAILED, now_us, rules)


def _after(breaker: Breaker, signal: Signal, now_us: int, rules: BreakerRules) -> Breaker:
    state = TRANSITIONS[breaker.state, signal]
    if state is breaker.state:
        return breaker
    since_us = max(now_us, breaker.since_us + 1)
    until_us = now_us + _open_us(rules) if state is BreakerState.OPEN else 0
    return replace(breaker, state=state, since_us=since_us, until_us=until_us)


def _open_us(rules: BreakerRules) -> int:
    return int(rules.open_s * MICROSECONDS)


def bounded(reason: str) -> str:
    """Give a reason as one line of bounded length."""
    return " ".join(reason.split())[:REASON_CHARS] or "no reason was given"
