"""The stores of a simulated world: they can be away, and be put back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.memory.projection import MemoryProjection
from penstock_contracts.records import StoredRecord
from penstock_contracts.values import JsonObject
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.projection import ViewKey
from penstock_testkit.virtual_time import VirtualClock

_OPERATIONS = frozenset(
    {
        "acquire", "renew", "release", "partitions", "row", "commit", "load", "after",
        "of_topics", "due", "next_due", "open_after", "seen", "reset", "get", "get_many",
        "children", "children_of", "page", "find_prefix",
    }
)  # fmt: skip


class _Away:
    """Answers nothing while it is away.

    Attributes:
        up: whether it answers.
    """

    up = True

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - any operation of a store
        if name in _OPERATIONS:
            self.expect_up()
        return super().__getattribute__(name)

    def expect_up(self) -> None:
        """Raise unless it answers.

        Raises:
            TransientFault: it is away.
        """
        if not self.up:
            raise TransientFault("the store does not answer")


class SimLedger(_Away, MemoryLedger):
    """An event store that can be away and be put back to what it was."""

    def __init__(self, clock: VirtualClock) -> None:
        """Begin empty."""
        super().__init__(clock)
        self._clock = clock

    def records(self) -> Mapping[str, Sequence[StoredRecord]]:
        """Give all events by partition, in order."""
        return {partition: tuple(events) for partition, events in self._events.items()}

    def count(self, partition: str) -> int:
        """Count the events of a partition."""
        return len(self._events.get(partition, ()))

    def since(self, partition: str, n: int) -> Sequence[StoredRecord]:
        """Give the events behind number n."""
        return self._events.get(partition, [])[n:]

    def known(self) -> Sequence[str]:
        """Name all partitions that have events."""
        return sorted(self._events)

    def open_index(self) -> Mapping[str, Mapping[str, int]]:
        """Give the index of open aggregates by partition."""
        return {partition: dict(entries) for partition, entries in self._open.items()}

    def keep_copy(self) -> SimLedger:
        """Give a copy of everything but the clock."""
        kept = SimLedger(self._clock)
        kept.put_back(self)
        return kept

    def put_back(self, other: SimLedger) -> None:
        """Become what `other` is."""
        memo = {id(self._clock): self._clock}
        for name, value in vars(other).items():
            if name != "up":
                setattr(self, name, copy.deepcopy(value, memo))


class SimProjection(_Away, MemoryProjection):
    """A read model that can be away."""

    def bodies(self) -> Mapping[ViewKey, JsonObject]:
        """Give all rows."""
        return {key: row.body for key, row in self._rows.items()}

    def seen_now(self) -> Mapping[str, int]:
        """Give what has been applied of each partition."""
        return dict(self._seen)
