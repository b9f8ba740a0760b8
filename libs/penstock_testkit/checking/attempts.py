"""Attempts: counted by one, within the policy, each started and settled once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_contracts.run.v1 import (
    AttemptFailed,
    GateOpened,
    GatePassed,
    GatePushedBack,
    NodeFailed,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    PlanMade,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.values import Phase
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.stories import Story, stories

LOSSES_MAX = 3  # results whose artifacts were lost and that cost no retry
KNOWN_NOT_TO_HAVE_HAPPENED = frozenset({"agent_failed", "base_changed", "effect_differs"})
"""Failures that a claimed attempt's own executor can vouch for: trying again is safe."""


@dataclass(slots=True)
class _Node:
    """A node as far as it was read.

    Attributes:
        used: highest attempt number that a gate or a task has taken.
        gate_only: that number was taken by a gate alone.
        tries: attempts since the node last began anew.
        open: what is awaited now: a phase, `gate`, or ''.
        attempt: the one in flight.
        nonce: that it was claimed with.
        unknown: nobody knows its outcome.
        forgotten: the store was put back, so that its claim may be lost.
        denied: a person has found that it did not happen.
        done: (attempt, phase) that were scheduled.
        started: those that were started.
        received: those whose result was received.
    """

    used: int = 0
    gate_only: bool = False
    tries: int = 0
    losses: int = 0
    open: str = ""
    attempt: int = 0
    nonce: str | None = None
    unknown: bool = False
    forgotten: bool = False
    denied: bool = False
    done: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    started: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    received: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])


def attempts_keep_their_order(history: History) -> Iterator[Violation]:
    """Each attempt follows from the one before, and is started, received and settled once."""
    for story in stories(history):
        nodes: dict[str, _Node] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, GatePushedBack):
                for name in event.reset:
                    _begin_anew(nodes.setdefault(name, _Node()))
                continue
            name = getattr(event, "node", None)
            if name is None:
                continue
            node = nodes.setdefault(name, _Node())
            node.forgotten = history.recovered
            for detail in _follow(story, node, fact):
                yield Violation("attempts", fact.where, f"{story.run_id}/{name}: {detail}")


def _begin_anew(node: _Node) -> None:
    node.tries, node.losses, node.open = 0, 0, ""
    node.unknown = node.denied = False
    node.gate_only = False


def _follow(story: Story, node: _Node, fact: Fact) -> Iterator[str]:
    event = fact.event
    match event:
        case TaskScheduled():
            yield from _scheduled(story, node, event)
        case TaskStarted():
            yield from _started(node, event)
        case GateOpened():
            yield from _gate_opened(node, event)
        case GatePassed():
            yield from _closing(node, event.attempt, ("gate",), fact)
        case TaskResultReceived():
            if (event.attempt, node.open) in node.received:
                yield f"two results of attempt {event.attempt} ({node.open})"
            node.received.add((event.attempt, node.open))
            if node.open in ("", "gate") or event.attempt != node.attempt:
                yield f"a result of attempt {event.attempt}, which is not in flight"
        case PlanMade():
            yield from _closing(node, event.attempt, (Phase.PLAN,), fact)
        case OutcomeUnknown():
            yield from _unknown(node, event)
        case OutcomeSettled():
            if not node.unknown or event.attempt != node.attempt:
                yield f"the outcome of attempt {event.attempt} was not unknown"
            node.denied = not event.happened
        case AttemptFailed():
            yield from _attempt_failed(node, event, fact)
        case NodeSucceeded() if event.attempt:
            yield from _closing(node, event.attempt, (Phase.RUN, Phase.PLAN, Phase.APPLY), fact)
        case NodeFailed() if node.open:
            yield from _closing(node, event.attempt, (node.open,), fact)
        case _:
            pass


def _scheduled(story: Story, node: _Node, event: TaskScheduled) -> Iterator[str]:
    key = (event.attempt, event.phase.value)
    if key in node.done:
        yield f"attempt {event.attempt} ({event.phase}) is started twice"
    if node.open:
        yield f"attempt {event.attempt} while {node.open} of {node.attempt} is open"
    if event.phase is Phase.APPLY:
        if (event.attempt, Phase.PLAN.value) not in node.done:
            yield f"attempt {event.attempt} applies what it has not planned"
    else:
        due = node.used if node.gate_only else node.used + 1
        if event.attempt != due:
            yield f"attempt {event.attempt} where {due} is due"
        node.tries += 1
        policy = story.definition.nodes[event.node].retry
        if node.tries - node.losses > policy.attempts:
            yield f"attempt {event.attempt} is one more than the {policy.attempts} of its policy"
        if node.losses > LOSSES_MAX:
            yield f"{node.losses} results were lost, and it goes on"
    node.done.add(key)
    node.used, node.gate_only = max(node.used, event.attempt), False
    node.open, node.attempt, node.nonce = event.phase.value, event.attempt, None
    node.unknown = node.denied = False


def _started(node: _Node, event: TaskStarted) -> Iterator[str]:
    key = (event.attempt, node.open)
    if key in node.started:
        yield f"attempt {event.attempt} ({node.open}) is begun twice"
    if node.open in ("", "gate") or event.attempt != node.attempt:
        yield f"attempt {event.attempt} is begun and not in flight"
    node.started.add(key)
    node.nonce = event.nonce


def _gate_opened(node: _Node, event: GateOpened) -> Iterator[str]:
    if node.open:
        yield f"a gate opens while {node.open} of attempt {node.attempt} is open"
    planned = (event.attempt, Phase.PLAN.value) in node.done
    if not planned:
        if event.attempt != node.used + 1:
            yield f"a gate for attempt {event.attempt} where {node.used + 1} is due"
        node.gate_only = True
    node.used = max(node.used, event.attempt)
    node.open, node.attempt = "gate", event.attempt


def _unknown(node: _Node, event: OutcomeUnknown) -> Iterator[str]:
    claimed = node.nonce is not None or node.forgotten
    if not claimed or event.attempt != node.attempt:
        yield f"attempt {event.attempt} is called unknown and was never claimed"
    if node.unknown:
        yield f"attempt {event.attempt} becomes unknown twice"
    node.unknown = True


def _attempt_failed(node: _Node, event: AttemptFailed, fact: Fact) -> Iterator[str]:
    code = event.error.code
    if node.unknown and fact.by_timer:
        yield f"attempt {event.attempt} of unknown outcome is tried again by itself"
    if node.nonce is not None:
        denied = node.denied and code == "did_not_happen"
        if not denied and code not in KNOWN_NOT_TO_HAVE_HAPPENED:
            yield f"claimed attempt {event.attempt} is tried again after {code!r}"
    if (event.attempt, node.open) in node.received and code == "artifact_lost":
        node.losses += 1
    yield from _closing(node, event.attempt, (Phase.RUN, Phase.PLAN, Phase.APPLY), fact)


def _closing(node: _Node, attempt: int, stages: tuple[str, ...], fact: Fact) -> Iterator[str]:
    """Settle what is open: that attempt, in one of those stages, and nothing else."""
    if node.open not in stages:
        now = f"{node.open} is open" if node.open else "nothing is open"
        yield f"{fact.topic} of attempt {attempt} while {now}"
    elif attempt != node.attempt:
        yield f"{fact.topic} of attempt {attempt} while {node.attempt} is in flight"
    node.open, node.unknown = "", False
