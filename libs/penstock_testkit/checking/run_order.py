"""Nodes wait for their parents."""

from __future__ import annotations

from collections.abc import Iterator

from penstock_contracts.run.v1 import (
    GateOpened,
    GatePushedBack,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    TaskScheduled,
)
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.stories import Story, stories

_ENTRIES = (TaskScheduled, GateOpened, NodeSkipped)
_SETTLES = {NodeSucceeded: "succeeded", NodeFailed: "failed", NodeSkipped: "skipped"}


def parents_come_first(history: History) -> Iterator[Violation]:
    """A node is begun or skipped once all its parents are settled.

    Without a condition of its own it is begun only if all of them have succeeded.
    """
    for story in stories(history):
        settled: dict[str, str] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, _ENTRIES):
                yield from _entered(story, fact, event, settled)
            if isinstance(event, NodeSucceeded | NodeFailed | NodeSkipped):
                settled[event.node] = _SETTLES[type(event)]
            elif isinstance(event, GatePushedBack):
                for node in event.reset:
                    settled.pop(node, None)


def _entered(
    story: Story,
    fact: Fact,
    event: TaskScheduled | GateOpened | NodeSkipped,
    settled: dict[str, str],
) -> Iterator[Violation]:
    node = story.definition.nodes.get(event.node)
    if node is None:
        yield Violation("parents first", fact.where, f"there is no node {event.node}")
        return
    waits = [parent for parent in node.needs if parent not in settled]
    if waits:
        detail = f"{event.node} does not wait for {', '.join(waits)}"
        yield Violation("parents first", fact.where, detail)
    failed = [parent for parent in node.needs if settled.get(parent) != "succeeded"]
    if failed and not waits and node.when is None and not isinstance(event, NodeSkipped):
        detail = f"{event.node} goes on although {', '.join(failed)} did not succeed"
        yield Violation("parents first", fact.where, detail)


def settled_nodes_stay_settled(history: History) -> Iterator[Violation]:
    """Nothing happens to a node that is settled, unless a gate has sent it back to work."""
    for story in stories(history):
        settled: set[str] = set()
        for fact in story.facts:
            event = fact.event
            if isinstance(event, GatePushedBack):
                settled -= set(event.reset)
                continue
            node = getattr(event, "node", None)
            if node is None:
                continue
            if node in settled:
                yield Violation("settled", fact.where, f"{fact.topic} for {node}, which is settled")
            if type(event) in _SETTLES:
                settled.add(node)
