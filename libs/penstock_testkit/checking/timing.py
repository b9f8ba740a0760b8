"""Time: nothing is fired before it is due, and nothing that came in time is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock_contracts.approval.v1 import ApprovalExpired, ApprovalReminded, ApprovalRequested
from penstock_contracts.registry import kind_of
from penstock_contracts.run.v1 import (
    AttemptFailed,
    NodeFailed,
    OutcomeUnknown,
    RunFailed,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.subjects import Stream
from penstock_contracts.values import MICROSECONDS
from penstock_testkit.checking.facts import TIMER, Fact
from penstock_testkit.checking.history import History, Reported, Violation
from penstock_testkit.checking.stories import Story, stories

STORING_MAX_US = 3_600 * MICROSECONDS  # for what a result names to become durable
_INPUT_OF = {"run": Stream.RUNS, "approval": Stream.APPROVALS}
_ENDS = (AttemptFailed, NodeFailed, OutcomeUnknown)


@dataclass(slots=True)
class _Times:
    """When a node's present state is over.

    Attributes:
        retry_us: of a node that waits for its next attempt.
        total_us: end of the attempt, whether or not it is begun.
    """

    ends_us: list[int]
    retry_us: int | None = None
    total_us: int | None = None


def timers_wait_for_their_time(history: History) -> Iterator[Violation]:
    """What a timer has caused stands at a time that had come, and is called by it."""
    for facts in history.aggregates.values():
        for fact in facts:
            if fact.by_timer and fact.meta.causation_id != f"{TIMER}{fact.meta.time_us}":
                detail = f"{fact.meta.causation_id} stands at {fact.meta.time_us}"
                yield Violation("due times", fact.where, detail)
    for story in stories(history):
        nodes: dict[str, _Times] = {}
        for fact in story.facts:
            due = _due(story, nodes, fact)
            if due is not None and fact.meta.time_us < due:
                early_s = (due - fact.meta.time_us) / MICROSECONDS
                yield Violation("due times", fact.where, f"{fact.topic} {early_s} s too early")
    yield from _approvals_wait(history)


def _due(story: Story, nodes: dict[str, _Times], fact: Fact) -> int | None:
    """Give the time that must have come for this event, and note what it says of others."""
    event = fact.event
    if isinstance(event, RunFailed) and event.cause.error.code == "timeout_run":
        return story.started.ends_by_us
    name = getattr(event, "node", None)
    if name is None:
        return None
    times = nodes.get(name)
    due: int | None = None
    if times is not None and isinstance(event, TaskScheduled):
        due = times.retry_us
    elif times is not None and fact.by_timer and isinstance(event, _ENDS):
        due = times.retry_us if times.retry_us is not None else min(times.ends_us, default=None)
    nodes[name] = _times(times, fact)
    return due


def _times(before: _Times | None, fact: Fact) -> _Times:
    ends = [] if before is None else before.ends_us
    match fact.event:
        case TaskScheduled() as event:
            times = (event.queued_until_us, event.ends_by_us)
            ends = [time for time in times if time is not None]
            return _Times(ends, total_us=event.ends_by_us)
        case TaskStarted() as event:
            times = (event.running_until_us, None if before is None else before.total_us)
            return _Times([time for time in times if time is not None])
        case TaskResultReceived() as event:
            return _Times([event.received_us + STORING_MAX_US])
        case AttemptFailed() as event:
            return _Times([], event.retry_at_us)
        case OutcomeUnknown():
            return _Times(ends)
        case _:
            return _Times([])


def _approvals_wait(history: History) -> Iterator[Violation]:
    for facts in history.approvals.values():
        asked = next((f.event for f in facts if isinstance(f.event, ApprovalRequested)), None)
        for fact in facts:
            event, time_us = fact.event, fact.meta.time_us
            expired = isinstance(event, ApprovalExpired)
            if expired and asked is not None and time_us < asked.expires_us:
                yield Violation("due times", fact.where, "expired before its time")
            if isinstance(event, ApprovalReminded) and time_us != event.at_us:
                yield Violation("due times", fact.where, "reminded at another time than it says")


def the_inbox_comes_before_timers(history: History) -> Iterator[Violation]:
    """No message that was there in time is decided on behind a timer of a later time.

    Streams that were put back or cut give old messages again and are left out.
    """
    for aggregate, facts in history.aggregates.items():
        stream = _INPUT_OF.get(kind_of(facts[0].topic))
        if stream is None or stream.value in history.old_times:
            continue
        fired_us = 0
        for fact in facts:
            if fact.by_timer:
                fired_us = max(fired_us, fact.meta.time_us)
            elif fact.meta.time_us + history.skew_us < fired_us:
                late_s = (fired_us - fact.meta.time_us) / MICROSECONDS
                detail = f"{aggregate}: was there {late_s} s before a timer that came first"
                yield Violation("inbox first", fact.where, detail)


def results_in_time_count(history: History) -> Iterator[Violation]:
    """No timer ends an attempt whose result was there before it."""
    reported: dict[tuple[str, str, int, str], list[Reported]] = {}
    for result in history.results:
        key = (result.run_id, result.node, result.attempt, result.phase)
        reported.setdefault(key, []).append(result)
    for story in stories(history):
        phase: dict[str, TaskScheduled] = {}
        nonce: dict[str, str | None] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, TaskScheduled):
                phase[event.node], nonce[event.node] = event, None
            elif isinstance(event, TaskStarted):
                nonce[event.node] = event.nonce
            elif isinstance(event, _ENDS) and fact.by_timer and event.node in phase:
                key = (story.run_id, event.node, event.attempt, phase[event.node].phase.value)
                for result in reported.get(key, ()):
                    mine = nonce[event.node] in (None, result.nonce)
                    if mine and result.at_us + history.skew_us < fact.meta.time_us:
                        yield Violation("results in time", fact.where, "its result was there")
