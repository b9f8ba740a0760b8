"""Partitions spread over the instances that live: each looks at the leases and takes its share.

Nobody is asked and nobody decides for others. Every instance says in the store that it lives, reads
from the same rows who else does and who holds what, and acts on its own partitions alone: it takes
what is free while it has less than its share, and lets one go when it has more. Looks may be out of
date and two may act at once: an epoch is granted by the store, so the worst is a needless move.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import TransientFault
from penstock_runtime.host import LEASE_S, LEAVE_S, RETRY_CAP_S, RETRY_FIRST_S, PartitionHost
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.roster import Holding, Lease, Roster, RosterBook

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks at the leases; one that has ended is taken at the second
LIVES_S = LEASE_S  # after a look; then others take an instance for gone
FAILING = 3  # attempts at one partition in a row: others may have better luck
FAILING_S = 5.0  # for so long an instance leaves its share to others then; ...
FAILING_CAP_S = 80.0  # ... twice as long each time, unless it was well for as long as this
LETTING_GO = 4  # of what is too much, a quarter goes at each look, and one at least


def share(others: Collection[int], partitions: int) -> int:
    """Give how many of `partitions` an instance may hold beside `others`, who hold so many each.

    All hold as many, or one more. Where others have all of those that are one more, it gets none.
    """
    least, more = divmod(partitions, len(others) + 1)
    richer = sum(count > least for count in others)
    return least + 1 if richer < more else least


class Sharing:
    """The hosts of one instance: one for every partition of its store, at work when it is its turn.

    Attributes:
        fault: why the store could not be looked at, or ''.
    """

    def __init__(
        self,
        instance: str,
        book: RosterBook,
        make_host: Callable[[str], PartitionHost],
        partitions: Sequence[str],
        clock: Clock,
        *,
        fit: Callable[[], bool] = lambda: True,
    ) -> None:
        """Share what `book` holds as `instance`.

        Args:
            instance: its name, no other's.
            book: says who lives and who holds what.
            make_host: gives the host of a partition; called for new ones, too, as they appear.
            partitions: those that there must be.
            clock: paces the looks.
            fit: whether it could serve a partition at this moment.
        """
        self._instance = instance
        self._book = book
        self._make_host = make_host
        self._declared = tuple(partitions)
        self._clock = clock
        self._fit = fit
        self._hosts: dict[str, PartitionHost] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._ended: Mapping[str, int] = {}  # partition -> epoch whose lease the last look saw end
        self._failed_us = 0
        self._fails = False
        self._rest_s = FAILING_S
        self.fault = "not started"
        for name in self._declared:
            self._adopt(name)

    @property
    def hosts(self) -> Collection[PartitionHost]:
        """All hosts; more when partitions are added."""
        return self._hosts.values()

    @property
    def partitions(self) -> Collection[str]:
        """Names of all partitions that are known here."""
        return self._hosts.keys()

    async def run(self) -> None:
        """Take part until cancelled; leases are given up before this returns.

        Raises:
            ExceptionGroup: of `StoreRolledBack`: an operator has to decide.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for host in self.hosts:
                tasks.create_task(host.run(), name=host.partition)
            try:
                await self._declare()
                while True:
                    await self._look()
                    await self._clock.sleep(LOOK_S)
            finally:
                self._tasks = None
                await self._leave()  # first, so that the others reckon without us when all is free

    async def _declare(self) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await self._book.declare(self._declared)
            except TransientFault as fault:
                self.fault = str(fault)
                log.warning("partitions cannot be declared", extra={"reason": self.fault})
            else:
                return
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._book.attend(self._instance, 0.0)
        except (TransientFault, TimeoutError):
            log.info("others will find out that this instance has gone")

    def _adopt(self, partition: str) -> None:
        host = self._hosts[partition] = self._make_host(partition)
        host.dismiss()  # until there was a look
        if self._tasks is not None:
            log.info("a partition was added", extra={"partition": partition})
            self._tasks.create_task(host.run(), name=partition)

    async def _look(self) -> None:
        able = self._is_able()
        try:
            roster = await self._book.attend(self._instance, LIVES_S if able else 0.0)
        except TransientFault as fault:
            self.fault = str(fault)
            self._ended = {}  # the store may have stood still for everybody
            for host in self.hosts:
                host.elsewhere = ""
            return
        self.fault = ""
        for holding in roster.holdings:
            if holding.partition not in self._hosts:
                self._adopt(holding.partition)
        self._note(roster)
        alone = not self._others(roster)
        if able or alone:  # of what it cannot serve it must not neglect the rest
            self._take(roster)
        if able:
            self._let_go(roster)
        elif not alone:
            self._leave_to_others()
        self._ended = {h.partition: h.epoch for h in roster.holdings if h.lease is Lease.ENDED}

    def _is_able(self) -> bool:
        """Whether others may reckon with this instance; what it holds it keeps in any case."""
        now_us = self._clock.now_us()
        since_s = (now_us - self._failed_us) / MICROSECONDS
        fails, failed = any(map(_fails, self.hosts)), self._fails
        if fails and not failed:
            again = self._failed_us and since_s < self._rest_s + FAILING_CAP_S
            self._rest_s = min(2 * self._rest_s, FAILING_CAP_S) if again else FAILING_S
        if fails:
            self._failed_us = now_us
        self._fails = fails
        rests = fails or (self._failed_us and since_s < self._rest_s)
        return self._fit() and not rests

    def _leave_to_others(self) -> None:
        """Let go what was tried in vain."""
        for host in self.hosts:
            if _fails(host):
                host.dismiss()

    def _note(self, roster: Roster) -> None:
        """Stand back where another was faster, or has taken over while we were held up."""
        for holding in roster.holdings:
            host = self._hosts[holding.partition]
            others = holding.lease is Lease.RUNS and holding.owner != self._instance
            host.elsewhere = holding.owner if others else ""
            if others and host.admitted and holding.epoch > host.epoch > 0:
                host.stand_back()
            elif others and host.admitted and not host.epoch:
                host.dismiss()

    def _take(self, roster: Roster) -> None:
        others = self._others(roster)
        for holding in roster.holdings:
            host = self._hosts[holding.partition]
            if host.admitted or not self._may_be_taken(holding):
                continue
            if self._mine() < share(others.values(), len(self._hosts)):
                host.admit()

    def _may_be_taken(self, holding: Holding) -> bool:
        """Whether nobody will miss it.

        A lease that is seen to have ended once may be one that its owner could not prolong because
        the store has just stood still for everybody; it is given the time until the next look.
        """
        if holding.owner == self._instance:  # an earlier life's
            return True
        again = self._ended.get(holding.partition) == holding.epoch
        return holding.lease is Lease.FREE or (holding.lease is Lease.ENDED and again)

    def _let_go(self, roster: Roster) -> None:
        others = self._others(roster)
        least = len(self._hosts) // (len(others) + 1)
        # Of two that hold one more than they may, the one whose name comes first keeps it.
        before = [n if name < self._instance else min(n, least) for name, n in others.items()]
        excess = self._mine() - share(before, len(self._hosts))
        held = [self._hosts[name] for name in sorted(self._hosts)]
        ready = [host for host in held if host.ready and host.admitted]
        if excess > 0:
            for host in ready[-max(1, excess // LETTING_GO) :]:
                host.dismiss()

    def _mine(self) -> int:
        return sum(host.admitted for host in self.hosts)

    def _others(self, roster: Roster) -> dict[str, int]:
        held = Counter(h.owner for h in roster.holdings if h.lease is Lease.RUNS)
        return {name: held[name] for name in roster.living if name != self._instance}


def _fails(host: PartitionHost) -> bool:
    return host.admitted and host.failures >= FAILING
