"""Gateways of a simulated world: the read model, the API, and the token they begin with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from penstock_adapters.memory.artifacts import MemoryShelf
from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.tail import MemoryStreamTail
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.bus import Publisher
from penstock_runtime.telemetry.metrics import Metrics
from penstock_testkit.sim.bus import SimBus
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.door import Door
from penstock_testkit.sim.links import Link, LinkedInbox, linked
from penstock_testkit.sim.processes import Life, ProcessClock
from penstock_testkit.sim.stores import SimProjection
from penstock_testkit.virtual_time import VirtualClock
from penstock_webhook_gateway.app import application
from penstock_webhook_gateway.bootstrap import admit
from penstock_webhook_gateway.http.context import Doors
from penstock_webhook_gateway.projection import SOURCES, Projection
from penstock_webhook_gateway.waiting import Waiters

ADMIN_TOKEN = "a simulated world's first token"  # noqa: S105 # nosec B105 - opens nothing real
RATE_PER_MINUTE = 20  # of one gateway: now and then somebody is told to wait


@dataclass(frozen=True, slots=True)
class Around:
    """What a gateway reaches, and by which links."""

    bus: SimBus
    views: SimProjection
    shelf: MemoryShelf
    clock: VirtualClock
    metrics: Metrics
    to_bus: Link
    to_store: Link
    publisher: Publisher


class Gateway:
    """What one life of a gateway runs, wired as the service's own `live` does it.

    Attributes:
        door: where its clients knock.
    """

    def __init__(self, life: Life, around: Around, dice: Dice) -> None:
        """Wire it; traces are drawn from `dice`."""
        clock, waiters = ProcessClock(life, around.clock), Waiters()
        views = linked(around.views, around.to_store)
        self._projection = Projection(
            life.process.name, views, views,
            lambda: LinkedInbox(MemoryInbox(around.bus, SOURCES), around.to_bus),  # type: ignore[arg-type,return-value]
            clock, around.metrics, waiters.applied, waiters.wants,
        )  # fmt: skip
        doors = Doors(
            around.publisher, views, MemoryStreamTail(around.bus), waiters, clock,
            artifacts=around.shelf,
        )  # fmt: skip
        app = application(
            doors, self._projection, around.metrics, RATE_PER_MINUTE, entropy=dice.randbytes
        )
        self.door = Door(life, app, dice)
        self._admitted = lambda: admit(ADMIN_TOKEN, DEFAULT_TENANT, around.publisher, views, clock)

    async def run(self) -> None:
        """Keep the read model and serve."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._projection.run())
            tasks.create_task(self._admitted())
            await self.door.open()
