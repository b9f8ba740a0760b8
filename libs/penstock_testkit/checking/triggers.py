"""Triggers: decided once, each run started once and as matched, nothing accepted is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock_contracts.ids import run_id, trigger_aggregate_id
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import (
    MatchedRun,
    StartConfirmed,
    TriggerIgnored,
    TriggerMatched,
)
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation


@dataclass(frozen=True, slots=True)
class _Catalog:
    """What the catalog says of triggers.

    Attributes:
        matched: (trigger aggregate, run) -> the run as matched.
        confirmed: runs whose start was confirmed.
        triggers: (tenant, trigger id) -> its runs, for each decision on it.
    """

    matched: dict[tuple[str, str], MatchedRun] = field(
        default_factory=dict[tuple[str, str], MatchedRun]
    )
    confirmed: dict[str, list[Fact]] = field(default_factory=dict[str, list["Fact"]])
    triggers: dict[tuple[str, str], list[tuple[Fact, tuple[str, ...]]]] = field(
        default_factory=dict[tuple[str, str], list[tuple["Fact", tuple[str, ...]]]]
    )


def _catalog(history: History) -> _Catalog:
    found = _Catalog()
    for fact in history.facts.get(CATALOG_PARTITION, ()):
        event = fact.event
        if isinstance(event, TriggerMatched | TriggerIgnored):
            runs = event.runs if isinstance(event, TriggerMatched) else ()
            for run in runs:
                found.matched[fact.aggregate, run.run_id] = run
            key = (event.tenant, event.trigger_id)
            found.triggers.setdefault(key, []).append((fact, tuple(run.run_id for run in runs)))
        elif isinstance(event, StartConfirmed):
            found.confirmed.setdefault(event.run_id, []).append(fact)
    return found


def triggers_are_decided_once(history: History) -> Iterator[Violation]:
    """A trigger id is decided on once; a run belongs to one trigger, and its id says so."""
    owners: dict[str, str] = {}
    for (tenant, trigger_id), decisions in _catalog(history).triggers.items():
        for fact, _ in decisions[1:]:
            yield Violation("triggers", fact.where, f"{trigger_id!r} is decided a second time")
        for fact, runs in decisions:
            if fact.aggregate != trigger_aggregate_id(tenant, trigger_id):
                yield Violation("triggers", fact.where, f"{trigger_id!r} has another aggregate")
            for run in runs:
                if owners.setdefault(run, fact.where) != fact.where or runs.count(run) > 1:
                    yield Violation("triggers", fact.where, f"run {run} is matched again")


def run_ids_are_derived(history: History) -> Iterator[Violation]:
    """A run's id follows from tenant, workflow and trigger id alone."""
    for fact in history.facts.get(CATALOG_PARTITION, ()):
        if isinstance(fact.event, TriggerMatched):
            for run in fact.event.runs:
                derived = run_id(fact.event.tenant, run.workflow, fact.event.trigger_id)
                if run.run_id != derived:
                    yield Violation("run ids", fact.where, f"{run.run_id} where {derived} is due")


def runs_start_as_matched(history: History) -> Iterator[Violation]:
    """A run starts as the catalog has matched it: definition, agents, inputs, partition."""
    if CATALOG_PARTITION not in history.store:
        return
    matched: Mapping[tuple[str, str], MatchedRun] = _catalog(history).matched
    for run, facts in history.runs.items():
        for fact in facts:
            event = fact.event
            if not isinstance(event, RunStarted):
                continue
            wanted = matched.get((event.trigger_aggregate, run))
            if wanted is None:
                yield Violation("started as matched", fact.where, f"nothing has matched {run}")
            elif (
                event.workflow, event.definition_digest, event.agents, event.inputs,
                event.partition,
            ) != (
                wanted.workflow, wanted.definition_digest, wanted.agents, wanted.inputs,
                wanted.partition,
            ):  # fmt: skip
                yield Violation("started as matched", fact.where, f"{run} differs from its match")


def starts_are_confirmed(history: History) -> Iterator[Violation]:
    """A start is confirmed once, for a run that exists; in the end every matched run is."""
    catalog = _catalog(history)
    for run, facts in catalog.confirmed.items():
        for fact in facts[1:]:
            yield Violation("confirmations", fact.where, f"{run} is confirmed again")
        homes = {match.partition for (_, one), match in catalog.matched.items() if one == run}
        if homes <= history.store.keys() and run not in history.runs:
            yield Violation("confirmations", facts[0].where, f"{run} is confirmed and not there")
    if not history.ended:
        return
    for _, run in catalog.matched:
        if run not in history.runs:
            yield Violation("confirmations", run, "was matched and has never started")
        elif run not in catalog.confirmed:
            yield Violation("confirmations", run, "has started and was never confirmed")


def accepted_triggers_are_there(history: History) -> Iterator[Violation]:
    """Whatever a client was told to be accepted is in the store, with the runs it was told."""
    triggers = _catalog(history).triggers
    for accepted in history.accepted:
        decisions = triggers.get((accepted.tenant, accepted.trigger_id))
        if not decisions:
            yield Violation("accepted", accepted.trigger_id, "was accepted and is not there")
            continue
        missing = sorted(set(accepted.run_ids) - set(decisions[0][1]))
        if missing:
            detail = f"its runs {', '.join(missing)} are not there"
            yield Violation("accepted", accepted.trigger_id, detail)
