"""A read model: rows folded from EVENTS, written by one owner, read by everybody.

Rows are documents with the few columns that lists need. What belongs together but grows (the
nodes of a run) is many small rows under one `parent`, so that an event rewrites little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from penstock_contracts.values import JsonObject
from penstock_runtime.ports.ledger import PartitionRow, Witness

CHILDREN_MAX = 10_000  # rows that one `children` or `get_many` call gives at most
PAGE_MAX = 1_000  # rows that one `page` or `find_prefix` call gives at most

ViewKey = tuple[str, str, str]
"""(kind, tenant, id)."""


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One document of the read model.

    Attributes:
        kind: what it is, such as `run`, `node`, `approval`, `token`.
        tenant: whose it is; what is looked up before a tenant is known (a token by its hash)
            belongs to the system tenant.
        id: unique within kind and tenant.
        parent: id of the row it is listed under; empty: none.
        sort_key: order of lists, usually microseconds since the epoch; ties go by id.
        state: for lists filtered by state. Leave it empty where no list is: every filled one
            costs an index entry with each change.
        group: for lists filtered by it, such as a run's workflow; the same holds.
    """

    kind: str
    tenant: str
    id: str
    parent: str = ""
    sort_key: int = 0
    state: str = ""
    group: str = ""
    body: JsonObject = field(default_factory=dict[str, JsonValue])

    @property
    def key(self) -> ViewKey:
        """Its primary key."""
        return self.kind, self.tenant, self.id


@dataclass(frozen=True, slots=True)
class ProjectionCommit:
    """What one transaction writes, if the row still has `epoch` and `commit_number`.

    Deletes come before upserts, and of two upserts of one key the later one counts.

    Attributes:
        positions: all positions of the projection after this commit.
        seen: event partition -> n of the last event applied; absent ones stay as they are.
        upserts: rows inserted or replaced whole.
        deletes: keys of rows to drop; absent ones are no fault.
    """

    partition: str
    epoch: int
    commit_number: int
    positions: Mapping[str, Witness] = field(default_factory=dict[str, Witness])
    seen: Mapping[str, int] = field(default_factory=dict[str, int])
    upserts: Sequence[ViewRow] = ()
    deletes: Sequence[ViewKey] = ()


class ProjectionStore(Protocol):
    """Writes: one row per projection, compared and set by every commit.

    After a commit with a lost reply `acquire` again and read `seen`: the new epoch shuts out the
    old attempt, and `seen` says whether it has landed.
    """

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the projection over with the next epoch, or None while another's lease runs.

        An owner of the same name is taken over at once. The row is created if absent; `n` and
        `chain_head` of it never move.

        Raises:
            TransientFault: the store does not answer.
        """
        ...

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours."""
        ...

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease so that another may take over at once; nothing if it is not ours."""
        ...

    async def seen(self) -> Mapping[str, int]:
        """Give, per event partition, n of the last event that the rows contain."""
        ...

    async def commit(self, commit: ProjectionCommit) -> None:
        """Write all of it or nothing, in one attempt.

        Raises:
            Fenced: the row has another epoch or commit number.
            TransientFault: it may or may not have landed.
        """
        ...

    async def reset(self, partition: str, epoch: int) -> PartitionRow:
        """Drop every row, `seen` and the positions, to build the read model anew.

        Returns:
            The row as it is then; its commit number is the one to go on from.

        Raises:
            Fenced: the row has another epoch.
            TransientFault: it may or may not have happened; doing it again is safe.
        """
        ...


class FollowedStore(ProjectionStore, Protocol):
    """A store whose rows others read while one owner writes them."""

    async def row(self, partition: str) -> PartitionRow:
        """Read the projection's row: the positions that the rows of the read model are at.

        Raises:
            Fenced: it was never owned.
            TransientFault: the store does not answer.
        """
        ...


class ViewReader(Protocol):
    """Reads of the rows, on any instance, owner or not."""

    async def get(self, kind: str, tenant: str, id: str) -> ViewRow | None:  # noqa: A002 - the column's name
        """Give one row."""
        ...

    async def get_many(self, kind: str, tenant: str, ids: Sequence[str]) -> Mapping[str, ViewRow]:
        """Give those of these rows that exist, by id (at most `CHILDREN_MAX` ids)."""
        ...

    async def children(self, kind: str, tenant: str, parent: str) -> Sequence[ViewRow]:
        """Give the rows under `parent`, ascending by (sort_key, id), at most `CHILDREN_MAX`."""
        ...

    async def children_of(
        self, kind: str, tenant: str, parents: Sequence[str]
    ) -> Mapping[str, Sequence[ViewRow]]:
        """Give, by parent, what `children` gives of each; parents without any are left out."""
        ...

    async def page(
        self,
        kind: str,
        tenant: str,
        *,
        state: str | None = None,
        group: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> Sequence[ViewRow]:
        """Give a page of rows, newest first: descending by (sort_key, id).

        Args:
            kind: which rows.
            tenant: whose.
            state: only rows in this state; none for ''.
            group: only rows of this group; none for ''.
            before: (sort_key, id) of the last row of the page before.
            limit: at most this many, and at most `PAGE_MAX`.
        """
        ...

    async def find_prefix(
        self, kind: str, tenant: str, prefix: str, limit: int
    ) -> Sequence[ViewRow]:
        """Give rows whose id starts with `prefix`, by id, at most `limit` (and `PAGE_MAX`)."""
        ...
