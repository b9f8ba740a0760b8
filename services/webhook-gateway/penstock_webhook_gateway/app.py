"""Wires the gateway from its ports; the simulation uses it as well."""

import os
from collections.abc import Sequence

from aiohttp import web

from penstock_contracts.envelope import MAX_BODY_BYTES
from penstock_contracts.subjects import GATEWAY_PARTITION
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.health import Check
from penstock_runtime.telemetry.metrics import Metrics
from penstock_runtime.telemetry.spans import Spans
from penstock_webhook_gateway.http import (
    approvals,
    artifacts,
    catalog,
    dead,
    executors,
    live,
    runs,
    status,
    tokens,
    triggers,
)
from penstock_webhook_gateway.http.context import DOORS, Doors
from penstock_webhook_gateway.http.limits import RateLimit
from penstock_webhook_gateway.http.live import STREAMS
from penstock_webhook_gateway.http.middleware import Entropy, Guard
from penstock_webhook_gateway.http.places import Places
from penstock_webhook_gateway.http.tracing import traced
from penstock_webhook_gateway.projection import Projection


def application(
    doors: Doors,
    projection: Projection,
    metrics: Metrics,
    rate_per_minute: int,
    spans: Spans | None = None,
    *,
    trust_forwarded_for: bool = False,
    entropy: Entropy = os.urandom,
) -> web.Application:
    """Give the HTTP application; the traces that begin here are drawn from `entropy`."""
    guard = Guard(
        metrics,
        RateLimit(rate_per_minute),
        trust_forwarded_for=trust_forwarded_for,
        entropy=entropy,
    )
    outer = () if spans is None else (traced(spans),)
    middlewares = [*outer, *guard.middlewares()]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES + 1)
    app.on_response_prepare.append(guard.dress)
    app[DOORS] = doors
    app[STREAMS] = Places(live.STREAMS_MAX, live.STREAMS_BUSY)
    app[artifacts.DOWNLOADS] = Places(artifacts.DOWNLOADS_MAX, artifacts.DOWNLOADS_BUSY)

    def standing() -> JsonObject:
        return {"ready": projection.ready, "seen": dict(projection.seen)}

    for module in (runs, live, artifacts, approvals, catalog, tokens, triggers, executors, dead):
        app.add_routes(module.routes())
    app.add_routes(status.routes(standing))
    return app


def checks(projection: Projection, *, connected: bool) -> Sequence[Check]:
    """Give the checks of `/health/ready`."""
    detail = projection.fault or "catching up"
    if projection.ready:
        detail = "up to date" if projection.keeping else "kept by another gateway"
    return (
        Check("nats", connected, "connected" if connected else "not connected"),
        Check(GATEWAY_PARTITION, projection.ready, detail),
    )
