"""What every event store must do: `Ledger`, its readers and its roster."""
# ruff: noqa: D102 - a test's name is its documentation

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from penstock_contracts.ids import derive
from penstock_contracts.records import (
    EventMeta,
    NewRecord,
    chain_hash,
    encode_state,
    genesis_hash,
    read_record,
)
from penstock_runtime.faults import Fenced, VersionConflict
from penstock_runtime.ports.ledger import (
    Commit,
    DueIndex,
    EventReader,
    Ledger,
    OpenEntry,
    PartitionRow,
    Witness,
)
from penstock_runtime.ports.roster import Holding, Lease, RosterBook

LEASE_S = 60.0
TOPIC = "run.run_started.v1"
OTHER_TOPIC = "run.run_succeeded.v1"


RunOut = Callable[[str], Awaitable[None]]
"""Lets the lease of a partition run out, however long it is."""


class LedgerStore(Ledger, EventReader, DueIndex, RosterBook, Protocol):
    """The four ports over one store."""


def aggregate(name: str) -> str:
    """Give an aggregate's id."""
    return derive("conformance", name)


def commit_of(
    row: PartitionRow,
    *events: tuple[str, int],
    topic: str = TOPIC,
    positions: Mapping[str, Witness] | None = None,
    opened: Mapping[str, int] | None = None,
    closed: Sequence[str] = (),
) -> Commit:
    """Make the commit that follows `row`, with a true hash chain.

    Args:
        row: as the writer last saw it.
        *events: (aggregate id, version) of each event.
        topic: of all of them.
        positions: after the commit; those of the row if None.
        opened: entries for the index of open aggregates.
        closed: aggregates to drop from it.
    """
    head, records = row.chain_head, list[NewRecord]()
    for aggregate_id, version in events:
        state = encode_state(EventMeta(time_us=1_700_000_000_000_000), head, {"version": version})
        records.append(NewRecord(aggregate_id, version, topic, state))
        head = chain_hash(head, aggregate_id, version, topic, state)
    return Commit(
        partition=row.partition,
        epoch=row.epoch,
        commit_number=row.commit_number,
        n=row.n + len(records),
        chain_head=head,
        events=records,
        positions=row.positions if positions is None else positions,
        opened=opened or {},
        closed=closed,
    )


async def owned(store: Ledger, partition: str, owner: str = "a") -> PartitionRow:
    """Acquire a partition that nobody else holds."""
    row = await store.acquire(partition, owner, LEASE_S)
    assert row is not None
    return row


async def extended(store: Ledger, row: PartitionRow, *events: tuple[str, int]) -> PartitionRow:
    """Commit events and give the row as it is then."""
    await store.commit(commit_of(row, *events))
    return await store.row(row.partition)


class LedgerSuite:
    """Inherit and provide fixtures.

    `store` is an empty `LedgerStore` for each test, and `run_out` a `RunOut` for it.
    """

    async def test_partitions_are_named_by_the_store(self, store: LedgerStore) -> None:
        assert await store.partitions() == []
        for name in ("run-1", "catalog", "run-0"):
            assert await store.acquire(name, "a", LEASE_S) is not None
        assert await store.partitions() == ["catalog", "run-0", "run-1"]

    async def test_first_owner_finds_an_empty_partition(self, store: LedgerStore) -> None:
        row = await store.acquire("run-0", "a", LEASE_S)
        assert row == PartitionRow("run-0", "a", 1, 0, 0, genesis_hash("run-0"), {})
        assert await store.row("run-0") == row

    async def test_row_of_an_unknown_partition_is_refused(self, store: LedgerStore) -> None:
        with pytest.raises(Fenced):
            await store.row("run-9")

    async def test_lease_keeps_others_out(self, store: LedgerStore) -> None:
        await owned(store, "run-0", "a")
        assert await store.acquire("run-0", "b", LEASE_S) is None
        assert (await store.row("run-0")).owner == "a"

    async def test_same_owner_returns_at_once_in_a_new_epoch(self, store: LedgerStore) -> None:
        first = await owned(store, "run-0", "a")
        again = await owned(store, "run-0", "a")
        assert again.epoch == first.epoch + 1

    async def test_ended_lease_lets_others_in(self, store: LedgerStore) -> None:
        await store.acquire("run-0", "a", 0.0)
        row = await owned(store, "run-0", "b")
        assert (row.owner, row.epoch) == ("b", 2)

    async def test_renewed_lease_counts(self, store: LedgerStore) -> None:
        await store.acquire("run-0", "a", 0.0)
        assert await store.renew("run-0", 1, LEASE_S)
        assert await store.acquire("run-0", "b", LEASE_S) is None

    async def test_lease_of_an_old_epoch_is_not_renewed(self, store: LedgerStore) -> None:
        await store.acquire("run-0", "a", 0.0)
        await owned(store, "run-0", "b")
        assert not await store.renew("run-0", 1, LEASE_S)
        assert not await store.renew("unknown", 1, LEASE_S)

    async def test_release_lets_others_in_at_once(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0", "a")
        await store.release("run-0", row.epoch)
        assert (await owned(store, "run-0", "b")).epoch == 2

    async def test_release_of_an_old_epoch_does_nothing(self, store: LedgerStore) -> None:
        await store.acquire("run-0", "a", 0.0)
        await owned(store, "run-0", "b")
        await store.release("run-0", 1)
        assert await store.acquire("run-0", "c", LEASE_S) is None

    async def test_a_commit_prolongs_the_lease(self, store: LedgerStore, run_out: RunOut) -> None:
        await store.acquire("run-0", "a", 0.0)
        await store.renew("run-0", 1, LEASE_S)
        row = await store.row("run-0")
        await run_out("run-0")
        assert (await store.attend("b", LEASE_S)).holdings[0].lease is Lease.ENDED
        row = await extended(store, row, (aggregate("x"), 1))
        assert (await store.attend("b", LEASE_S)).holdings[0].lease is Lease.RUNS
        assert await store.acquire("run-0", "b", LEASE_S) is None
        await run_out("run-0")
        await store.commit(commit_of(row))
        assert await store.acquire("run-0", "b", LEASE_S) is None

    async def test_a_commit_that_is_refused_prolongs_nothing(
        self, store: LedgerStore, run_out: RunOut
    ) -> None:
        row = await owned(store, "run-0", "a")
        await run_out("run-0")
        with pytest.raises(Fenced):
            await store.commit(replace(commit_of(row), commit_number=7))
        assert (await owned(store, "run-0", "b")).epoch == 2

    async def test_a_late_commit_takes_back_nothing_that_was_let_go(
        self, store: LedgerStore
    ) -> None:
        row = await owned(store, "run-0", "a")
        await store.release("run-0", row.epoch)
        await store.commit(commit_of(row, (aggregate("x"), 1)))
        assert (await store.attend("b", LEASE_S)).holdings[0].lease is Lease.FREE
        assert (await owned(store, "run-0", "b")).n == 1

    # --- who lives, and who holds what ----------------------------------------------------------

    async def test_whoever_attends_lives_until_it_leaves(self, store: LedgerStore) -> None:
        assert (await store.attend("b", LEASE_S)).living == ["b"]
        assert (await store.attend("a", LEASE_S)).living == ["a", "b"]
        assert (await store.attend("b", 0.0)).living == ["a"]
        assert (await store.attend("a", LEASE_S)).living == ["a"]

    async def test_a_roster_says_how_each_lease_stands(self, store: LedgerStore) -> None:
        await store.declare(["catalog", "run-0"])
        await store.declare(["run-0", "run-1", "run-2"])
        free = [Holding(n, "", 0, Lease.FREE) for n in ("catalog", "run-0", "run-1", "run-2")]
        assert (await store.attend("a", LEASE_S)).holdings == free
        await owned(store, "catalog", "a")
        row = await owned(store, "run-0", "b")
        await store.release("run-0", row.epoch)
        await store.acquire("run-1", "c", 0.0)
        assert (await store.attend("a", LEASE_S)).holdings == [
            Holding("catalog", "a", 1, Lease.RUNS),
            Holding("run-0", "b", 1, Lease.FREE),
            Holding("run-1", "c", 1, Lease.ENDED),
            free[3],
        ]

    async def test_a_declared_partition_is_owned_like_a_new_one(self, store: LedgerStore) -> None:
        await store.declare(["run-0"])
        assert await store.partitions() == ["run-0"]
        row = await store.acquire("run-0", "a", LEASE_S)
        assert row == PartitionRow("run-0", "a", 1, 0, 0, genesis_hash("run-0"), {})

    async def test_declaring_changes_nothing_that_exists(self, store: LedgerStore) -> None:
        row = await extended(store, await owned(store, "run-0"), (aggregate("x"), 1))
        await store.declare(["run-0"])
        assert await store.row("run-0") == row
        assert await store.acquire("run-0", "b", LEASE_S) is None

    # --- commits --------------------------------------------------------------------------------

    async def test_takeover_keeps_events_and_positions(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0", "a")
        witness = Witness(created_us=5, sequence=7, time_us=1_700_000_000_000_001)
        commit = commit_of(row, (aggregate("x"), 1), positions={"RUNS": witness})
        await store.commit(commit)
        await store.release("run-0", row.epoch)
        taken = await owned(store, "run-0", "b")
        assert taken == PartitionRow("run-0", "b", 2, 1, 1, commit.chain_head, {"RUNS": witness})

    async def test_commit_returns_ascending_positions(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        ids = [aggregate("x"), aggregate("y"), aggregate("x")]
        positions = await store.commit(commit_of(row, *zip(ids, (1, 1, 2), strict=True)))
        records = await store.after("run-0", 0, 10)
        assert [record.position for record in records] == list(positions)
        assert list(positions) == sorted(set(positions))
        assert [record.n for record in records] == [1, 2, 3]
        assert [record.aggregate_id for record in records] == ids

    async def test_stored_bytes_come_back_to_the_letter(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        commit = commit_of(row, (aggregate("x"), 1))
        raw = bytes(range(256)) + b"\x00'\\{},\""
        await store.commit(replace(commit, events=[replace(commit.events[0], state=raw)]))
        (record,) = await store.after("run-0", 0, 1)
        assert record.state == raw
        assert (record.topic, record.version, record.partition) == (TOPIC, 1, "run-0")

    async def test_commit_without_events_raises_the_number_only(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        moved = {"RUNS": Witness(created_us=1)}
        assert list(await store.commit(commit_of(row, positions=moved))) == []
        assert await store.row("run-0") == replace(row, commit_number=1, positions=moved)

    async def test_stale_epoch_is_refused(self, store: LedgerStore) -> None:
        old = await owned(store, "run-0", "a")
        await owned(store, "run-0", "a")
        await self._refused(store, commit_of(old, (aggregate("x"), 1)))

    async def test_future_epoch_is_refused(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0", "a")
        await self._refused(store, replace(commit_of(row, (aggregate("x"), 1)), epoch=2))

    async def test_stale_commit_number_is_refused(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        await store.commit(commit_of(row))
        await self._refused(store, commit_of(row, (aggregate("x"), 1)))

    async def test_commit_to_an_unknown_partition_is_refused(self, store: LedgerStore) -> None:
        row = PartitionRow("run-9", "a", 1, 0, 0, genesis_hash("run-9"), {})
        with pytest.raises(Fenced):
            await store.commit(commit_of(row, (aggregate("x"), 1)))
        assert await store.load([aggregate("x")]) == {}

    async def test_gap_in_n_is_refused(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        await self._refused(store, replace(commit_of(row, (aggregate("x"), 1)), n=5))

    async def _refused(self, store: LedgerStore, commit: Commit) -> None:
        before = await store.row(commit.partition)
        full = replace(
            commit, opened={aggregate("o"): 1}, positions={"RUNS": Witness(created_us=9)}
        )
        for tried in (full, replace(full, events=(), n=commit.n - 1)):
            with pytest.raises(Fenced):
                await store.commit(tried)
        assert await store.row(commit.partition) == before
        assert list(await store.after(commit.partition, 0, 10)) == []
        assert await store.next_due(commit.partition) is None

    async def test_version_conflict_writes_nothing(self, store: LedgerStore) -> None:
        row = await extended(store, await owned(store, "run-0"), (aggregate("x"), 1))
        commit = commit_of(
            row,
            (aggregate("y"), 1),
            (aggregate("x"), 1),
            positions={"RUNS": Witness(created_us=9)},
            opened={aggregate("y"): 1},
        )
        with pytest.raises(VersionConflict):
            await store.commit(commit)
        assert await store.row("run-0") == row
        assert await store.load([aggregate("y")]) == {}
        assert await store.next_due("run-0") is None

    async def test_version_conflict_within_a_commit(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        with pytest.raises(VersionConflict):
            await store.commit(commit_of(row, (aggregate("x"), 1), (aggregate("x"), 1)))
        assert await store.row("run-0") == row

    async def test_version_conflict_across_partitions(self, store: LedgerStore) -> None:
        await extended(store, await owned(store, "run-0"), (aggregate("x"), 1))
        other = await owned(store, "run-1")
        with pytest.raises(VersionConflict):
            await store.commit(commit_of(other, (aggregate("x"), 1)))

    async def test_writer_goes_on_after_a_conflict(self, store: LedgerStore) -> None:
        row = await extended(store, await owned(store, "run-0"), (aggregate("x"), 1))
        with pytest.raises(VersionConflict):
            await store.commit(commit_of(row, (aggregate("x"), 1)))
        row = await extended(store, row, (aggregate("x"), 2))
        assert (row.n, row.commit_number) == (2, 2)

    async def test_of_two_writers_exactly_one_wins(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        commits = [commit_of(row, (aggregate(f"w{i}"), 1)) for i in range(8)]
        outcomes = await asyncio.gather(*map(store.commit, commits), return_exceptions=True)
        lost = [outcome for outcome in outcomes if isinstance(outcome, Fenced)]
        assert len(lost) == len(commits) - 1
        assert len(await store.after("run-0", 0, 10)) == 1
        assert (await store.row("run-0")).commit_number == 1

    async def test_lost_reply_is_decided_by_the_commit_number(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        commit = commit_of(row, (aggregate("x"), 1))
        positions = await store.commit(commit)  # suppose the answer is lost here
        now = await store.row("run-0")
        assert (now.epoch, now.commit_number) == (commit.epoch, commit.commit_number + 1)
        landed = (await store.load([aggregate("x")]))[aggregate("x")]
        assert [record.position for record in landed] == list(positions)

    async def test_thousand_events_in_one_commit(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        commit = commit_of(row, *((aggregate("x"), version) for version in range(1, 1001)))
        assert len(await store.commit(commit)) == 1000
        records = (await store.load([aggregate("x")]))[aggregate("x")]
        assert [record.version for record in records] == list(range(1, 1001))
        assert [record.n for record in records] == list(range(1, 1001))
        head = genesis_hash("run-0")
        for record in records:
            assert read_record(record).prev_hash == head.hex()
            head = chain_hash(head, record.aggregate_id, record.version, record.topic, record.state)
        assert (await store.row("run-0")).chain_head == head

    async def test_load_gives_known_aggregates_in_version_order(self, store: LedgerStore) -> None:
        x, y, absent = aggregate("x"), aggregate("y"), aggregate("absent")
        row = await extended(store, await owned(store, "run-0"), (x, 1), (y, 1), (x, 2))
        await extended(store, row, (y, 2), (x, 3))
        found = await store.load([x, absent, y])
        versions = {id_: [record.version for record in found[id_]] for id_ in found}
        assert versions == {x: [1, 2, 3], y: [1, 2]}
        assert await store.load([]) == {}

    async def test_after_reads_one_partition_in_order(self, store: LedgerStore) -> None:
        """Partitions interleave, unevenly, so that positions have gaps inside each."""
        first, second = await owned(store, "run-0"), await owned(store, "run-1")
        for i in range(12):
            wide = [(aggregate(f"{i}.{k}"), 1) for k in range(i % 4)]
            second = await extended(store, second, *wide)
            first = await extended(store, first, (aggregate("x"), i + 1))
        for row in (first, second):
            for n in range(row.n + 2):
                page = await store.after(row.partition, n, 5)
                assert [record.n for record in page] == list(range(n + 1, row.n + 1))[:5]
                assert all(record.partition == row.partition for record in page)
        assert list(await store.after("run-2", 0, 5)) == []
        assert list(await store.after("run-0", 10_000, 5)) == []

    async def test_of_topics_filters(self, store: LedgerStore) -> None:
        row = await owned(store, "run-0")
        for version in range(1, 7):
            topic = OTHER_TOPIC if version % 3 == 0 else TOPIC
            await store.commit(commit_of(row, (aggregate("x"), version), topic=topic))
            row = await store.row("run-0")
        found = await store.of_topics("run-0", [OTHER_TOPIC], 0, 10)
        assert [record.n for record in found] == [3, 6]
        found = await store.of_topics("run-0", [OTHER_TOPIC], 3, 10)
        assert [record.n for record in found] == [6]
        found = await store.of_topics("run-0", [OTHER_TOPIC, TOPIC], 1, 2)
        assert [record.n for record in found] == [2, 3]
        assert list(await store.of_topics("run-0", [], 0, 10)) == []

    async def test_due_entries_come_earliest_first(self, store: LedgerStore) -> None:
        x, y, z = aggregate("x"), aggregate("y"), aggregate("z")
        row = await owned(store, "run-0")
        await store.commit(commit_of(row, opened={x: 30, y: 10, z: 20}))
        assert list(await store.due("run-0", 20, 10)) == [OpenEntry(y, 10), OpenEntry(z, 20)]
        assert list(await store.due("run-0", 30, 1)) == [OpenEntry(y, 10)]
        assert list(await store.due("run-0", 9, 10)) == []
        assert list(await store.due("run-1", 99, 10)) == []
        assert await store.next_due("run-0") == 10
        assert await store.next_due("run-1") is None

    async def test_opened_replaces_and_closed_removes(self, store: LedgerStore) -> None:
        x, y = aggregate("x"), aggregate("y")
        row = await owned(store, "run-0")
        await store.commit(commit_of(row, (x, 1), opened={x: 1, y: 2}))
        row = await store.row("run-0")
        await store.commit(commit_of(row, opened={x: 5}, closed=[y, aggregate("absent")]))
        assert list(await store.due("run-0", 99, 10)) == [OpenEntry(x, 5)]
        row = await store.row("run-0")
        await store.commit(commit_of(row, opened={x: 6}, closed=[x]))
        assert await store.next_due("run-0") is None

    async def test_sweep_pages_through_all_open_aggregates(self, store: LedgerStore) -> None:
        ids = sorted(aggregate(str(i)) for i in range(5))
        row = await owned(store, "run-0")
        await store.commit(commit_of(row, opened={id_: i for i, id_ in enumerate(ids)}))
        first = await store.open_after("run-0", "", 3)
        rest = await store.open_after("run-0", first[-1].aggregate_id, 3)
        assert [entry.aggregate_id for entry in (*first, *rest)] == ids
        assert [entry.due_us for entry in (*first, *rest)] == list(range(5))
