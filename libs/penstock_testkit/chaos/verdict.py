"""The verdict on a finished chaos: our own plain checks, and all checkers of histories."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.run.v1 import OutcomeUnknown
from penstock_testkit.chaos.clients import Clients
from penstock_testkit.chaos.gather import history_of
from penstock_testkit.chaos.judge import (
    Broken,
    Stored,
    effects_once,
    events_are_the_store,
    promises_kept,
    repeats,
    results_once,
    runs_ended,
    views_are_folds,
)
from penstock_testkit.chaos.nemesis import Done
from penstock_testkit.chaos.observed import Log
from penstock_testkit.chaos.stack import ChaosStack
from penstock_testkit.checking import check


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was judged."""

    runs: int
    events: int
    acts: int
    repeated: int
    unknown: int
    compared: int
    duplicates: int
    parked: int


async def judged(
    stack: ChaosStack, clients: Clients, log: Log, done: Sequence[Done]
) -> tuple[list[Broken], Counts]:
    """Check everything; call it once all runs have ended, or should have."""
    clients.look()
    acts = clients.acts
    stored = await asyncio.to_thread(Stored, stack)
    broken = [
        *promises_kept(stored, log.promises),
        *runs_ended(stored),
        *results_once(stored),
        *effects_once(stored, acts),
        *(Broken("chain", name, why) for name, why in stored.chains.items()),
    ]
    published, duplicates = await events_are_the_store(stack, stored)
    shown, compared = await views_are_folds(stack, stored)
    history = await history_of(stack, stored, clients, log, done)
    found = await asyncio.to_thread(check, history)
    told = [Broken(f"history: {one.check}", one.where, one.detail) for one in found]
    topics = [event.topic for events in stored.events.values() for event in events]
    counts = Counts(
        runs=len(stored.runs),
        events=len(topics),
        acts=len(acts),
        repeated=repeats(acts),
        unknown=topics.count(OutcomeUnknown.TYPE),
        compared=compared,
        duplicates=duplicates,
        parked=topics.count(MessageParked.TYPE),
    )
    return [*broken, *published, *shown, *told], counts
