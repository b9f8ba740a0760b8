"""The index of open aggregates, compared with what the product's own fold says is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.registry import kind_of
from penstock_contracts.run.v1 import RunStarted
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.catalog.decider import CatalogDecider
from penstock_core.catalog.state import EntryState
from penstock_core.decider import Decider, next_due
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import ParkedDecider, ParkedState
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import RunState
from penstock_core.workflow.plan import compile_plan
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation


def histories_fold_by_production_code(history: History) -> Iterator[Violation]:
    """The product's own fold accepts every stored history."""
    for aggregate, facts in history.aggregates.items():
        try:
            _fold(history, aggregate, facts)
        except BrokenInvariant as fault:
            yield Violation("folds", aggregate, str(fault))


def open_ones_are_indexed_by_production_code(history: History) -> Iterator[Violation]:
    """Whatever still waits stands in the index, not later than its next due time.

    What was ever frozen by a parked message waits for an operator and may stand later.
    """
    if history.open_index is None:
        return
    for aggregate, facts in history.aggregates.items():
        index = history.open_index.get(facts[0].record.partition)
        if index is None or any(isinstance(fact.event, MessageParked) for fact in facts):
            continue
        try:
            decider, state = _fold(history, aggregate, facts)
        except BrokenInvariant:
            continue  # the other check tells of it
        for detail in _index_faults(decider, state, index.get(aggregate), history.now_us):
            yield Violation("indexed", aggregate, detail)


def _index_faults(
    decider: Decider[Any], state: object, bound: int | None, now_us: int | None
) -> Iterator[str]:
    own, waits = decider.own_due(state), decider.outstanding(state)
    if bound is None:
        if own is not None or waits:
            yield "waits for something and is not in the index"
        return
    if own is not None and bound > own:
        yield f"is due at {own} and stands at {bound}"
    following = None if now_us is None else next_due(decider, state, now_us)
    if following is not None and bound > following:
        yield f"is to be asked again at {following} and stands at {bound}"


def _fold(history: History, aggregate: str, facts: Sequence[Fact]) -> tuple[Decider[Any], Any]:
    decider, state = _blank(history, aggregate, facts[0])
    for fact in facts:
        if fact.event is None:
            raise BrokenInvariant(fact.fault)
        state = decider.evolve(state, fact.event)
    return decider, state


def _blank(history: History, aggregate: str, first: Fact) -> tuple[Decider[Any], Any]:
    match kind_of(first.topic):
        case "run":
            return RunDecider(), _blank_run(history, aggregate, first)
        case "approval":
            return ApprovalDecider(), ApprovalState(aggregate)
        case "partition":
            return ParkedDecider(), ParkedState(aggregate)
        case _:
            return CatalogDecider(), EntryState(aggregate)


def _blank_run(history: History, aggregate: str, first: Fact) -> RunState:
    event = first.event
    if not isinstance(event, RunStarted):
        return RunState(aggregate)
    definition = history.definitions.workflow(event)
    if definition is None:
        raise BrokenInvariant(f"the store holds no workflow {event.definition_digest}")
    manifests = {
        name: manifest
        for name, digest in event.agents.items()
        if (manifest := history.definitions.agents.get((event.tenant, digest))) is not None
    }
    try:
        plan = compile_plan(definition, event.definition_digest, manifests, dict(event.agents))
    except ValueError as fault:
        raise BrokenInvariant(str(fault)) from None
    return RunState(aggregate, plan=plan)
