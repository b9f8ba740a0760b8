"""What committed events say about the work: runs, attempts, triggers and approvals.

Counted once an event is committed and by its owner alone, so that a replay counts nothing twice.
"""

from collections.abc import Callable, Mapping

from penstock_contracts.approval import v1 as approval
from penstock_contracts.run import v1 as run
from penstock_contracts.trigger.v1 import TriggerIgnored, TriggerMatched
from penstock_contracts.values import MICROSECONDS, Wire
from penstock_core.approval.state import ApprovalState
from penstock_core.run.state import RunState
from penstock_runtime.telemetry.fields import placed
from penstock_runtime.telemetry.metrics import (
    APPROVAL_SECONDS,
    APPROVALS_REQUESTED,
    APPROVALS_SETTLED,
    ATTEMPTS_FAILED,
    OUTCOMES_UNKNOWN,
    RUN_SECONDS,
    RUNS_ENDED,
    RUNS_STARTED,
    TRIGGERS_DECIDED,
    VOTES,
    Metrics,
)
from penstock_runtime.telemetry.trace import parse_traceparent

Count = Callable[[Metrics, Wire, object, int], None]


def tally(metrics: Metrics, event: Wire, state: object, now_us: int) -> None:
    """Count one event; `state` is its aggregate's after it, `now_us` the time it bears."""
    count = COUNTED.get(type(event))
    if count is not None:
        count(metrics, event, state, now_us)


def _once(metrics: Metrics, event: Wire, _state: object, _now_us: int) -> None:
    match event:
        case run.RunStarted():
            metrics.add(RUNS_STARTED)
        case run.AttemptFailed():
            metrics.add(ATTEMPTS_FAILED, event.error.code)
        case run.OutcomeUnknown():
            metrics.add(OUTCOMES_UNKNOWN)
        case TriggerMatched():
            metrics.add(TRIGGERS_DECIDED, "matched")
        case TriggerIgnored():
            metrics.add(TRIGGERS_DECIDED, "ignored")
        case approval.ApprovalRequested():
            metrics.add(APPROVALS_REQUESTED)
        case approval.VoteCast():
            metrics.add(VOTES, event.choice.value)
        case _:
            pass


def _run_ended(outcome: str) -> Count:
    def count(metrics: Metrics, _event: Wire, state: object, now_us: int) -> None:
        metrics.add(RUNS_ENDED, outcome)
        if isinstance(state, RunState) and state.started_us:
            with placed(parse_traceparent(state.traceparent)):
                metrics.observe(RUN_SECONDS, _seconds(state.started_us, now_us), outcome)

    return count


def _approval_settled(outcome: str) -> Count:
    def count(metrics: Metrics, _event: Wire, state: object, now_us: int) -> None:
        metrics.add(APPROVALS_SETTLED, outcome)
        if isinstance(state, ApprovalState) and state.request is not None:
            asked_us = state.request.requested_us
            metrics.observe(APPROVAL_SECONDS, _seconds(asked_us, now_us), outcome)

    return count


def _seconds(from_us: int, to_us: int) -> float:
    """Whole seconds and their part; server clocks may differ, time does not run backwards."""
    return max(to_us - from_us, 0) / MICROSECONDS


COUNTED: Mapping[type[Wire], Count] = {
    **dict.fromkeys(
        (
            run.RunStarted,
            run.AttemptFailed,
            run.OutcomeUnknown,
            TriggerMatched,
            TriggerIgnored,
            approval.ApprovalRequested,
            approval.VoteCast,
        ),
        _once,
    ),
    run.RunSucceeded: _run_ended("succeeded"),
    run.RunFailed: _run_ended("failed"),
    run.RunCancelled: _run_ended("cancelled"),
    approval.ApprovalGranted: _approval_settled("granted"),
    approval.ApprovalRejected: _approval_settled("rejected"),
    approval.ApprovalPushedBack: _approval_settled("pushed_back"),
    approval.ApprovalExpired: _approval_settled("expired"),
    approval.ApprovalWithdrawn: _approval_settled("withdrawn"),
}
