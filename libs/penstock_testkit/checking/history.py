"""What is judged: everything that can be known of a history from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from penstock_contracts.partition.v1 import StoreRecovered
from penstock_contracts.records import ReadEvent, StoredRecord
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewKey
from penstock_testkit.checking.facts import Definitions, Fact, definitions_of, read_facts

Fold = Callable[[Sequence[ReadEvent]], Mapping[ViewKey, JsonObject]]
"""Makes the gateway's rows from events: those of one partition in their order."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept.

    Attributes:
        check: name of the check.
        where: partition and number, run and node, or a stream's sequence.
        detail: one sentence.
    """

    check: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Published:
    """A message of EVENTS."""

    sequence: int
    subject: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Effected:
    """What an agent really did, noted inside the sandbox at the moment of the effect.

    A task of phase `plan` has none.

    Attributes:
        phase: `run` or `apply`.
        nonce: that its executor claimed with; None: it has claimed nothing.
        key: idempotency key.
        once: whether the agent may act once only.
        at_us: by the history's true clock.
    """

    run_id: str
    node: str
    attempt: int
    phase: str
    agent: str
    nonce: str | None
    key: str
    once: bool
    at_us: int
    executor: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """A result that RUNS had acknowledged, by its server time, and that RUNS has never lost."""

    run_id: str
    node: str
    attempt: int
    phase: str
    nonce: str | None
    at_us: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A trigger of which a client was told that it is accepted: committed, that is.

    Attributes:
        trigger_id: as the store writes it, with the prefix that says where it is from.
        run_ids: that the client was told; empty where it was told none.
    """

    trigger_id: str
    run_ids: tuple[str, ...]
    at_us: int
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a client has read of a run, in the order of reading."""

    run_id: str
    status: str
    at_us: int


@dataclass(frozen=True)
class History:
    """A history. Fields left at their default are not judged.

    Attributes:
        store: partition -> its records in the order of their numbers. A partition without events
            is to be named too: what it does not hold is then known to be absent.
        published: EVENTS, ascending, from the first sequence kept; None: not read.
        first_sequence: first sequence EVENTS still keeps; above 1 its beginning has aged out.
        views: the gateway's rows, (kind, tenant, id) -> body.
        seen: partition -> n of the last event those rows contain.
        fold: makes such rows from events (`penstock_testkit.checking.folding.rows_of`).
        effects: what agents did. If the store was put back, without what was in its lost tail.
        results: reported results that the timers have to wait for.
        delivered: ids of triggers and commands that must have left an event
            (`penstock_testkit.checking.delivered.answered_of`).
        accepted: what clients were told.
        observed: what clients read.
        secrets: byte strings of at least 8 bytes that may occur nowhere.
        messages: (where, payload) of any other messages that no secret may occur in.
        open_index: partition -> aggregate -> due time as the store holds it.
        now_us: when all this was read, for re-asks that the index must not be late for.
        old_times: streams that were put back or cut: messages may come late with old times.
        caught_up: faults are healed and there was time: EVENTS and views must be complete.
        ended: every run must have ended.
        forgotten: what the store held before it was put back; it knew of attempts that did nothing.
        skew_us: by how much the clocks of the store's times and of effects may differ.
    """

    store: Mapping[str, Sequence[StoredRecord]]
    published: Sequence[Published] | None = None
    first_sequence: int = 1
    views: Mapping[ViewKey, JsonObject] | None = None
    seen: Mapping[str, int] = field(default_factory=dict[str, int])
    fold: Fold | None = None
    effects: Sequence[Effected] = ()
    results: Sequence[Reported] = ()
    delivered: Sequence[str] = ()
    accepted: Sequence[Accepted] = ()
    observed: Sequence[Observed] = ()
    secrets: Sequence[bytes] = ()
    messages: Sequence[tuple[str, bytes]] = ()
    open_index: Mapping[str, Mapping[str, int]] | None = None
    now_us: int | None = None
    old_times: frozenset[str] = frozenset()
    caught_up: bool = False
    ended: bool = False
    forgotten: Mapping[str, Sequence[StoredRecord]] = field(
        default_factory=dict[str, Sequence[StoredRecord]]
    )
    skew_us: int = 0

    @cached_property
    def facts(self) -> Mapping[str, Sequence[Fact]]:
        """Partition -> its records read, in order."""
        return {partition: read_facts(records) for partition, records in self.store.items()}

    @cached_property
    def aggregates(self) -> Mapping[str, Sequence[Fact]]:
        """Aggregate -> its events, in the order of their numbers."""
        found: dict[str, list[Fact]] = {}
        for facts in self.facts.values():
            for fact in facts:
                found.setdefault(fact.aggregate, []).append(fact)
        return found

    @cached_property
    def runs(self) -> Mapping[str, Sequence[Fact]]:
        """Run -> its events."""
        return self.of_kind("run")

    @cached_property
    def approvals(self) -> Mapping[str, Sequence[Fact]]:
        """Approval -> its events."""
        return self.of_kind("approval")

    @cached_property
    def definitions(self) -> Definitions:
        """Workflow documents and manifests by digest."""
        return definitions_of(fact for facts in self.facts.values() for fact in facts)

    @cached_property
    def recovered(self) -> bool:
        """Tell whether a store was put back and recovered: claims may then be forgotten."""
        return any(
            isinstance(fact.event, StoreRecovered)
            for facts in self.facts.values()
            for fact in facts
        )

    def of_kind(self, kind: str) -> Mapping[str, Sequence[Fact]]:
        """Give the aggregates whose first event is of a kind."""
        prefix = f"{kind}."
        return {
            aggregate: facts
            for aggregate, facts in self.aggregates.items()
            if facts[0].topic.startswith(prefix)
        }
