"""What agents really did: asked for, claimed, allowed, and once where it is to be once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from penstock_contracts.ids import idempotency_key
from penstock_contracts.run.v1 import AttemptFailed, OutcomeSettled, TaskScheduled, TaskStarted
from penstock_testkit.checking.attempts import KNOWN_NOT_TO_HAVE_HAPPENED
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import Effected, History, Violation
from penstock_testkit.checking.stories import Story, stories

Task = tuple[str, str, int, str]
"""Run, node, attempt, phase."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the store says of tasks.

    Attributes:
        scheduled: task -> when it was asked for.
        claims: task -> (nonce, when it was granted).
        undone: run, node, attempt of which it is known that nothing happened.
    """

    scheduled: dict[Task, Fact] = field(default_factory=dict[Task, "Fact"])
    claims: dict[Task, tuple[str | None, Fact]] = field(
        default_factory=dict[Task, tuple[str | None, "Fact"]]
    )
    undone: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])
    agents: dict[tuple[str, str], str | None] = field(
        default_factory=dict[tuple[str, str], str | None]
    )


def _asked(history: History) -> _Asked:
    found = _Asked()
    for story in stories(history):
        for name, node in story.definition.nodes.items():
            found.agents[story.run_id, name] = node.agent
        _read(found, story)
    return found


def _read(found: _Asked, story: Story) -> None:
    phases: dict[str, str] = {}
    for fact in story.facts:
        event = fact.event
        if isinstance(event, TaskScheduled):
            phases[event.node] = event.phase.value
            found.scheduled[story.run_id, event.node, event.attempt, event.phase.value] = fact
        elif isinstance(event, TaskStarted):
            task = (story.run_id, event.node, event.attempt, phases.get(event.node, ""))
            found.claims[task] = (event.nonce, fact)
        elif isinstance(event, OutcomeSettled | AttemptFailed) and _says_undone(event):
            found.undone.add((story.run_id, event.node, event.attempt))


def _says_undone(event: OutcomeSettled | AttemptFailed) -> bool:
    if isinstance(event, OutcomeSettled):
        return not event.happened
    return event.error.code in KNOWN_NOT_TO_HAVE_HAPPENED


def _task(effect: Effected) -> Task:
    return effect.run_id, effect.node, effect.attempt, effect.phase


def _where(effect: Effected) -> str:
    return f"{effect.run_id}/{effect.node}/{effect.attempt}"


def effects_were_asked_for(history: History) -> Iterator[Violation]:
    """Whatever an agent did was scheduled before, for that agent, under the node's own key."""
    if not history.effects:
        return
    asked = _asked(history)
    for effect in history.effects:
        fact = asked.scheduled.get(_task(effect))
        if fact is None:
            detail = f"{effect.agent} acted ({effect.phase}) and was never asked"
            yield Violation("asked for", _where(effect), detail)
            continue
        if fact.meta.time_us > effect.at_us + history.skew_us:
            yield Violation("asked for", _where(effect), "acted before it was asked")
        if asked.agents.get((effect.run_id, effect.node)) != effect.agent:
            yield Violation("asked for", _where(effect), f"{effect.agent} is not its agent")
        if effect.key != idempotency_key(effect.run_id, effect.node):
            yield Violation("asked for", _where(effect), "acted under another idempotency key")


def once_is_claimed_first(history: History) -> Iterator[Violation]:
    """A `once` agent acts behind a committed claim of its own nonce."""
    once = [effect for effect in history.effects if effect.once]
    if not once:
        return
    claims = _asked(history).claims
    for effect in once:
        nonce, fact = claims.get(_task(effect), (None, None))
        if fact is None or nonce is None:
            yield Violation("claims", _where(effect), "acted and no claim was committed")
        elif nonce != effect.nonce:
            yield Violation("claims", _where(effect), "acted on a claim that is another's")
        elif fact.meta.time_us > effect.at_us + history.skew_us:
            yield Violation("claims", _where(effect), "acted before its claim was committed")


def once_happens_once(history: History) -> Iterator[Violation]:
    """A `once` effect happens once for its key.

    Again only in a further attempt, when it is known of each one before that nothing happened:
    its agent declared so, or a person found it out.
    """
    by_key: dict[str, list[Effected]] = {}
    for effect in history.effects:
        if effect.once:
            by_key.setdefault(effect.key, []).append(effect)
    repeated = {key: found for key, found in by_key.items() if len(found) > 1}
    if not repeated:
        return
    undone = _asked(history).undone
    if history.forgotten:
        undone |= _asked(replace(history, store=history.forgotten)).undone
    for found in repeated.values():
        yield from _repetitions(found, undone)


def _repetitions(
    found: Sequence[Effected], undone: set[tuple[str, str, int]]
) -> Iterator[Violation]:
    before = found[0]
    for effect in found[1:]:
        if (effect.attempt, effect.phase) == (before.attempt, before.phase):
            yield Violation("once", _where(effect), "happened twice in one attempt")
        elif (before.run_id, before.node, before.attempt) not in undone:
            detail = f"happened again, and nobody knows that attempt {before.attempt} did nothing"
            yield Violation("once", _where(effect), detail)
        before = effect
