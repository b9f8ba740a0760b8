"""Opens the scheduler's real adapters and serves until told to stop."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from penstock_adapters.nats.heartbeats import keep_bucket
from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.streams import ensure_artifacts, ensure_heartbeats
from penstock_adapters.nats.work import ensure_pool
from penstock_adapters.owning import OwnerAdapters, bus_settings, migrate_store, open_owner
from penstock_adapters.postgres.artifacts import PostgresVault
from penstock_adapters.postgres.migrate import Schema
from penstock_adapters.sampling import queue_sample
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.process import serve
from penstock_adapters.telemetry import open_telemetry
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.dispatch import Renderer
from penstock_runtime.keeping import ArtifactKeeper
from penstock_runtime.owning import own_until, ready_probe
from penstock_scheduler.app import SERVICE_ACTOR, Wiring, shared
from penstock_scheduler.settings import SchedulerSettings

SERVICE = "scheduler"
KEEPER_SOURCE = "penstock/artifacts"
MIB = 1024 * 1024


def main() -> int:
    """Serve as a process; gives the exit code."""
    return serve(SERVICE, SchedulerSettings, run)


async def run(settings: SchedulerSettings, stop: asyncio.Event) -> None:
    """Own a share of the catalog and all run partitions until `stop` is set."""
    for schema in (Schema.LEDGER, Schema.ARTIFACTS):
        await asyncio.to_thread(migrate_store, settings, schema)
    streams = OWNED_STREAMS[BusUser.SCHEDULER]
    bus = bus_settings(settings, settings.name)
    async with AsyncExitStack() as stack:
        telemetry = stack.enter_context(open_telemetry(SERVICE, settings))
        adapters = await stack.enter_async_context(
            open_owner(bus, settings, streams, telemetry.spans)
        )
        vault = await stack.enter_async_context(
            PostgresVault(settings.postgres_url.get_secret_value())
        )
        keeper = _keeper(adapters, vault, settings)
        wiring = Wiring(
            settings.name,
            TaskCodeBook(settings.task_secret.get_secret_value().encode()),
            adapters.ledger,
            partial(adapters.parts, keeper=keeper),
            partial(_prepare, adapters, settings),
        )
        sharing = shared(
            settings.name,
            settings.run_partitions,
            wiring,
            adapters.ledger,
            SystemClock(),
            adapters.is_connected,
        )
        probe = ready_probe(sharing.hosts, adapters.is_connected)
        samples = (
            *adapters.samples(),
            telemetry.sample(adapters.metrics),
            queue_sample(adapters.metrics, adapters.connection, _pools(settings)),
        )
        ops = OpsServer(settings.ops_host, settings.ops_port, probe, adapters.metrics, samples)
        async with ops, asyncio.TaskGroup() as tasks:
            beside = (
                tasks.create_task(keeper.run(), name="artifacts"),
                tasks.create_task(keep_bucket(adapters.connection), name="heartbeats"),
            )
            await own_until(stop, [sharing], adapters.connection.wait_closed)
            for task in beside:
                _ = task.cancel()


def _keeper(
    adapters: OwnerAdapters, vault: PostgresVault, settings: SchedulerSettings
) -> ArtifactKeeper:
    return ArtifactKeeper(
        cache=NatsShelf(adapters.connection),
        vault=vault,
        publisher=NatsPublisher(adapters.connection),
        render=Renderer(KEEPER_SOURCE, SERVICE_ACTOR).render,
        clock=SystemClock(),
        metrics=adapters.metrics,
        retention_days=settings.artifact_days,
        prepare=partial(_prepare_artifacts, adapters, settings),
    )


async def _prepare(adapters: OwnerAdapters, settings: SchedulerSettings) -> None:
    await adapters.prepare()
    await ensure_heartbeats(adapters.connection)
    await _prepare_artifacts(adapters, settings)
    for pool in _pools(settings):
        await ensure_pool(adapters.connection, pool, ack_wait_s=settings.ack_wait_s)


async def _prepare_artifacts(adapters: OwnerAdapters, settings: SchedulerSettings) -> None:
    await ensure_artifacts(adapters.connection, settings.artifact_cache_mb * MIB)


def _pools(settings: SchedulerSettings) -> list[str]:
    return [pool.strip() for pool in settings.pools.split(",")]
