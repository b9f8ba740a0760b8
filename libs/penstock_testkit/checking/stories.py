"""Runs taken apart: what every check of runs begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.run.v1 import (
    CommandRejected,
    RunCancelled,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunSucceeded,
)
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History

TERMINAL = {RunSucceeded: "succeeded", RunFailed: "failed", RunCancelled: "cancelled"}
SIDE = (MessageParked, MessageRedriven, CommandRejected, RunRecovered)
"""Events that say nothing of the run's own progress."""


@dataclass(frozen=True, slots=True)
class Story:
    """One run.

    Attributes:
        facts: its events about its own progress, the start included, in order.
    """

    run_id: str
    started: RunStarted
    definition: WorkflowDefinition
    facts: Sequence[Fact]


def stories(history: History) -> Iterator[Story]:
    """Give every run that begins as a run does; another check tells of those that do not."""
    for run_id, facts in history.runs.items():
        own = [fact for fact in facts if not isinstance(fact.event, SIDE)]
        started = own[0].event if own else None
        if not isinstance(started, RunStarted):
            continue
        definition = history.definitions.workflow(started)
        if definition is not None:
            yield Story(run_id, started, definition, own)


def place(story: Story, node: str, attempt: int) -> str:
    """Name an attempt of a run."""
    return f"{story.run_id}/{node}/{attempt}"
