"""Judging partitions: who owns them, and whether store, EVENTS and read model agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from penstock_adapters.embedded.postgres_roles import AUDITOR
from penstock_adapters.postgres.inspection import Lease, StoreInspection
from penstock_cli.doctor.bus import BusSight
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_cli.doctor.machine import MICROSECONDS
from penstock_cli.doctor.reach import Reach
from penstock_cli.doctor.stores import GATEWAY, StoreSight
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord, chain_hash, decode_state, genesis_hash
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.bus import PlacedMarker

CHANGING_HANDS_S: Final = 2.0  # another takes a free partition over within a second
LET_GO_S: Final = 10 * 365 * 86_400.0
RELAY_LATE_S: Final = 30.0
READ_MODEL_LATE_S: Final = 60.0
BEHIND_EVENTS: Final = 1_000  # so far behind it is late, whatever the age
SERVICES: Final = {
    "penstock_scheduler": "scheduler", "penstock_approval": "approval", GATEWAY: "webhook-gateway",
}  # fmt: skip


def judge_partitions(
    bus: BusSight, stores: StoreSight, reach: Reach, *, running: bool
) -> Iterator[Finding]:
    """Judge every partition; reads single events again where something is suspected. Blocking.

    Args:
        bus: what was seen of it.
        stores: what was seen of them.
        reach: for reading again.
        running: whether services are at work here.
    """
    faults = 0
    for finding in _unowned(stores, reach, running=running):
        faults += 1
        yield finding
    rows = {lease.partition: lease.n for leases in stores.leases.values() for lease in leases}
    for database, leases in stores.leases.items():
        for lease in leases:
            for finding in _judge(database, lease, bus, stores, reach):
                faults += 1
                yield finding
    for finding in _read_model(stores, rows, reach):
        faults += 1
        yield finding
    if rows and not faults:
        yield well("partitions", f"{len(rows)}, all in order", reach.store_place)


def _unowned(stores: StoreSight, reach: Reach, *, running: bool) -> Iterator[Finding]:
    """Judge leases; one that is just changing hands is looked at again."""
    suspects = {
        (database, lease.partition)
        for database, leases in stores.leases.items()
        for lease in leases
        if lease.left_s < 0 and (running or not _let_go(lease))
    }
    if not suspects:
        return
    time.sleep(CHANGING_HANDS_S)
    for database in sorted({name for name, _ in suspects}):
        for lease in _leases(reach, database):
            if lease.left_s >= 0 or (database, lease.partition) not in suspects:
                continue
            service = SERVICES[database]
            ended = "was let go" if _let_go(lease) else f"ended {-lease.left_s:.0f} s ago"
            detail = f"the lease of {lease.owner or 'nobody'} {ended}, and nobody took it"
            mend = f"start the {service} (`penstock status` shows it; {Relief.RESTART})"
            where = _place(reach, database, lease.partition)
            yield found(Code.PARTITION_UNOWNED, "partition", detail, where, mend)


def _let_go(lease: Lease) -> bool:
    """Tell whether its owner left in an orderly way: then the lease ends in 1970."""
    return lease.left_s < -LET_GO_S


def _leases(reach: Reach, database: str) -> Sequence[Lease]:
    try:
        with StoreInspection(reach.stores[database, AUDITOR]) as store:
            return store.leases()
    except PenstockFault:
        return ()  # the look at the store tells of it


def _place(reach: Reach, database: str, partition: str) -> str:
    return f"{reach.store_place}, database {database}, partition {partition}"


def _judge(
    database: str, lease: Lease, bus: BusSight, stores: StoreSight, reach: Reach
) -> Iterator[Finding]:
    where = _place(reach, database, lease.partition)
    marker = bus.markers.get(lease.partition)
    if marker is None or database == GATEWAY:
        return
    looks = _Looks(reach, database)
    text = looks.contradiction(lease, marker)
    if text:
        mend = (
            "put the newer store back; if it is lost, stop the services and run `penstock "
            "recover` (it settles every open `once` attempt as unknown)"
        )
        yield found(Code.STORE_ROLLED_BACK, "store", f"CRITICAL: {text}", where, mend)
    elif lease.n > marker.marker.last:
        late_s = looks.age_s(lease.partition, marker.marker.last, stores.now_us)
        if late_s > RELAY_LATE_S:
            detail = (
                f"{lease.n - marker.marker.last} events are committed and not in EVENTS, "
                f"the oldest for {late_s:.0f} s"
            )
            service = SERVICES[database]
            mend = f"start the {service} and see its log: `relay has to wait` names the reason"
            yield found(Code.RELAY_BEHIND, "relay", detail, where, mend)


def _read_model(stores: StoreSight, rows: dict[str, int], reach: Reach) -> Iterator[Finding]:
    seen = stores.seen
    if seen is None:
        return
    for database, leases in stores.leases.items():
        for lease in leases if database != GATEWAY else ():
            have = seen.get(lease.partition, 0)
            if have >= rows[lease.partition]:
                continue
            late_s = _Looks(reach, database).age_s(lease.partition, have, stores.now_us)
            behind = lease.n - have
            if late_s > READ_MODEL_LATE_S or behind > BEHIND_EVENTS:
                where = f"{reach.store_place}, database {GATEWAY}, partition {lease.partition}"
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
