"""The small HTTP server every service has: `/health/live`, `/health/ready`, `/metrics`."""

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web
from pydantic_core import to_json

from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_adapters.system.vitals import Sample, Vitals
from penstock_runtime.ports.health import Check, ReadyProbe
from penstock_runtime.telemetry.metrics import UP

PROBE_TIMEOUT_S = 3.0
MAX_REQUEST_BYTES = 1024  # nothing is posted here
SHUTDOWN_S = 1.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",  # heeded behind a proxy that speaks TLS
}

_log = logging.getLogger(__name__)


class OpsServer:
    """Serves health and metrics from `start` (or entering the context) until `close`.

    `/health/live` answers 200 as long as the event loop turns; `/health/ready` 200 or 503 with
    `{"status", "checks": [{"name", "ok", "detail", ...}]}`; `/metrics` Prometheus' text format,
    or OpenMetrics to who asks for it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ready: ReadyProbe,
        metrics: PrometheusMetrics,
        samples: Sequence[Sample] = (),
    ) -> None:
        """Prepare a server; `port` 0 chooses a free one.

        `samples` are taken now and then while it serves: gauges of what has no moment of its own.
        """
        self._host = host
        self._wanted_port = port
        self._ready = ready
        self._metrics = metrics
        self._vitals = Vitals(metrics, [self._sample_ready, *samples])
        self._runner: web.AppRunner | None = None
        self.port: int = port

    def routes(self) -> list[web.RouteDef]:
        """Give the three routes, for a service that serves HTTP anyway."""
        return [
            web.get("/health/live", self._live),
            web.get("/health/ready", self._answer_ready),
            web.get("/metrics", self._answer_metrics),
        ]

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken or not ours.
        """
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self.routes())
        app.on_response_prepare.append(_guard)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._wanted_port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._vitals.start()
        self.port = int(runner.addresses[0][1])
        _log.info("operations server listens", extra={"host": self._host, "port": self.port})

    async def close(self) -> None:
        """Stop listening; without effect when it does not."""
        await self._vitals.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def _live(self, _request: web.Request) -> web.Response:
        return _json({"status": "alive"}, 200)

    async def _answer_ready(self, _request: web.Request) -> web.Response:
        checks = await self._probe()
        ready = self._told(checks)
        body = {
            "status": "ready" if ready else "not_ready",
            "checks": [
                {"name": check.name, "ok": check.ok, "detail": check.detail, **check.data}
                for check in checks
            ],
        }
        return _json(body, 200 if ready else 503)

    async def _sample_ready(self) -> None:
        _ = self._told(await self._probe())

    def _told(self, checks: Sequence[Check]) -> bool:
        ready = all(check.ok for check in checks)
        self._metrics.set(UP, float(ready))
        return ready

    async def _probe(self) -> Sequence[Check]:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._ready()
        except TimeoutError:
            return [Check("probe", ok=False, detail=f"no answer within {PROBE_TIMEOUT_S:g} s")]

    async def _answer_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        # penstock: ignore[header-injection] -- the library picks it from its own
        return web.Response(body=body, headers={"Content-Type": content_type})


async def _guard(_request: web.Request, response: web.StreamResponse) -> None:
    """Keep browsers from making more of an answer than it is, as the gateway does."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=to_json(body), status=status, content_type="application/json")
