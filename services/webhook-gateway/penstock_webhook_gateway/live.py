"""Opens the gateway's real adapters and serves until told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence

from aiohttp import web

from penstock_adapters.nats.connection import NatsConnection, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.owning import bus_settings, migrate_store
from penstock_adapters.postgres.migrate import Schema
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_adapters.sampling import approvals_sample, connection_sample, store_sample
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.process import serve
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_adapters.telemetry import Telemetry, open_telemetry
from penstock_adapters.wrappers.tracing.publisher import TracedPublisher
from penstock_runtime.owning import fail_when
from penstock_runtime.ports.health import Check
from penstock_runtime.telemetry.metrics import NATS_ERRORS
from penstock_webhook_gateway.app import application, checks
from penstock_webhook_gateway.bootstrap import admit, read_token
from penstock_webhook_gateway.http.approval_shapes import PENDING
from penstock_webhook_gateway.http.context import Doors
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.projection import SOURCES, Projection
from penstock_webhook_gateway.settings import GatewaySettings
from penstock_webhook_gateway.waiting import Waiters

SERVICE = "webhook-gateway"
SHUTDOWN_S = 2.0
log = logging.getLogger(__name__)


def main() -> int:
    """Serve as a process; gives the exit code."""
    return serve(SERVICE, GatewaySettings, run)


async def run(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Keep the read model and serve HTTP until `stop` is set."""
    await asyncio.to_thread(migrate_store, settings, Schema.PROJECTION)
    clock, waiters = SystemClock(), Waiters()
    async with (
        _telemetry(settings) as (telemetry, metrics),
        _bus(settings, metrics) as bus,
        PostgresProjection(settings.postgres_url.get_secret_value()) as store,
    ):
        projection = Projection(
            settings.name, store, store, lambda: NatsInbox(bus, SOURCES), clock, metrics,
            waiters.applied, waiters.wants,
        )  # fmt: skip
        spans = telemetry.spans
        publisher = TracedPublisher(NatsPublisher(bus), clock, spans)
        tail, beats, shelf = NatsStreamTail(bus), NatsHeartbeats(bus), NatsShelf(bus)
        doors = Doors(
            publisher, store, tail, waiters, clock, heartbeats=beats, artifacts=shelf
        )  # fmt: skip
        app = application(
            doors,
            projection,
            metrics,
            settings.rate_per_minute,
            spans,
            trust_forwarded_for=settings.trust_forwarded_for,
        )

        admitted = asyncio.Event()

        async def probe() -> Sequence[Check]:
            found = checks(projection, connected=bus.is_connected)
            if settings.admin_token_file is None:
                return found
            detail = "is valid" if admitted.is_set() else "is not known to the catalog yet"
            return [*found, Check("admin token", admitted.is_set(), detail)]

        async def let_in(token: str) -> None:
            await admit(token, settings.tenant, publisher, store, clock)
            admitted.set()

        samples = (
            connection_sample(metrics, lambda: bus.is_connected),
            store_sample(metrics, store),
            approvals_sample(metrics, store, View.APPROVAL, PENDING),
            telemetry.sample(metrics),
        )
        ops = OpsServer(settings.ops_host, settings.ops_port, probe, metrics, samples)
        app.add_routes(ops.routes())
        async with ops, asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(projection.run()),
                tasks.create_task(fail_when(bus.wait_closed)),
            ]
            if settings.admin_token_file is not None:
                token = read_token(settings.admin_token_file)
                working.append(tasks.create_task(let_in(token)))
            async with _serving(app, settings):
                await stop.wait()
            # Whoever was being answered has been: until then the read model went on.
            for task in working:
                task.cancel()


@contextlib.asynccontextmanager
async def _telemetry(
    settings: GatewaySettings,
) -> AsyncGenerator[tuple[Telemetry, PrometheusMetrics]]:
    with open_telemetry(SERVICE, settings) as telemetry:
        yield telemetry, PrometheusMetrics(telemetry.spans)


@contextlib.asynccontextmanager
async def _bus(
    settings: GatewaySettings, metrics: PrometheusMetrics
) -> AsyncGenerator[NatsConnection]:
    connection = await connect(
        bus_settings(settings, settings.name),
        on_error=lambda error: metrics.add(NATS_ERRORS, type(error).__name__),
    )
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _serving(app: web.Application, settings: GatewaySettings) -> AsyncGenerator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.http_host, settings.http_port)
        await site.start()
        log.info("API listens", extra={"host": settings.http_host, "port": settings.http_port})
        yield
    finally:
        await runner.cleanup()
