"""Keeps partitions owned: takes a lease, runs an owner, begins again after every fault."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from penstock_contracts.values import MICROSECONDS
from penstock_runtime.cancelling import apart
from penstock_runtime.domain import Domain
from penstock_runtime.faults import Fenced, StoreRolledBack, TransientFault
from penstock_runtime.owner import NewIncarnation, Owner, Parts
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.takeover import Takeover
from penstock_runtime.telemetry.metrics import (
    EPOCH,
    EPOCHS_ENDED,
    FENCED,
    INBOX_LAG,
    INBOX_OLDEST,
    OWNED,
    RELAY_OLDEST,
)

log = logging.getLogger(__name__)

# A dead owner's lease ends so long after its last breath, and is seen to have ended by two looks
# `LOOK_S` apart (`sharing`): at most 4 s until another begins. A living one may miss three renewals
# in a row, be it for its own load or for the database's, before anybody so much as looks.
LEASE_S = 2.5
RENEW_S = 0.5
RENEWAL_PATIENCE_S = 10.0  # of an owner whom the store does not answer, with none to succeed it
OTHERS_LEASE_S = 0.5  # pause between two tries to take over a partition that another holds
PREPARE_S = 5.0  # for the streams to be there; what was made by then stays, and others may try
OPEN_S = 10.0  # for an epoch to open; twice as long after each try that took longer ...
OPEN_CAP_S = 640.0  # ... since the catalog of a large store takes its time wherever it is read
LEAVE_S = 2.0  # to give the lease back; else it runs out by itself
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 1.0  # a server that has come back is found at once
Prepare = Callable[[], Awaitable[None]]


class PartitionHost:
    """Owns one partition whenever it may and nobody else holds it, for as long as it runs.

    By itself it always may; whoever shares partitions out (`sharing`) says when.

    Attributes:
        owner: the present epoch's, once it is open.
        epoch: number of the epoch that the store has granted and that has not ended here; 0: none.
        fault: why the partition is not owned here.
        elsewhere: who holds it instead, if somebody does.
        failures: epochs in a row, since it was admitted, that a fault has ended before they were
            open.
    """

    def __init__(
        self,
        partition: str,
        instance: str,
        domain: Domain[Any],
        parts: Callable[[], Parts],
        prepare: Prepare,
    ) -> None:
        """Serve `partition` as `instance`; `prepare` makes sure that the streams exist.

        `parts` gives fresh adapters for each epoch, since an inbox belongs to one attachment.
        """
        self._partition = partition
        self._instance = instance
        self._domain = domain
        self._parts = parts
        self._prepare = prepare
        self._admitted = asyncio.Event()
        self._admitted.set()
        self._dismissed = asyncio.Event()
        self._open_s = OPEN_S
        self.owner: Owner | None = None
        self.epoch = 0
        self.fault = "not started"
        self.elsewhere = ""
        self.failures = 0

    @property
    def partition(self) -> str:
        """Name of the partition."""
        return self._partition

    @property
    def ready(self) -> bool:
        """Whether the partition is owned here and its inbox was consumed to the end once."""
        return self.owner is not None and self.owner.caught_up.is_set()

    @property
    def admitted(self) -> bool:
        """Whether it may own the partition."""
        return self._admitted.is_set()

    def admit(self) -> None:
        """Let it own the partition."""
        if not self.admitted:
            self.failures = 0
        self._dismissed.clear()
        self._admitted.set()

    def stand_back(self) -> None:
        """Let it begin no other epoch; the present one, which is over, ends where it finds out."""
        self._admitted.clear()

    def dismiss(self) -> None:
        """Have it let the partition go, and leave it to others until it is admitted."""
        self._admitted.clear()
        self._dismissed.set()

    async def run(self) -> None:
        """Own, lose, own again, until cancelled.

        Raises:
            StoreRolledBack: an operator has to decide; nothing runs before that.
        """
        wait_s = RETRY_FIRST_S
        while True:
            await self._admitted.wait()
            parts = self._parts()
            try:
                wait_s = RETRY_FIRST_S if await apart(self._epoch(parts)) else OTHERS_LEASE_S
            except* (TransientFault, Fenced, NewIncarnation) as faults:
                first = _first(faults)
                self.fault = f"{type(first).__name__}: {first}"
                parts.metrics.add(EPOCHS_ENDED, self._partition, type(first).__name__)
                log.warning(
                    "an epoch has ended",
                    extra={"partition": self._partition, "reason": self.fault},
                )
                if not self.failures:  # it was open: this is the first try after it
                    wait_s = RETRY_FIRST_S
            except* StoreRolledBack as faults:
                self.fault = str(_first(faults))
                log.critical(self.fault, extra={"partition": self._partition})
                raise
            if self.admitted:
                await parts.clock.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _epoch(self, parts: Parts) -> bool:
        """Serve one epoch to its end; False: another instance holds the partition."""
        self.failures += 1  # until it is open
        async with _within(PREPARE_S, f"{self._partition}: the streams are not ready"):
            await self._prepare()
        if not self.admitted:  # dismissed meanwhile
            self.failures -= 1
            return True
        row = await parts.ledger.acquire(self._partition, self._instance, LEASE_S)
        if row is None:
            self.failures = 0
            self.fault, self.elsewhere = "another instance owns the partition", "another instance"
            return False
        self.epoch, self.elsewhere = row.epoch, ""
        parts.metrics.set(EPOCH, row.epoch, self._partition)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = (
                    tasks.create_task(self._keep_lease(parts, row.epoch)),
                    tasks.create_task(self._serve(parts, row)),
                )
                tasks.create_task(self._until_dismissed(*serving))
        finally:
            self.owner = None
            self.epoch = 0
            parts.metrics.set(OWNED, 0, self._partition)
            for wait in (INBOX_LAG, INBOX_OLDEST, RELAY_OLDEST):  # now the next owner's to tell
                parts.metrics.set(wait, 0, self._partition)
            await self._leave(parts, row.epoch)
        return True

    async def _serve(self, parts: Parts, row: PartitionRow) -> None:
        owner = Owner(row, self._domain, parts)
        patience_s, self._open_s = self._open_s, min(2 * self._open_s, OPEN_CAP_S)
        async with _within(patience_s, f"{row.partition}: not open within {patience_s:.0f} s"):
            relayed = await owner.relay.open(row)
            renewed = await owner.open()
        self.owner, self._open_s = owner, OPEN_S
        self.fault, self.failures = "", 0
        parts.metrics.set(OWNED, 1, self._partition)
        log.info("partition owned", extra={"partition": row.partition, "epoch": row.epoch})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(owner.dispatch.run())
            tasks.create_task(owner.relay.run())
            tasks.create_task(_make_good(owner, relayed, row.n, renewed=renewed))
            tasks.create_task(owner.work())

    async def _until_dismissed(self, *serving: asyncio.Task[None]) -> None:
        await self._dismissed.wait()
        self.fault = "left to others"
        log.info("partition left to others", extra={"partition": self._partition})
        for task in serving:
            task.cancel()

    async def _keep_lease(self, parts: Parts, epoch: int) -> None:
        """Prolong the lease; a store that does not answer costs it only after a while.

        An epoch goes on beyond its lease as long as nobody takes the partition over: whether
        somebody has, each commit asks of the store itself.
        """
        clock, renewed_us = parts.clock, parts.clock.now_us()
        while True:
            await clock.sleep(RENEW_S)
            try:
                held = await parts.ledger.renew(self._partition, epoch, LEASE_S)
            except TransientFault:
                if clock.now_us() - renewed_us > RENEWAL_PATIENCE_S * MICROSECONDS:
                    raise
                continue
            if not held:
                parts.metrics.add(FENCED, self._partition)
                raise Fenced(f"{self._partition}: the lease is another's")
            renewed_us = clock.now_us()

    async def _leave(self, parts: Parts, epoch: int) -> None:
        # The lease first: others wait for it, and nobody for the inbox.
        for end in (lambda: parts.ledger.release(self._partition, epoch), parts.inbox.close):
            try:
                async with asyncio.timeout(LEAVE_S):
                    await end()
            except (TransientFault, TimeoutError):
                log.info("the lease runs out by itself", extra={"partition": self._partition})


@asynccontextmanager
async def _within(seconds: float, fault: str) -> AsyncGenerator[None]:
    """Turn what takes longer into a fault, so that another try, or another instance, follows."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TransientFault(fault) from None


async def _make_good(owner: Owner, relayed_n: int, last_n: int, *, renewed: bool) -> None:
    """Publish again what may be lost, once the inbox was consumed to its end."""
    await owner.caught_up.wait()
    parts = owner.parts
    takeover = Takeover(owner.row.partition, owner.cells, parts.reader, parts.index, owner.dispatch)
    await takeover.republish(relayed_n, last_n)
    owner.relay.allow(last_n)
    owner.relay.release()
    log.info("taken over", extra={"partition": owner.row.partition, "renewed_streams": renewed})
    await takeover.sweep()


def _first(fault: BaseException) -> BaseException:
    """Give the first fault inside a group, however deep."""
    if isinstance(fault, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", fault)
        return _first(group.exceptions[0])
    return fault
