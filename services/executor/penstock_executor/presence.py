"""Whether this executor can run tasks, and how others learn of it."""

import asyncio
import logging
from dataclasses import dataclass, replace

from pydantic import JsonValue

from penstock_contracts.subjects import executor_token
from penstock_contracts.values import MICROSECONDS
from penstock_executor.breakers import BreakerChanges
from penstock_executor.running import RunningTasks
from penstock_executor.stock import Stock
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.health import Check
from penstock_runtime.ports.heartbeat import Heartbeats
from penstock_runtime.ports.sandbox import Sandbox, SandboxHealth
from penstock_runtime.telemetry.metrics import SANDBOX_AVAILABLE, SANDBOX_DEGRADED, Metrics

HEARTBEAT_S = 10.0
HEARTBEAT_AGAIN_S = 1.0  # after one that nobody took
RECHECK_S = 60.0  # while the sandbox is available
RETRY_S = 5.0  # while it is not
LEAVE_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """Who this executor is: its name, its pool, the tasks it runs at once, and its version."""

    name: str
    pool: str
    capacity: int
    version: str = ""


class Presence:
    """Knows the sandbox's health and tells it in heartbeats, readiness and log lines."""

    def __init__(
        self,
        seat: Seat,
        stock: Stock,
        tasks: RunningTasks,
        sandbox: Sandbox,
        heartbeats: Heartbeats,
        clock: Clock,
        metrics: Metrics,
        breaker: BreakerChanges,
    ) -> None:
        self._key = executor_token(seat.name)
        self._seat = seat
        self._stock = stock
        self._tasks = tasks
        self._sandbox = sandbox
        self._heartbeats = heartbeats
        self._clock = clock
        self._metrics = metrics
        self._breaker = breaker
        self._health: SandboxHealth | None = None
        self._looked_us = 0
        self._doubted = False

    def doubt(self) -> None:
        """Look again before the next task: the last one found the sandbox away."""
        self._doubted = True

    def lately_available(self) -> bool:
        """Tell whether tasks could run a short while ago, and nothing has cast doubt on it."""
        health = self._health
        if health is None or not health.available or self._doubted:
            return False
        return self._clock.now_us() - self._looked_us < RECHECK_S * MICROSECONDS

    async def available(self) -> bool:
        """Tell whether tasks can run now; after a no, ask again in `RETRY_S`."""
        return self.lately_available() or (await self._look()).available

    async def _look(self) -> SandboxHealth:
        self._doubted = False  # before: a task may give cause for doubt while it is looked at
        health = await self._sandbox.check()
        self._looked_us = self._clock.now_us()
        self._metrics.set(SANDBOX_AVAILABLE, float(health.available), health.adapter)
        self._metrics.set(SANDBOX_DEGRADED, float(bool(health.degraded)), health.adapter)
        if self._health is None or _told(health) != _told(self._health):
            self._say(health)
        self._health = health
        return health

    def _say(self, health: SandboxHealth) -> None:
        if health.available:
            extra = {
                "adapter": health.adapter,
                "isolation": health.isolation,
                "degraded": list(health.degraded),
            }
            _log.info("tasks can run", extra=extra)
        else:
            extra = {"adapter": health.adapter, "obstacle": health.obstacle, "mend": health.mend}
            _log.error("no task can run here: all wait in their queue", extra=extra)

    def check(self) -> Check:
        """Say it for `/health/ready`."""
        health = self._health
        if health is None:
            return Check("sandbox", ok=False, detail="not tried yet")
        data: dict[str, JsonValue] = {
            "adapter": health.adapter,
            "isolation": health.isolation,
            "degraded": list(health.degraded),
            "running": len(self._tasks),
            "capacity": self._seat.capacity,
            "breaker": self._breaker.shown(),
        }
        if health.available:
            return Check("sandbox", ok=True, detail=health.isolation, data=data)
        return Check("sandbox", ok=False, detail=f"{health.obstacle}: {health.mend}", data=data)

    async def run(self) -> None:
        """Send heartbeats until cancelled; a change of the breaker does not wait for the next."""
        while True:
            known = self._breaker.count
            pause_s = HEARTBEAT_S if await self._beat() else HEARTBEAT_AGAIN_S
            waits = [
                asyncio.ensure_future(self._clock.sleep(pause_s)),
                asyncio.ensure_future(self._breaker.beyond(known)),
            ]
            try:
                _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    _ = wait.cancel()

    async def _beat(self) -> bool:
        """Send one; False if it was not taken, as before a scheduler has made a place for it."""
        health = self._health
        value: dict[str, JsonValue] = {
            "name": self._seat.name,
            "pool": self._seat.pool,
            "capacity": self._seat.capacity,
            "running": len(self._tasks),
            "free": max(self._seat.capacity - len(self._tasks), 0),
            "version": self._seat.version,
            "agents": await self._stock.told(),
            "at_us": self._clock.now_us(),
            "available": health is not None and health.available,
            "adapter": health.adapter if health is not None else "",
            "isolation": health.isolation if health is not None else "",
            "degraded": list(health.degraded) if health is not None else [],
            "breaker": self._breaker.shown(),
        }
        try:
            await self._heartbeats.put(self._key, value)
        except TransientFault as fault:
            _log.debug("no heartbeat", extra={"reason": str(fault)})
            return False
        return True

    async def leave(self) -> None:
        """Take the entry out; without a server it expires by itself."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._heartbeats.remove(self._key)
        except (TransientFault, TimeoutError):
            _log.debug("the heartbeat is left to expire")


def _told(health: SandboxHealth) -> SandboxHealth:
    """Give what is worth a line again: not the seconds until the next try."""
    return health if health.available else replace(health, mend=None)
