"""The event store on a primary with a standby: the primary lost, the standby promoted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from penstock_adapters.embedded.ports import LOOPBACK
from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_adapters.postgres.datastore import Datastore, StoreLimits
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.postgres.probe import probe
from penstock_adapters.postgres.server_in_use import ServerAddress, ServerInUse
from penstock_contracts.ids import derive
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.ports.roster import Holding, Lease
from penstock_testkit.conformance.ledger import LEASE_S, aggregate, commit_of
from penstock_testkit.servers import DatabaseUrls
from penstock_testkit.standby import RealPair

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

T = TypeVar("T")

PARTITION = "run-0"
WITHIN_S = 60.0
RETRY_S = 0.05
QUICK = StoreLimits(connect_s=2, lock_s=2, statement_s=2, call_s=3, slot_s=3)
ROLES = ("penstock_scheduler_service", "auditor")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[RealPair]:
    with RealPair.started(tmp_path / "pair") as started:
        yield started


@pytest.fixture
def urls(pair: RealPair) -> DatabaseUrls:
    found = pair.fresh_database()
    migrate(found.owner, *ROLES, Schema.LEDGER)
    return found


@dataclass
class Writer:
    """Commits one event after the other, and after a fault looks what became of it."""

    store: PostgresLedger
    row: PartitionRow
    known: int = 0
    faults: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def begin(cls, store: PostgresLedger) -> Writer:
        row = await store.acquire(PARTITION, "writer", LEASE_S)
        assert row is not None
        return cls(store, row)

    async def once(self) -> None:
        """Make a commit; it counts once it is known to stand."""
        try:
            await self.store.commit(commit_of(self.row, (aggregate("a"), self.known + 1)))
        except TransientFault as fault:
            self.faults.append(str(fault))
        self.row = await settled(self.store, self.faults)
        assert self.row.n >= self.known, "what was known to stand is gone"
        self.known = self.row.n

    async def run(self) -> None:
        """Commit until told to stop."""
        while not self.stop.is_set():
            await self.once()

    async def reached(self, known: int) -> None:
        """Wait until so many are known to stand."""
        deadline = time.monotonic() + WITHIN_S
        while self.known < known:
            assert time.monotonic() < deadline, self.faults[-3:]
            await asyncio.sleep(RETRY_S)


async def settled(store: PostgresLedger, faults: list[str]) -> PartitionRow:
    """Read the row as soon as the store says what became of the last commit."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return await store.row(PARTITION)
        except TransientFault as fault:
            faults.append(str(fault))
            assert time.monotonic() < deadline
            await asyncio.sleep(RETRY_S)


async def answered(call: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return await call()
        except TransientFault:
            assert time.monotonic() < deadline
            await asyncio.sleep(RETRY_S)


def port_of(store: Datastore) -> int:
    """Tell which server a connection leads to, made anew if need be."""
    with store.get_connection() as connection:
        connection.execute("SELECT")
        return connection.info.port


def assert_whole(url: str, events: int) -> None:
    with PostgresAuditor(url) as auditor:
        report = auditor.verify(PARTITION)
    assert report.fault is None
    assert report.events == events


async def test_what_was_committed_is_on_the_promoted_standby(
    pair: RealPair, urls: DatabaseUrls
) -> None:
    async with PostgresLedger(urls.service, limits=QUICK) as store:
        writer = await Writer.begin(store)
        work = asyncio.create_task(writer.run())
        await writer.reached(20)
        await asyncio.to_thread(pair.first.kill)
        at_death = writer.known
        await asyncio.to_thread(pair.second.promote)
        await writer.reached(at_death + 20)
        # The one that was lost comes back as the standby of the other, and that one is lost.
        await asyncio.to_thread(pair.first.become_copy_of, pair.second)
        await asyncio.to_thread(pair.second.wait_for_standby, synchronous=True)
        await writer.reached(writer.known + 20)
        await asyncio.to_thread(pair.second.kill)
        at_death = writer.known
        await asyncio.to_thread(pair.first.promote)
        await writer.reached(at_death + 20)
        writer.stop.set()
        await work
        assert writer.faults
        assert_whole(urls.auditor, writer.known)


async def test_a_standby_is_refused_by_who_writes_and_read_by_who_reads(
    pair: RealPair, urls: DatabaseUrls
) -> None:
    standby = urls.service.replace(f"{pair.first.place},", "")
    with pytest.raises(TransientFault, match="takes writes: promote the standby"):
        async with PostgresLedger(standby):
            pass
    with pytest.raises(TransientFault, match="takes writes"):
        await asyncio.to_thread(migrate, urls.owner.replace(f"{pair.first.place},", ""), *ROLES)
    probe(standby)
    probe(f"{urls.service}?target_session_attrs=read-write")
    # So does an operator stop all writing before a server is taken away.
    pair.first.database.run(
        "ALTER SYSTEM SET default_transaction_read_only = on;\nSELECT pg_reload_conf();\n"
    )
    with pytest.raises(TransientFault, match="takes writes"):
        async with PostgresLedger(urls.service):
            pass


async def test_a_primary_that_wakes_after_the_promotion_is_neither_read_nor_written(
    pair: RealPair, urls: DatabaseUrls
) -> None:
    alone = urls.service.replace(f",{pair.second.place}", "")
    async with (
        PostgresLedger(urls.service, limits=QUICK) as store,
        PostgresLedger(alone, limits=QUICK) as left_behind,
    ):
        writer = await Writer.begin(store)
        await writer.once()
        await store.load([aggregate("a")])  # the readers, too, are connected to the first one
        stale = await left_behind.row(PARTITION)
        pair.first.freeze()
        try:
            await asyncio.to_thread(pair.second.promote)
            while writer.known < 10:
                await writer.once()
        finally:
            pair.first.thaw()
        for _ in range(4):
            (found,) = (await store.load([aggregate("a")])).values()
            assert len(found) == writer.known
        # It takes no commit, as no standby says that it has it.
        with pytest.raises((TransientFault, Fenced)):
            await left_behind.commit(commit_of(stale, (derive("conformance", "lost"), 1)))
        assert writer.row == await store.row(PARTITION)
        assert_whole(urls.auditor.replace(f"{pair.first.place},", ""), writer.known)


async def test_leases_are_kept_on_the_server_that_was_promoted(
    pair: RealPair, urls: DatabaseUrls
) -> None:
    promoted = urls.service.replace(f"{pair.first.place},", "")
    async with PostgresLedger(urls.service, limits=QUICK) as store:
        writer = await Writer.begin(store)
        assert await store.renew(PARTITION, writer.row.epoch, LEASE_S)
        assert (await store.attend("writer", LEASE_S)).living == ["writer"]
        pair.first.freeze()
        try:
            await asyncio.to_thread(pair.second.promote)
            while writer.known < 1:
                await writer.once()
        finally:
            pair.first.thaw()
        # The first one, which wakes as a primary, would say the same of its own rows for ever.
        roster = await answered(lambda: store.attend("writer", LEASE_S))
        assert roster.holdings == [Holding(PARTITION, "writer", writer.row.epoch, Lease.RUNS)]
        async with PostgresLedger(promoted, limits=QUICK) as other:
            assert (await other.attend("other", LEASE_S)).living == ["other", "writer"]
            await store.release(PARTITION, writer.row.epoch)
            taken = await other.acquire(PARTITION, "other", LEASE_S)
            assert taken is not None
        assert not await answered(lambda: store.renew(PARTITION, writer.row.epoch, LEASE_S))
        roster = await store.attend("writer", LEASE_S)
        assert roster.holdings == [Holding(PARTITION, "other", taken.epoch, Lease.RUNS)]


@pytest.mark.parametrize("numbered", [False, True], ids=["looked-up", "numbered"])
async def test_the_server_in_use_is_asked_for_by_its_name(
    pair: RealPair, urls: DatabaseUrls, *, numbered: bool
) -> None:
    """Its certificate bears the name, and the name may come to mean another address."""
    names = ("first.invalid", "second.invalid") if numbered else ("localhost", "localhost")
    url = urls.service
    for server, name in zip((pair.first, pair.second), names, strict=True):
        url = url.replace(server.place, f"{name}:{server.place.rpartition(':')[2]}")
    if numbered:
        url += f"?hostaddr={LOOPBACK},{LOOPBACK}"
    server = ServerInUse(url)
    hostaddr = LOOPBACK if numbered else ""
    with Datastore(url, limits=QUICK, server=server) as store:
        first = await asyncio.to_thread(port_of, store)
        assert server.address == ServerAddress(names[0], hostaddr, first)
        pair.first.freeze()
        try:
            await asyncio.to_thread(pair.second.promote)
            server.distrust()
            second = await asyncio.to_thread(port_of, store)
        finally:
            pair.first.thaw()
        assert server.address == ServerAddress(names[1], hostaddr, second)
        assert second != first
        # The URL leads to the first one again, and the address from there to the second one.
        server.distrust()
        assert await asyncio.to_thread(port_of, store) == second
        assert server.address == ServerAddress(names[1], hostaddr, second)


@pytest.mark.long
async def test_without_its_standby_the_primary_acknowledges_nothing(
    pair: RealPair, urls: DatabaseUrls
) -> None:
    async with PostgresLedger(urls.service, limits=QUICK) as store:
        writer = await Writer.begin(store)
        await writer.once()
        await asyncio.to_thread(pair.second.kill)
        assert await store.renew(PARTITION, writer.row.epoch, LEASE_S), "a lease waits for nobody"
        with pytest.raises(TransientFault):
            await store.commit(commit_of(writer.row, (aggregate("a"), 2)))
        with pytest.raises(TransientFault):  # neither does anyone take its outcome for certain
            await store.row(PARTITION)
        await asyncio.to_thread(pair.second.start)
        writer.row = await settled(store, writer.faults)
        writer.known = writer.row.n
        assert writer.known == 2
        while writer.known < 4:
            await writer.once()
        assert_whole(urls.auditor, writer.known)
