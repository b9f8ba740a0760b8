"""The bare order of a store: numbers, versions, homes, and the chain of hashes."""

from __future__ import annotations

from collections.abc import Iterator

from penstock_contracts.records import chain_hash, genesis_hash
from penstock_contracts.registry import kind_of, name_of
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation


def numbers_are_gap_free(history: History) -> Iterator[Violation]:
    """The n-th record of a partition has number n and names that partition."""
    for partition, records in history.store.items():
        for n, record in enumerate(records, 1):
            if (record.partition, record.n) != (partition, n):
                found = f"{record.partition}/{record.n}"
                yield Violation("numbers", f"{partition}/{n}", f"here stands {found}")
                break  # everything behind it is displaced as well


def versions_are_gap_free(history: History) -> Iterator[Violation]:
    """The k-th event of an aggregate has version k."""
    for aggregate, facts in history.aggregates.items():
        for version, fact in enumerate(facts, 1):
            if fact.record.version != version:
                found = f"{aggregate} goes on with version {fact.record.version}, not {version}"
                yield Violation("versions", fact.where, found)
                break


def aggregates_have_one_home(history: History) -> Iterator[Violation]:
    """All events of an aggregate stand in one partition."""
    for aggregate, facts in history.aggregates.items():
        homes = sorted({fact.record.partition for fact in facts})
        if len(homes) > 1:
            yield Violation("homes", aggregate, f"lives in {', '.join(homes)}")


def events_can_be_read(history: History) -> Iterator[Violation]:
    """Every record is what its type says."""
    for facts in history.facts.values():
        for fact in facts:
            if fact.event is None:
                yield Violation("readable", fact.where, fact.fault)


def chain_is_whole(history: History) -> Iterator[Violation]:
    """Each event carries the hash of everything before it in its partition."""
    for partition, facts in history.facts.items():
        head = genesis_hash(partition)
        for fact in facts:
            if fact.prev_hash != head.hex():
                yield Violation("chain", fact.where, "does not follow what stands before it")
                break
            record = fact.record
            head = chain_hash(head, record.aggregate_id, record.version, record.topic, record.state)


def causes_act_once(history: History) -> Iterator[Violation]:
    """A command that an aggregate has acted on leads to no further event of it later on.

    One message leads to one commit, so all events of one cause stand side by side. Left out are
    timers, which are named by their time, and what is parked, which may be redriven; and a copy
    of what was done already may be refused, or answered once more with `unchanged`.
    """
    for aggregate, facts in history.aggregates.items():
        done: set[str] = set()
        before = ""
        for fact in facts:
            cause = fact.meta.causation_id
            if _may_come_again(fact) or not cause:
                continue
            if cause != before and cause in done:
                detail = f"{cause!r} acts on {aggregate} a second time: {fact.topic}"
                yield Violation("causes", fact.where, detail)
            done.add(cause)
            before = cause


def _may_come_again(fact: Fact) -> bool:
    return (
        fact.by_timer
        or kind_of(fact.topic) == "partition"
        or name_of(fact.topic) == "command_rejected"
        or name_of(fact.topic).endswith("_unchanged")
    )
