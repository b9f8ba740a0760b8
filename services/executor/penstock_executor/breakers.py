"""What the circuit breaker in front of the sandbox has done, and telling the catalog of it."""

import asyncio
import logging
from collections import deque

from pydantic import JsonValue

from penstock_contracts.executor.v1 import BreakerState, ReportBreaker
from penstock_executor.messages import Messages
from penstock_runtime.breaker import Breaker
from penstock_runtime.ports.bus import Published, Publisher
from penstock_runtime.ports.clock import Clock

MAX_UNSENT = 64  # changes kept while the bus is away; the oldest are dropped
RETRY_S = 10.0

_SENT = (Published.DONE, Published.ALREADY_THERE)
_log = logging.getLogger(__name__)


class BreakerChanges:
    """How the breaker stands, and the changes that were not reported yet.

    Attributes:
        adapter: name of the sandbox it stands in front of.
        now: None where there is no breaker.
        count: of changes so far.
    """

    def __init__(self, adapter: str = "") -> None:
        self.adapter = adapter
        self.now: Breaker | None = None
        self.unsent: deque[Breaker] = deque(maxlen=MAX_UNSENT)
        self.count = 0
        self._news = asyncio.Event()

    def note(self, breaker: Breaker) -> None:
        """Take in a change; never waits."""
        self.now = breaker
        self.unsent.append(breaker)
        self.count += 1
        self._news.set()

    async def beyond(self, count: int) -> None:
        """Wait until there were more than `count` changes."""
        while self.count <= count:
            self._news.clear()
            _ = await self._news.wait()

    def shown(self) -> JsonValue:
        """Give how it stands, for readiness and heartbeats."""
        now = self.now
        if now is None:
            return None
        return {
            "state": now.state.value,
            "failures": len(now.failed_us),
            "reason": "" if now.state is BreakerState.CLOSED else now.reason,
            "since_us": now.since_us,
            "until_us": now.until_us,
        }


class BreakerReports:
    """Publishes changes in their order, beside all tasks: a bus that is away only delays them."""

    def __init__(
        self,
        changes: BreakerChanges,
        pool: str,
        messages: Messages,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._changes = changes
        self._pool = pool
        self._messages = messages
        self._publisher = publisher
        self._clock = clock

    async def run(self) -> None:
        """Report until cancelled; what failed is tried again after a change or `RETRY_S`."""
        while True:
            known = self._changes.count
            done = await self._send_all()
            waits = [asyncio.ensure_future(self._changes.beyond(known))]
            if not done:
                waits.append(asyncio.ensure_future(self._clock.sleep(RETRY_S)))
            try:
                _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    _ = wait.cancel()

    async def _send_all(self) -> bool:
        unsent = self._changes.unsent
        while unsent:
            breaker = unsent[0]
            message = self._messages.breaker(self._report_of(breaker))
            outcome = (await self._publisher.publish([message]))[0]
            if outcome not in _SENT:
                extra = {"state": breaker.state.value, "outcome": outcome.value}
                _log.warning("a change of the breaker was not reported", extra=extra)
                return False
            if unsent and unsent[0] is breaker:  # it may have been dropped meanwhile
                _ = unsent.popleft()
        return True

    def _report_of(self, breaker: Breaker) -> ReportBreaker:
        return ReportBreaker(
            executor=self._messages.executor,
            pool=self._pool,
            adapter=self._changes.adapter,
            state=breaker.state,
            failures=len(breaker.failed_us),
            reason=breaker.reason,
            since_us=breaker.since_us,
            until_us=breaker.until_us,
        )
