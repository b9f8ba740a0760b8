"""Keeps partitions owned: takes a lease, runs an owner, begins again after every fault."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from penstock_runtime.domain import Domain
from penstock_runtime.faults import Fenced, StoreRolledBack, TransientFault
from penstock_runtime.owner import NewIncarnation, Owner, Parts
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

LEASE_S = 10.0
RENEW_S = LEASE_S / 3
OTHERS_LEASE_S = 1.0  # pause between two tries to take over a partition that another holds
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 5.0
Prepare = Callable[[], Awaitable[None]]


class PartitionHost:
    """Owns one partition for as long as the process lives and nobody else holds it."""

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
        self.owner: Owner | None = None
        self.fault = "not started"

    @property
    def partition(self) -> str:
        """Name of the partition."""
        return self._partition

    @property
    def ready(self) -> bool:
        """Whether the partition is owned here and its inbox was consumed to the end once."""
        return self.owner is not None and self.owner.caught_up.is_set()

    async def run(self) -> None:
        """Own, lose, own again, until cancelled.

        Raises:
            StoreRolledBack: an operator has to decide; nothing runs before that.
        """
        wait_s = RETRY_FIRST_S
        while True:
            parts = self._parts()
            try:
                wait_s = RETRY_FIRST_S if await self._epoch(parts) else OTHERS_LEASE_S
            except* (TransientFault, Fenced, NewIncarnation) as faults:
                first = _first(faults)
                self.fault = f"{type(first).__name__}: {first}"
                parts.metrics.add(EPOCHS_ENDED, self._partition, type(first).__name__)
                log.warning(
                    "an epoch has ended",
                    extra={"partition": self._partition, "reason": self.fault},
                )
            except* StoreRolledBack as faults:
                self.fault = str(_first(faults))
                log.critical(self.fault, extra={"partition": self._partition})
                raise
            self.owner = None
            await parts.clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _epoch(self, parts: Parts) -> bool:
        """Serve one epoch to its end; False: another instance holds the partition."""
        await self._prepare()
        row = await parts.ledger.acquire(self._partition, self._instance, LEASE_S)
        if row is None:
            self.fault = "another instance owns the partition"
            return False
        metrics = parts.metrics
        metrics.set(EPOCH, row.epoch, self._partition)
        owner = Owner(row, self._domain, parts)
        try:
            relayed = await owner.relay.open(row)
            renewed = await owner.open()
            self.owner = owner
            self.fault = ""
            metrics.set(OWNED, 1, self._partition)
            log.info("partition owned", extra={"partition": row.partition, "epoch": row.epoch})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_lease(owner))
                tasks.create_task(owner.dispatch.run())
                tasks.create_task(owner.relay.run())
                tasks.create_task(_make_good(owner, relayed, row.n, renewed=renewed))
                tasks.create_task(owner.work())
        finally:
            metrics.set(OWNED, 0, self._partition)
            for wait in (INBOX_LAG, INBOX_OLDEST, RELAY_OLDEST):  # now the next owner's to tell
                metrics.set(wait, 0, self._partition)
            self.owner = None
            await self._leave(parts, row.epoch)
        return True

    async def _keep_lease(self, owner: Owner) -> None:
        while True:
            await owner.parts.clock.sleep(RENEW_S)
            if not await owner.parts.ledger.renew(self._partition, owner.row.epoch, LEASE_S):
                owner.parts.metrics.add(FENCED, self._partition)
                raise Fenced(f"{self._partition}: the lease is another's")

    async def _leave(self, parts: Parts, epoch: int) -> None:
        try:
            async with asyncio.timeout(RENEW_S):
                await parts.inbox.close()
                await parts.ledger.release(self._partition, epoch)
        except (TransientFault, TimeoutError):
            log.info("the lease runs out by itself", extra={"partition": self._partition})


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
