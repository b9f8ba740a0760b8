"""Who lives and who holds what: the leases of a store, as the instances that share it see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Lease(StrEnum):
    """How the lease of a partition stands, by the database's clock."""

    RUNS = "runs"
    ENDED = "ended"  # it was not prolonged in time; or a commit that prolongs it is under way
    FREE = "free"  # its owner let it go, or it never had one


@dataclass(frozen=True, slots=True)
class Holding:
    """One partition and its lease; `owner` is the last one, '' before the first."""

    partition: str
    owner: str
    epoch: int
    lease: Lease


@dataclass(frozen=True, slots=True)
class Roster:
    """One look at the store.

    Attributes:
        living: names of the instances that have attended lately, in order.
        holdings: every partition, in the order of its name.
    """

    living: Sequence[str] = ()
    holdings: Sequence[Holding] = ()


class RosterBook(Protocol):
    """How instances that share the partitions of one store know of each other."""

    async def declare(self, partitions: Sequence[str]) -> None:
        """Make sure that these partitions exist; new ones are free, and none is ever taken away.

        Raises:
            TransientFault: the store does not answer.
        """
        ...

    async def attend(self, instance: str, lease_s: float) -> Roster:
        """Say that `instance` lives for so long from now, and look at everything; 0: it leaves.

        Raises:
            TransientFault: the store does not answer.
        """
        ...
