"""The event store as an owner of a partition sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock_contracts.records import NewRecord, StoredRecord


@dataclass(frozen=True, slots=True)
class Witness:
    """A position in a stream that can be checked against the stream itself.

    Attributes:
        created_us: creation time of the stream's incarnation, microseconds since the epoch.
        sequence: of the last message whose outcome is committed; 0 before the first.
        time_us: server time of that message; None at sequence 0.
    """

    created_us: int
    sequence: int = 0
    time_us: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition's row.

    Attributes:
        epoch: raised by each takeover.
        commit_number: raised by each commit, events or not.
        n: place of the last event; 0 before the first.
        chain_head: hash after event n (32 bytes).
        positions: stream name -> witness.
    """

    partition: str
    owner: str
    epoch: int
    commit_number: int
    n: int
    chain_head: bytes
    positions: Mapping[str, Witness]


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction writes, if the row still has `epoch` and `commit_number`.

    Attributes:
        chain_head: after the last of `events`.
        opened: aggregate -> lower bound of its next due time (microseconds), inserted or replaced.
        closed: aggregates that wait for nothing any more.
    """

    partition: str
    epoch: int
    commit_number: int
    n: int
    chain_head: bytes
    events: Sequence[NewRecord] = ()
    positions: Mapping[str, Witness] = field(default_factory=dict[str, Witness])
    opened: Mapping[str, int] = field(default_factory=dict[str, int])
    closed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """An aggregate that waits for something; `due_us` is a lower bound."""

    aggregate_id: str
    due_us: int


class Ledger(Protocol):
    """Writes: one row a partition, compared and set by every commit."""

    async def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Take the partition over with the next epoch, or None while another's lease runs.

        An owner of the same name is taken over at once: it is this instance's earlier life.
        The row is created (n 0, genesis hash) if absent. The database's clock decides. While a
        commit is under way the partition is nobody else's to take, even if its lease has ended;
        that is waited for, and an owner whose commit came meanwhile lives.

        Raises:
            TransientFault: the store does not answer.
        """
        ...

    async def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease; False: the epoch is no longer ours.

        A commit under way is not waited for: it prolongs the lease itself.
        """
        ...

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease so that another may take over at once; nothing if it is not ours."""
        ...

    async def partitions(self) -> Sequence[str]:
        """Name every partition that was ever owned: how many there are lives in the store."""
        ...

    async def row(self, partition: str) -> PartitionRow:
        """Read the row, to learn whether a commit with a lost reply has landed."""
        ...

    async def commit(self, commit: Commit) -> Sequence[int]:
        """Write all of it or nothing, in one attempt.

        `n` of event i is `commit.n - len(events) + 1 + i`. The lease is prolonged by as much as
        `acquire` or `renew` last asked for, unless it was let go; others see it with the commit.

        Returns:
            The store positions of the events, in their order.

        Raises:
            Fenced: the row has another epoch or commit number.
            VersionConflict: one of the events exists already.
            TransientFault: it may or may not have landed.
        """
        ...


class EventReader(Protocol):
    """Reads of the event table."""

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        """Give all events of these aggregates in version order; absent ones are left out."""
        ...

    async def after(self, partition: str, n: int, limit: int) -> Sequence[StoredRecord]:
        """Give the partition's events n+1 .. n+limit in order."""
        ...

    async def of_topics(
        self, partition: str, topics: Sequence[str], after_n: int, limit: int
    ) -> Sequence[StoredRecord]:
        """Give the partition's events of these topics beyond `after_n`, in order."""
        ...


class DueIndex(Protocol):
    """The index of open aggregates."""

    async def due(self, partition: str, now_us: int, limit: int) -> Sequence[OpenEntry]:
        """Give entries with `due_us` <= `now_us`, earliest first."""
        ...

    async def next_due(self, partition: str) -> int | None:
        """Give the earliest `due_us` of the partition."""
        ...

    async def open_after(self, partition: str, after_id: str, limit: int) -> Sequence[OpenEntry]:
        """Page through all entries in order of aggregate id, for a sweep ('' starts)."""
        ...
