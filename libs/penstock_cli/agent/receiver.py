"""A real HTTP server on loopback, as the other side of agents that call somebody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from penstock_adapters.embedded.ports import LOOPBACK
from penstock_contracts.values import JsonObject

MAX_BODY_BYTES = 1024 * 1024
MAX_KEPT = 100
DEFAULT_STATUS = 204


@dataclass(slots=True)
class Listening:
    """What was asked since `begin`.

    Attributes:
        port: on loopback.
        requests: method, path, headers (names in lower case) and body, oldest first.
    """

    port: int = 0
    requests: list[JsonObject] = field(default_factory=list[JsonObject])
    _answers: list[int] = field(default_factory=list[int])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def begin(self, answers: tuple[int, ...]) -> None:
        """Forget everything; answer like this, then by 204."""
        self.requests.clear()
        self._answers[:] = answers

    async def take(self, request: web.Request) -> web.Response:
        """Keep a request and answer it."""
        text = (await request.read()).decode("utf-8", "replace")
        try:
            body = json.loads(text) if text else None
        except ValueError:
            body = text
        if len(self.requests) < MAX_KEPT:
            headers = {name.lower(): value for name, value in request.headers.items()}
            kept = {
                "method": request.method, "path": request.path, "headers": headers, "body": body,
            }  # fmt: skip
            self.requests.append(cast("JsonObject", kept))
        return web.Response(status=self._answers.pop(0) if self._answers else DEFAULT_STATUS)


@asynccontextmanager
async def listening() -> AsyncIterator[Listening]:
    """Listen on a free port until the block ends."""
    heard = Listening()
    # penstock: ignore[*] -- a receiver on loopback, for one run, that no browser visits
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", heard.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        heard.port = int(runner.addresses[0][1])
        yield heard
    finally:
        await runner.cleanup()
