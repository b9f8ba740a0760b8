"""The event store of a world: readable at once, and restorable."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_contracts.records import StoredRecord
from penstock_runtime.ports.clock import Clock


class WorldLedger(MemoryLedger):
    """A `MemoryLedger` that a test can read without waiting, copy, and put back."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        super().__init__(clock)
        self._clock = clock

    def all_of(self, partition: str) -> Sequence[StoredRecord]:
        """Give all events of a partition in order."""
        return tuple(self._events.get(partition, ()))

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
