"""The rows of partitions in memory: epochs, commit numbers and leases."""

from collections.abc import Sequence
from dataclasses import replace

from penstock_contracts.records import genesis_hash
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.ports.roster import Holding, Lease, Roster

_LET_GO_US = 0  # the end of a lease that was let go, as against one that has run out


class MemoryPartitions:
    """Rows by partition, with the rules that the database's statements enforce.

    Args:
        clock: decides when a lease ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, PartitionRow] = {}
        self._lease_ends_us: dict[str, int] = {}
        self._lease_s: dict[str, float] = {}  # as last asked for
        self._lives_until_us: dict[str, int] = {}

    def acquire(self, partition: str, owner: str, lease_s: float) -> PartitionRow | None:
        """Give the row with the next epoch, or None while another's lease runs."""
        row = self._rows.get(partition)
        if row is None:
            row = PartitionRow(partition, owner, 0, 0, 0, genesis_hash(partition), {})
        elif row.owner != owner and self._lease_ends_us[partition] > self._clock.now_us():
            return None
        row = replace(row, owner=owner, epoch=row.epoch + 1)
        self._rows[partition] = row
        self._lease_ends_us[partition] = self._lease_end(lease_s)
        self._lease_s[partition] = lease_s
        return row

    def renew(self, partition: str, epoch: int, lease_s: float) -> bool:
        """Prolong the lease of `epoch`; False: it is another's."""
        if not self._is(partition, epoch):
            return False
        self._lease_ends_us[partition] = self._lease_end(lease_s)
        self._lease_s[partition] = lease_s
        return True

    def prolong(self, partition: str) -> None:
        """Note that the owner lives, as its commit shows; what was let go stays so."""
        ends_us = self._lease_ends_us[partition]
        if ends_us != _LET_GO_US:
            least_us = self._lease_end(self._lease_s[partition])
            self._lease_ends_us[partition] = max(ends_us, least_us)

    def release(self, partition: str, epoch: int) -> None:
        """End the lease of `epoch`."""
        if self._is(partition, epoch):
            self._lease_ends_us[partition] = _LET_GO_US

    def declare(self, partitions: Sequence[str]) -> None:
        """Add the rows that are absent."""
        for name in partitions:
            if name not in self._rows:
                self._rows[name] = PartitionRow(name, "", 0, 0, 0, genesis_hash(name), {})
                self._lease_ends_us[name] = _LET_GO_US

    def attend(self, instance: str, lease_s: float) -> Roster:
        """Say that an instance lives, and look at everything."""
        self._lives_until_us[instance] = self._lease_end(lease_s)
        now_us = self._clock.now_us()
        living = [name for name, until_us in self._lives_until_us.items() if until_us > now_us]
        return Roster(sorted(living), [self._holding(row) for _, row in sorted(self._rows.items())])

    def _holding(self, row: PartitionRow) -> Holding:
        ends_us = self._lease_ends_us[row.partition]
        lease = Lease.RUNS if ends_us > self._clock.now_us() else Lease.ENDED
        if ends_us == _LET_GO_US:
            lease = Lease.FREE
        return Holding(row.partition, row.owner, row.epoch, lease)

    def names(self) -> Sequence[str]:
        """Name every partition, in order."""
        return sorted(self._rows)

    def row(self, partition: str) -> PartitionRow:
        """Give the row.

        Raises:
            Fenced: there is none.
        """
        row = self._rows.get(partition)
        if row is None:
            raise Fenced(f"partition {partition} has no row")
        return row

    def expect(
        self, partition: str, epoch: int, commit_number: int | None = None, n: int | None = None
    ) -> PartitionRow:
        """Give the row if it has this epoch and, if named, this commit number and last n.

        Raises:
            Fenced: it has not.
        """
        row = self.row(partition)
        moved = commit_number not in (None, row.commit_number) or n not in (None, row.n)
        if row.epoch != epoch or moved:
            raise Fenced(f"partition {partition} has another epoch or commit number")
        return row

    def put(self, row: PartitionRow) -> None:
        """Replace the row."""
        self._rows[row.partition] = row

    def _is(self, partition: str, epoch: int) -> bool:
        row = self._rows.get(partition)
        return row is not None and row.epoch == epoch

    def _lease_end(self, lease_s: float) -> int:
        return self._clock.now_us() + int(lease_s * MICROSECONDS)
