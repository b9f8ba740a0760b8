"""What every read model must do: `ProjectionStore` and `ViewReader` over one store."""
# ruff: noqa: D102 - a test's name is its documentation

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from penstock_runtime.faults import Fenced
from penstock_runtime.ports.ledger import PartitionRow, Witness
from penstock_runtime.ports.projection import (
    ProjectionCommit,
    ProjectionStore,
    ViewReader,
    ViewRow,
)

PARTITION = "projection-gateway"
LEASE_S = 60.0


class ReadModel(ProjectionStore, ViewReader, Protocol):
    """Both ports over one store."""


def view(id_: str, sort_key: int = 0, *, kind: str = "run", tenant: str = "default") -> ViewRow:
    """Give a row."""
    return ViewRow(kind, tenant, id_, sort_key=sort_key, body={"id": id_})


def ids_of(rows: Sequence[ViewRow]) -> list[str]:
    """Name the rows."""
    return [row.id for row in rows]


class Writer:
    """An owner that keeps count of its commits."""

    def __init__(self, store: ProjectionStore, row: PartitionRow) -> None:
        self._store = store
        self.next = ProjectionCommit(row.partition, row.epoch, row.commit_number)

    async def put(self, *rows: ViewRow, **changes: object) -> None:
        """Commit rows."""
        await self._store.commit(replace(self.next, upserts=rows, **changes))
        self.next = replace(self.next, commit_number=self.next.commit_number + 1)


async def owner_of(store: ProjectionStore, owner: str = "a") -> Writer:
    """Take the projection over."""
    row = await store.acquire(PARTITION, owner, LEASE_S)
    assert row is not None
    return Writer(store, row)


class ProjectionSuite:
    """Inherit and provide the fixture `store`: an empty `ReadModel` for each test."""

    async def test_lease_keeps_others_out(self, store: ReadModel) -> None:
        row = await store.acquire(PARTITION, "a", LEASE_S)
        assert row is not None
        assert await store.acquire(PARTITION, "b", LEASE_S) is None
        assert await store.renew(PARTITION, row.epoch, LEASE_S)
        await store.release(PARTITION, row.epoch)
        assert await store.acquire(PARTITION, "b", LEASE_S) is not None
        assert not await store.renew(PARTITION, row.epoch, LEASE_S)

    async def test_rows_come_back_as_written(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        row = ViewRow(
            kind="run",
            tenant="default",
            id="r1",
            parent="p",
            sort_key=2**62,
            state="running",
            group="deploy",
            body={"text": "a\u0000b'\\ü😀", "list": [1, 2.5, None, True], "deep": {"x": {}}},
        )
        await writer.put(row)
        assert await store.get("run", "default", "r1") == row
        assert await store.get("run", "default", "r2") is None
        assert await store.get("run", "other", "r1") is None
        assert await store.get("node", "default", "r1") is None

    async def test_upsert_replaces_whole_rows(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(replace(view("r1"), state="running"))
        await writer.put(replace(view("r1", 5), body={"new": True}))
        assert await store.get("run", "default", "r1") == replace(view("r1", 5), body={"new": True})
        assert list(await store.page("run", "default", state="running")) == []

    async def test_last_upsert_of_a_key_counts(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(view("r1", 1), view("r1", 2))
        assert await store.get("run", "default", "r1") == view("r1", 2)

    async def test_deletes_come_before_upserts(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(view("r1"), view("r2"))
        keys = [view("r1").key, view("r2").key, view("absent").key, view("r1").key]
        await writer.put(view("r1", 9), deletes=keys)
        assert await store.get("run", "default", "r1") == view("r1", 9)
        assert await store.get("run", "default", "r2") is None

    async def test_seen_moves_with_the_rows(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        assert await store.seen() == {}
        await writer.put(view("r1"), seen={"run-0": 3, "catalog": 1})
        await writer.put(seen={"run-0": 4})
        assert await store.seen() == {"run-0": 4, "catalog": 1}

    async def test_takeover_finds_the_positions(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        positions = {"EVENTS": Witness(created_us=1, sequence=2, time_us=3)}
        await writer.put(positions=positions)
        row = await store.acquire(PARTITION, "a", LEASE_S)
        assert row is not None
        assert (row.epoch, row.commit_number, row.positions) == (2, 1, positions)

    async def test_stale_owner_writes_nothing(self, store: ReadModel) -> None:
        old = await owner_of(store)
        writer = await owner_of(store)
        await writer.put(view("r1"), seen={"run-0": 1})
        stale = replace(writer.next, commit_number=0)
        for commit in (old.next, replace(old.next, commit_number=1), stale):
            full = replace(
                commit, upserts=[view("r2")], deletes=[view("r1").key], seen={"run-0": 9}
            )
            with pytest.raises(Fenced):
                await store.commit(full)
        assert ids_of(await store.page("run", "default")) == ["r1"]
        assert await store.seen() == {"run-0": 1}

    async def test_of_two_writers_exactly_one_wins(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        commits = [replace(writer.next, upserts=[view(f"r{i}")]) for i in range(6)]
        outcomes = await asyncio.gather(*map(store.commit, commits), return_exceptions=True)
        assert sum(isinstance(outcome, Fenced) for outcome in outcomes) == len(commits) - 1
        assert len(await store.page("run", "default")) == 1

    async def test_get_many_leaves_absent_ones_out(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(view("r1"), view("r2"), view("r3"))
        found = await store.get_many("run", "default", ["r3", "absent", "r1"])
        assert found == {"r1": view("r1"), "r3": view("r3")}
        assert await store.get_many("run", "default", []) == {}

    async def test_children_ascend(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        nodes = [replace(view(f"n{i}", i % 2, kind="node"), parent="r1") for i in range(4)]
        stray = replace(view("n9", kind="node"), parent="r2")
        await writer.put(*nodes, stray, view("orphan", kind="node"))
        assert ids_of(await store.children("node", "default", "r1")) == ["n0", "n2", "n1", "n3"]
        assert list(await store.children("node", "default", "")) == []
        assert list(await store.children("node", "other", "r1")) == []

    async def test_children_of_many_come_by_parent(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        nodes = [
            replace(view(f"{parent}/{i}", i % 2, kind="node"), parent=parent)
            for i in range(4)
            for parent in ("r1", "r2", "r3")
        ]
        await writer.put(*nodes, view("orphan", kind="node"))
        found = await store.children_of("node", "default", ["r3", "absent", "r1", "r3", ""])
        assert {parent: ids_of(rows) for parent, rows in found.items()} == {
            parent: [f"{parent}/{i}" for i in (0, 2, 1, 3)] for parent in ("r1", "r3")
        }
        assert await store.children_of("node", "default", []) == {}
        assert await store.children_of("node", "other", ["r1"]) == {}

    async def test_pages_go_newest_first_without_gap_or_repeat(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(*(view(f"r{i}", i // 2) for i in range(7)), view("x", tenant="other"))
        seen, before = list[str](), None
        while page := await store.page("run", "default", before=before, limit=3):
            seen += ids_of(page)
            before = page[-1].sort_key, page[-1].id
        assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]

    async def test_pages_filter_by_state_and_group(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        rows = [replace(view(f"r{i}", i), state="ab"[i % 2], group="xyz"[i % 3]) for i in range(12)]
        await writer.put(*rows, view("bare", 99))

        async def found(state: str | None = None, group: str | None = None) -> list[str]:
            return ids_of(await store.page("run", "default", state=state, group=group))

        assert await found(state="a") == ["r10", "r8", "r6", "r4", "r2", "r0"]
        assert await found(group="x") == ["r9", "r6", "r3", "r0"]
        assert await found(state="a", group="x") == ["r6", "r0"]
        assert await found(state="none") == []
        assert await found(state="") == []
        assert ids_of(await store.page("run", "default", state="a", before=(4, "r4"))) == [
            "r2",
            "r0",
        ]

    async def test_prefix_finds_ids(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(*(view(id_) for id_ in ("ab1", "ab2", "abc", "ac", "a%", "b")))
        assert ids_of(await store.find_prefix("run", "default", "ab", 10)) == ["ab1", "ab2", "abc"]
        assert ids_of(await store.find_prefix("run", "default", "ab", 2)) == ["ab1", "ab2"]
        assert ids_of(await store.find_prefix("run", "default", "a%", 10)) == ["a%"]
        assert len(await store.find_prefix("run", "default", "", 10)) == 6

    async def test_reset_drops_everything(self, store: ReadModel) -> None:
        writer = await owner_of(store)
        await writer.put(view("r1"), seen={"run-0": 3}, positions={"EVENTS": Witness(created_us=1)})
        row = await store.reset(PARTITION, writer.next.epoch)
        assert (row.epoch, row.commit_number, row.positions) == (writer.next.epoch, 2, {})
        assert list(await store.page("run", "default")) == []
        assert await store.seen() == {}
        await Writer(store, row).put(view("r2"))
        assert ids_of(await store.page("run", "default")) == ["r2"]

    async def test_reset_by_a_stale_owner_is_refused(self, store: ReadModel) -> None:
        old = await owner_of(store)
        writer = await owner_of(store)
        await writer.put(view("r1"))
        with pytest.raises(Fenced):
            await store.reset(PARTITION, old.next.epoch)
        assert ids_of(await store.page("run", "default")) == ["r1"]
