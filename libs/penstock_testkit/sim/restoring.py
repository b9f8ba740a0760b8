"""The store put back to an earlier state, and what an operator then does."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    Stream,
    run_partition,
)
from penstock_runtime.recovering import EVENTS_SOURCE, Place, Store, recover, survey
from penstock_testkit.sim.stores import SimLedger
from penstock_testkit.sim.world import SimWorld


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies of the event stores as they were at one moment."""

    ledger: SimLedger
    approvals: SimLedger
    taken_us: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The time whose commits are forgotten."""

    from_us: int
    to_us: int

    def holds(self, at_us: int) -> bool:
        """Tell whether a moment lies within."""
        return self.from_us <= at_us <= self.to_us


def back_up(world: SimWorld) -> Backup:
    """Keep the stores as they are."""
    return Backup(world.ledger.keep_copy(), world.approvals.keep_copy(), world.clock.now_us())


async def restore(world: SimWorld, backup: Backup) -> Lost:
    """Stop all services, put the stores back, recover, and start again."""
    await world.stop()
    world.calm()
    world.ledger.put_back(backup.ledger)
    world.approvals.put_back(backup.approvals)
    world.bus.ensure_streams(Stream)
    place = _place(world)
    await recover(place, await survey(place), "ann", "the disk was lost")
    lost = Lost(backup.taken_us, world.clock.now_us())
    world.resume()
    return lost


def _place(world: SimWorld) -> Place:
    partitions = map(run_partition, range(world.partitions))
    founding = (CATALOG_PARTITION, *partitions)
    return Place(
        stores=(
            Store("scheduler", world.ledger, world.ledger, world.ledger, founding),
            Store(
                "approval", world.approvals, world.approvals, world.approvals,
                (APPROVAL_PARTITION,),
            ),
        ),
        events=lambda: MemoryInbox(world.bus, (EVENTS_SOURCE,)),
        read_models=(world.views,),
        clock=world.clock,
        metrics=world.metrics,
    )  # fmt: skip
