"""The event store of a world: readable at once, and restorable."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_contracts.records import StoredRecord
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.roster import Roster


class WorldLedger(MemoryLedger):
    """A `MemoryLedger` that a test can read without waiting, copy, and put back."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        super().__init__(clock)
        self._clock = clock
        self._silent: set[str] = set()

    def all_of(self, partition: str) -> Sequence[StoredRecord]:
        """Give all events of a partition in order."""
        return tuple(self._events.get(partition, ()))

    def with_events(self) -> Sequence[str]:
        """Name the partitions that have an event, in order."""
        return sorted(name for name, events in self._events.items() if events)

    def epoch_of(self, partition: str) -> int:
        """Give the number of a partition's last epoch."""
        return self._partitions.row(partition).epoch

    def freeze_leases(self, owner: str) -> None:
        """Take nothing back that `owner` gives back: it dies without a word."""
        self._silent.add(owner)

    async def release(self, partition: str, epoch: int) -> None:
        """End the lease, unless its owner is not to be heard."""
        if self._partitions.row(partition).owner not in self._silent:
            await super().release(partition, epoch)

    async def attend(self, instance: str, lease_s: float) -> Roster:
        """Say that an instance lives; one that is not to be heard does not say that it leaves."""
        if instance in self._silent:
            return Roster()
        return await super().attend(instance, lease_s)

    def keep_copy(self) -> WorldLedger:
        """Give a copy of everything but the clock."""
        kept = WorldLedger(self._clock)
        kept.put_back(self)
        return kept

    def put_back(self, other: WorldLedger) -> None:
        """Become what `other` is: leases, rows, events and index."""
        memo = {id(self._clock): self._clock}
        for name, value in vars(other).items():
            setattr(self, name, copy.deepcopy(value, memo))
