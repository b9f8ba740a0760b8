"""A real HTTP receiver on loopback, as somebody's chat or pager would be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from penstock_adapters.embedded.ports import LOOPBACK

MAX_BODY_BYTES = 1024 * 1024
MAX_KEPT = 100


@dataclass(slots=True)
class Receiver:
    """What has been received so far.

    Attributes:
        port: on loopback.
        bodies: of each request, oldest first.
        arrived: set once there is one.
    """

    port: int
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{LOOPBACK}:{self.port}/notifications"

    async def take(self, request: web.Request) -> web.Response:
        """Keep one request's body."""
        body = await request.json()
        if isinstance(body, dict) and len(self.bodies) < MAX_KEPT:
            self.bodies.append(body)
            self.arrived.set()
        return web.json_response({"received": True})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port until the block ends."""
    receiver = Receiver(0)
    # penstock: ignore[*] -- a receiver on loopback, for one run, that no browser visits
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/notifications", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        receiver.port = int(runner.addresses[0][1])
        yield receiver
    finally:
        await runner.cleanup()
