"""Runs begin once and end once."""

from __future__ import annotations

from collections.abc import Iterator

from penstock_contracts.run.v1 import (
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    RunStarted,
    TaskResultReceived,
)
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.stories import SIDE, TERMINAL, Story, stories

_SETTLE = (NodeSucceeded, NodeFailed, NodeSkipped)


def runs_start_once(history: History) -> Iterator[Violation]:
    """The first event of a run starts it, in the partition it names, and no other one does."""
    for run_id, facts in history.runs.items():
        starts = [fact for fact in facts if isinstance(fact.event, RunStarted)]
        own = [fact for fact in facts if not isinstance(fact.event, SIDE)]
        if len(starts) != 1 or own[0] is not starts[0]:
            detail = f"{len(starts)} starts, and the first event is {facts[0].topic}"
            yield Violation("run starts once", run_id, detail)
            continue
        started = starts[0].event
        if isinstance(started, RunStarted):
            if started.partition != starts[0].record.partition:
                yield Violation("run starts once", run_id, f"belongs to {started.partition}")
            if history.definitions.workflow(started) is None:
                yield Violation("run starts once", run_id, "the store lacks its definition")


def runs_end_once(history: History) -> Iterator[Violation]:
    """A run has at most one terminal event, and makes no progress behind it.

    What may still come is the word on an attempt whose outcome was unknown at the end.
    """
    for story in stories(history):
        ended = ""
        unknown: set[str] = set()
        for fact in story.facts:
            event = fact.event
            if ended and not _settles_unknown(event, unknown):
                yield Violation("run ends once", fact.where, f"{fact.topic} behind {ended}")
            if type(event) in TERMINAL:
                ended = ended or fact.topic
            if isinstance(event, OutcomeUnknown):
                unknown.add(event.node)
            elif isinstance(event, NodeSucceeded | NodeFailed):
                unknown.discard(event.node)


def _settles_unknown(event: object, unknown: set[str]) -> bool:
    word = (NodeSucceeded, NodeFailed, OutcomeSettled, TaskResultReceived)
    return isinstance(event, word) and event.node in unknown


def success_means_all_settled(history: History) -> Iterator[Violation]:
    """A run that succeeded has settled each of its nodes."""
    for story in stories(history):
        last = story.facts[-1]
        if TERMINAL.get(type(last.event)) != "succeeded":
            continue
        settled = {fact.event.node for fact in story.facts if isinstance(fact.event, _SETTLE)}
        missing = sorted(story.definition.nodes.keys() - settled)
        if missing:
            yield Violation("success", last.where, f"never settled: {', '.join(missing)}")


def runs_have_ended(history: History) -> Iterator[Violation]:
    """Once faults are healed, every run ends."""
    if not history.ended:
        return
    for story in stories(history):
        if all(type(fact.event) not in TERMINAL for fact in story.facts):
            last = story.facts[-1]
            yield Violation("run ends", story.run_id, f"stands at {last.where} {last.topic}")


def story_status(story: Story) -> str:
    """Give how a run has ended; '' if it has not."""
    return next((TERMINAL[type(f.event)] for f in story.facts if type(f.event) in TERMINAL), "")
