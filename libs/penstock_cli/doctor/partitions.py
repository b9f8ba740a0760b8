"""Judging partitions: who owns them, and whether store, EVENTS and read model agree."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from penstock_adapters.embedded.postgres_roles import AUDITOR
from penstock_adapters.postgres.inspection import Lease, StoreInspection
from penstock_cli.databases import APPROVAL, GATEWAY, SCHEDULER
from penstock_cli.doctor.bus import BusSight, read_markers
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_cli.doctor.reach import Reach
from penstock_cli.doctor.stores import StoreSight
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord, chain_hash, decode_state, genesis_hash
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.bus import PlacedMarker

PASSES_WITHIN_S: Final = 2.0  # another takes a free partition over within a second
PASSING: Final = (Code.PARTITION_UNOWNED, Code.RELAY_BEHIND, Code.READ_MODEL_BEHIND)
LET_GO_S: Final = 10 * 365 * 86_400.0
RELAY_LATE_S: Final = 30.0
READ_MODEL_LATE_S: Final = 60.0
BEHIND_EVENTS: Final = 1_000  # so far behind it is late, whatever the age
SERVICES: Final = {
    SCHEDULER: "scheduler", APPROVAL: "approval", GATEWAY: "webhook-gateway",
}  # fmt: skip


def judge_partitions(
    bus: BusSight, stores: StoreSight, reach: Reach, *, running: bool
) -> Iterator[Finding]:
    """Judge every partition; what may pass by itself is looked at a second time. Blocking.

    Args:
        bus: what was seen of it.
        stores: what was seen of them.
        reach: for reading again.
        running: whether services are at work here.
    """
    findings = list(_judged(bus, stores, reach, running=running))
    passing = {(one.code, one.where) for one in findings if one.code in PASSING}
    findings = [one for one in findings if one.code not in PASSING]
    if passing:
        time.sleep(PASSES_WITHIN_S)
        later_bus, later_stores = _look_again(bus, stores, reach)
        _leave_out_what_moves(later_bus, later_stores, bus, stores)
        again = _judged(later_bus, later_stores, reach, running=running)
        findings += [one for one in again if (one.code, one.where) in passing]
    yield from findings
    count = sum(map(len, stores.leases.values()))
    if count and not findings:
        yield well("partitions", f"{count}, all in order", reach.store_place)


def _judged(bus: BusSight, stores: StoreSight, reach: Reach, *, running: bool) -> Iterator[Finding]:
    for database, leases in stores.leases.items():
        for lease in leases:
            yield from _owner(database, lease, reach, running=running)
            if database != GATEWAY:
                yield from _published(database, lease, bus, stores, reach)
                yield from _shown(database, lease, stores, reach)


def _look_again(bus: BusSight, stores: StoreSight, reach: Reach) -> tuple[BusSight, StoreSight]:
    """Read leases, markers and the read model's place anew; what cannot be read is left out."""
    later_bus, later = BusSight(address=bus.address), StoreSight(now_us=stores.now_us)
    if bus.marked:
        with contextlib.suppress(PenstockFault, TimeoutError):
            later_bus.markers = asyncio.run(read_markers(reach))
            later_bus.marked = True
    for database in stores.leases:
        with contextlib.suppress(PenstockFault), _auditing(reach, database) as store:
            later.leases[database] = store.leases()
            if database == GATEWAY:
                later.seen = dict(store.seen())
    return later_bus, later


def _leave_out_what_moves(
    later_bus: BusSight, later: StoreSight, bus: BusSight, stores: StoreSight
) -> None:
    """Take for done what has moved since: it is behind, and works."""
    for leases in later.leases.values():
        for lease in leases:
            name = lease.partition
            if name in later_bus.markers and later_bus.markers[name] != bus.markers.get(name):
                del later_bus.markers[name]
                later_bus.moved.add(name)
            if later.seen is not None and later.seen.get(name) != (stores.seen or {}).get(name):
                later.seen = {**later.seen, name: lease.n}


def _auditing(reach: Reach, database: str) -> StoreInspection:
    return StoreInspection(reach.stores[database, AUDITOR])


def _place(reach: Reach, database: str, partition: str) -> str:
    return f"{reach.store_place}, database {database}, partition {partition}"


def _owner(database: str, lease: Lease, reach: Reach, *, running: bool) -> Iterator[Finding]:
    # A lease that was let go in an orderly way ends in 1970: with no stack at work, that is well.
    let_go = lease.left_s < -LET_GO_S
    if lease.left_s >= 0 or (let_go and not running):
        return
    service = SERVICES[database]
    ended = "was let go" if let_go else f"ended {-lease.left_s:.0f} s ago"
    detail = f"the lease of {lease.owner or 'nobody'} {ended}, and nobody took it"
    mend = f"start the {service} (`penstock status` shows it; {Relief.RESTART})"
    where = _place(reach, database, lease.partition)
    yield found(Code.PARTITION_UNOWNED, "partition", detail, where, mend)


def _published(
    database: str, lease: Lease, bus: BusSight, stores: StoreSight, reach: Reach
) -> Iterator[Finding]:
    """Compare the store with the last marker of its relay."""
    if not bus.marked or lease.partition in bus.moved:
        return
    where = _place(reach, database, lease.partition)
    placed = bus.markers.get(lease.partition)
    looks = _Looks(reach, database)
    text = looks.contradiction(lease, placed) if placed is not None else ""
    if text:
        mend = (
            "put the newer store back; if it is lost: `penstock down`, `penstock recover` (it "
            "settles every open `once` attempt as unknown), `penstock up --detach`"
        )
        yield found(Code.STORE_ROLLED_BACK, "store", f"CRITICAL: {text}", where, mend)
        return
    last = placed.marker.last if placed is not None else 0
    late_s = looks.age_s(lease.partition, last, stores.now_us) if lease.n > last else 0.0
    if late_s > RELAY_LATE_S:
        count = lease.n - last
        detail = f"{count} events are committed and not in EVENTS, the oldest for {late_s:.0f} s"
        service = SERVICES[database]
        mend = (
            f"`penstock status` shows whether the {service} runs; its log says `relay has to wait` "
            f"with the reason; {Relief.RESTART}"
        )
        yield found(Code.RELAY_BEHIND, "relay", detail, where, mend)


def _shown(database: str, lease: Lease, stores: StoreSight, reach: Reach) -> Iterator[Finding]:
    """Compare the store with what the read model has applied."""
    if stores.seen is None:
        return
    have = stores.seen.get(lease.partition, 0)
    behind = lease.n - have
    if behind <= 0:
        return
    late_s = _Looks(reach, database).age_s(lease.partition, have, stores.now_us)
    if late_s > READ_MODEL_LATE_S or behind > BEHIND_EVENTS:
        where = _place(reach, GATEWAY, lease.partition)
        detail = f"the read model lacks {behind} events, the oldest for {late_s:.0f} s"
        mend = f"see the gateway's log, then {Relief.RESTART}; it goes on from its position"
        yield found(Code.READ_MODEL_BEHIND, "read model", detail, where, mend)


class _Looks:
    """Single events read again, as the auditor of one database."""

    def __init__(self, reach: Reach, database: str) -> None:
        self._url = reach.stores.get((database, AUDITOR), "")

    def _ask(
        self, question: Callable[[StoreInspection], StoredRecord | None]
    ) -> StoredRecord | None:
        if not self._url:
            return None
        try:
            with StoreInspection(self._url) as store:
                return question(store)
        except PenstockFault:
            return None  # the look at the store tells of it

    def age_s(self, partition: str, behind: int, now_us: int) -> float:
        """Give how old event behind+1 of a partition is, in seconds; 0: it cannot be told."""
        record = self._ask(lambda store: store.event_behind(partition, behind))
        if record is None or not now_us:
            return 0.0
        try:
            meta, _, _ = decode_state(record.state)
        except MalformedMessage:
            return 0.0
        return (now_us - meta.time_us) / MICROSECONDS

    def contradiction(self, lease: Lease, placed: PlacedMarker) -> str:
        """Say how EVENTS is ahead of the store, or tells another history; "" if it does not."""
        last = placed.marker.last
        if last > self._now_at(lease):
            return f"EVENTS holds event {last}, and the store ends at {lease.n}"
        head = self._head_at(lease.partition, last)
        if head is not None and head.hex() != placed.marker.chain_head:
            return f"event {last} in EVENTS is not the store's"
        return ""

    def _now_at(self, lease: Lease) -> int:
        """Give the last event as of now: the row may have been read before the marker."""
        record = self._ask(lambda store: store.event_behind(lease.partition, lease.n))
        if record is None:
            return lease.n
        try:
            with StoreInspection(self._url) as store:
                return max(
                    (one.n for one in store.leases() if one.partition == lease.partition),
                    default=lease.n,
                )
        except PenstockFault:
            return record.n

    def _head_at(self, partition: str, n: int) -> bytes | None:
        """Give the hash after event n; None: it cannot be read now."""
        if n == 0:
            return genesis_hash(partition)
        record = self._ask(lambda store: store.event_behind(partition, n - 1))
        if record is None:
            return None
        try:
            previous = bytes.fromhex(decode_state(record.state)[1])
        except MalformedMessage:
            return None
        return chain_hash(previous, record.aggregate_id, record.version, record.topic, record.state)
