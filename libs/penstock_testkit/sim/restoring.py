"""The store put back to an earlier state, and what an operator then does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_contracts.records import StoredRecord
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    Stream,
    run_partition,
)
from penstock_runtime.recovering import recover, survey
from penstock_runtime.recovering_place import EVENTS_SOURCE, Place, Store
from penstock_testkit.checking.history import Violation
from penstock_testkit.sim.shelves import SimVault
from penstock_testkit.sim.stores import SimLedger
from penstock_testkit.sim.world import SimWorld

AWAY_S = 60.0  # while a server is put back; leases run out meanwhile
NOTICED_S = 180.0  # who begins reads the last marker


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies of the event stores, and of what lies beside them, as they were at one moment."""

    ledger: SimLedger
    approvals: SimLedger
    vault: SimVault
    taken_us: int

    def put_back(self, world: SimWorld) -> None:
        """Make the stores what they were."""
        world.ledger.put_back(self.ledger)
        world.approvals.put_back(self.approvals)
        world.vault.put_back(self.vault)


@dataclass(frozen=True, slots=True)
class Lost:
    """The time whose commits are forgotten.

    Attributes:
        forgotten: all that the stores held at its end.
    """

    from_us: int
    to_us: int
    forgotten: Mapping[str, Sequence[StoredRecord]]

    def holds(self, at_us: int) -> bool:
        """Tell whether a moment lies within."""
        return self.from_us <= at_us <= self.to_us


def back_up(world: SimWorld) -> Backup:
    """Keep the stores as they are."""
    return Backup(
        world.ledger.keep_copy(), world.approvals.keep_copy(), world.vault.keep_copy(),
        world.clock.now_us(),
    )  # fmt: skip


async def put_back_at_work(world: SimWorld, backup: Backup) -> Sequence[Violation] | None:
    """Put the stores back under services that know nothing of it, and wait for them to notice.

    Only while the markers in EVENTS tell of what is about to be forgotten: who acts upon what is
    not relayed yet is not to be held to it.

    Returns:
        What was done as if nothing were forgotten, or was not noticed; None if it was not done.
    """
    forgotten = {
        partition: copy.count(partition)
        for store, copy in ((world.ledger, backup.ledger), (world.approvals, backup.approvals))
        for partition in store.known()
        if store.count(partition) > copy.count(partition)
    }
    if not forgotten or not await _told(world, forgotten):
        return None
    world.heal()
    backup.put_back(world)
    stores, alerts = (world.ledger, world.approvals), len(world.alerts)
    for store in stores:
        store.up = False
    await world.clock.sleep(AWAY_S)
    for store in stores:
        store.up = True
    await world.clock.sleep(NOTICED_S)
    found = [
        Violation("store put back", partition, f"goes on from event {count} as if it were the last")
        for partition, count in forgotten.items()
        for store in stores
        if store.count(partition) > count
    ]
    if len(world.alerts) == alerts:
        found.append(Violation("store put back", ", ".join(forgotten), "nobody was told"))
    return found


async def _told(world: SimWorld, partitions: Iterable[str]) -> bool:
    """Tell whether the last markers say of all that is stored; nothing happens meanwhile."""
    if not (world.bus.up and world.bus.exists(Stream.EVENTS)):
        return False
    told = MemoryRelayLog(world.bus)
    for partition in partitions:
        placed = await told.last_marker(partition)
        counts = (store.count(partition) for store in (world.ledger, world.approvals))
        if placed is None or placed.marker.last != sum(counts):
            return False
    return True


async def restore(
    world: SimWorld, backup: Backup, forgotten: Mapping[str, Sequence[StoredRecord]]
) -> Lost:
    """Stop all services, put the stores back, recover, and start again."""
    await world.stop()
    world.calm()
    backup.put_back(world)
    world.bus.ensure_streams(Stream)
    place = _place(world)
    await recover(place, await survey(place), "ann", "the disk was lost")
    lost = Lost(backup.taken_us, world.clock.now_us(), forgotten)
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
