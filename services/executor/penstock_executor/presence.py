"""Whether this executor can run tasks, and how others learn of it."""

import asyncio
import logging

from pydantic import JsonValue

from penstock_contracts.values import MICROSECONDS
from penstock_executor.running import RunningTasks
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.health import Check
from penstock_runtime.ports.heartbeat import Heartbeats
from penstock_runtime.ports.sandbox import Sandbox, SandboxHealth
from penstock_runtime.telemetry.metrics import SANDBOX_AVAILABLE, SANDBOX_DEGRADED, Metrics

HEARTBEAT_S = 10.0
RECHECK_S = 60.0  # while the sandbox is available
RETRY_S = 5.0  # while it is not
LEAVE_S = 2.0

_log = logging.getLogger(__name__)


class Presence:
    """Knows the sandbox's health and tells it in heartbeats, readiness and log lines."""

    def __init__(
        self,
        name: str,
        pool: str,
        capacity: int,
        tasks: RunningTasks,
        sandbox: Sandbox,
        heartbeats: Heartbeats,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._key = name.replace(".", "-")  # one subject token; host names have dots
        self._name = name
        self._pool = pool
        self._capacity = capacity
        self._tasks = tasks
        self._sandbox = sandbox
        self._heartbeats = heartbeats
        self._clock = clock
        self._metrics = metrics
        self._health: SandboxHealth | None = None
        self._looked_us = 0

    async def available(self) -> bool:
        """Tell whether tasks can run now; after a no, ask again in `RETRY_S`."""
        health = self._health
        if health is not None and health.available:
            age_s = (self._clock.now_us() - self._looked_us) / MICROSECONDS
            if age_s < RECHECK_S:
                return True
        return (await self._look()).available

    async def _look(self) -> SandboxHealth:
        health = await self._sandbox.check()
        self._looked_us = self._clock.now_us()
        self._metrics.set(SANDBOX_AVAILABLE, float(health.available), health.adapter)
        self._metrics.set(SANDBOX_DEGRADED, float(bool(health.degraded)), health.adapter)
        if health != self._health:
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
            "capacity": self._capacity,
        }
        if health.available:
            return Check("sandbox", ok=True, detail=health.isolation, data=data)
        return Check("sandbox", ok=False, detail=f"{health.obstacle}: {health.mend}", data=data)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self._beat()
            await self._clock.sleep(HEARTBEAT_S)

    async def _beat(self) -> None:
        health = self._health
        value: dict[str, JsonValue] = {
            "name": self._name,
            "pool": self._pool,
            "capacity": self._capacity,
            "running": len(self._tasks),
            "at_us": self._clock.now_us(),
            "available": health is not None and health.available,
            "adapter": health.adapter if health is not None else "",
            "isolation": health.isolation if health is not None else "",
            "degraded": list(health.degraded) if health is not None else [],
        }
        try:
            await self._heartbeats.put(self._key, value)
        except TransientFault as fault:
            _log.debug("no heartbeat", extra={"reason": str(fault)})

    async def leave(self) -> None:
        """Take the entry out; without a server it expires by itself."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._heartbeats.remove(self._key)
        except (TransientFault, TimeoutError):
            _log.debug("the heartbeat is left to expire")
