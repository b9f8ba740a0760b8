"""What could not be processed says why, and nothing goes on past it."""

from __future__ import annotations

from collections.abc import Iterator

from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import CommandRejected, MessageParked, MessageRedriven
from penstock_contracts.registry import name_of
from penstock_contracts.run.v1 import RunRecovered
from penstock_testkit.checking.history import History, Violation

_CODES = frozenset(Code)


def parked_messages_say_why(history: History) -> Iterator[Violation]:
    """Each parked message has a known code and names stream and subject."""
    for facts in history.facts.values():
        for fact in facts:
            event = fact.event
            if isinstance(event, MessageParked):
                if event.code not in _CODES or not event.subject or not event.stream:
                    yield Violation("parked", fact.where, f"parked as {event.code!r}, and no more")
                if event.aggregate not in (None, fact.aggregate):
                    yield Violation("parked", fact.where, f"freezes {event.aggregate}")


def no_invariant_is_broken(history: History) -> Iterator[Violation]:
    """Nothing was parked because the product contradicted itself: that is a defect."""
    for facts in history.facts.values():
        for fact in facts:
            event = fact.event
            if isinstance(event, MessageParked) and event.code == Code.INVARIANT_BROKEN:
                yield Violation("defects", fact.where, event.detail or "an invariant was broken")


def the_frozen_stand_still(history: History) -> Iterator[Violation]:
    """While a message of an aggregate is parked, nothing but parking happens to it."""
    for aggregate, facts in history.aggregates.items():
        parked: set[tuple[str, int]] = set()
        for fact in facts:
            event = fact.event
            if isinstance(event, MessageParked):
                parked.add((event.stream, event.sequence))
            elif isinstance(event, MessageRedriven):
                if (event.stream, event.sequence) not in parked:
                    yield Violation("frozen", fact.where, "puts back what was not parked")
                parked.discard((event.stream, event.sequence))
            elif parked and not _stands_beside(fact.topic):
                detail = f"{fact.topic} of {aggregate} while {len(parked)} messages are parked"
                yield Violation("frozen", fact.where, detail)


def _stands_beside(topic: str) -> bool:
    return name_of(topic) in (name_of(CommandRejected.TYPE), name_of(RunRecovered.TYPE))
