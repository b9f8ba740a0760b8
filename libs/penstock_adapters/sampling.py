"""Gauges of what a service owns: its connection, its streams, its queue and its database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import JetStreamApi, RefusedError
from penstock_adapters.nats.work import durable_of
from penstock_adapters.system.vitals import Sample
from penstock_contracts.subjects import Stream
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.faults import TransientFault
from penstock_runtime.telemetry.metrics import (
    APPROVAL_OLDEST,
    APPROVALS_WAITING,
    DATABASE_BYTES,
    NATS_CONNECTED,
    OPEN_AGGREGATES,
    STORE_CALLS,
    STORE_CONNECTIONS,
    STREAM_BYTES,
    STREAM_LIMIT,
    STREAM_MESSAGES,
    TASKS_IN_FLIGHT,
    TASKS_QUEUED,
    Metrics,
)

if TYPE_CHECKING:  # an executor has no database, and its driver takes long to load
    from penstock_adapters.postgres.ledger import PostgresLedger
    from penstock_adapters.postgres.projection import PostgresProjection
    from penstock_adapters.postgres.threads import DatabaseThreads


class Store(Protocol):
    """What both kinds of database tell of themselves."""

    @property
    def pools(self) -> Mapping[str, DatabaseThreads]:
        """Pools of connections, by name."""
        ...

    async def size_bytes(self) -> int:
        """Size on disk."""
        ...


def connection_sample(metrics: Metrics, connected: Callable[[], bool]) -> Sample:
    """Give a sample of the connection to the bus."""

    async def sample() -> None:
        metrics.set(NATS_CONNECTED, float(connected()))

    return sample


def stream_sample(
    metrics: Metrics, connection: NatsConnection, streams: Collection[Stream]
) -> Sample:
    """Give a sample of owned streams: how much they hold, and may hold."""
    api = JetStreamApi(connection)

    async def sample() -> None:
        for stream in sorted(streams):
            try:
                info = await api.stream_info(stream.value)
            except RefusedError as refusal:
                raise TransientFault(str(refusal)) from None
            metrics.set(STREAM_MESSAGES, info.messages, stream.value)
            metrics.set(STREAM_BYTES, info.stored_bytes, stream.value)
            metrics.set(STREAM_LIMIT, max(int(info.config["max_bytes"]), 0), stream.value)

    return sample


def queue_sample(metrics: Metrics, connection: NatsConnection, pools: Sequence[str]) -> Sample:
    """Give a sample of the queue of tasks, by pool; for the owner of TASKS."""
    api = JetStreamApi(connection)

    async def sample() -> None:
        for pool in pools:
            try:
                info = await api.call(f"CONSUMER.INFO.{Stream.TASKS.value}.{durable_of(pool)}")
            except RefusedError as refusal:
                raise TransientFault(str(refusal)) from None
            metrics.set(TASKS_QUEUED, int(info["num_pending"]), pool)
            metrics.set(TASKS_IN_FLIGHT, int(info["num_ack_pending"]), pool)

    return sample


def store_sample(metrics: Metrics, store: Store) -> Sample:
    """Give a sample of a database: its size, and how busy its connections are."""

    async def sample() -> None:
        for name, pool in store.pools.items():
            metrics.set(STORE_CALLS, pool.calls, name)
            metrics.set(STORE_CONNECTIONS, pool.threads, name)
        metrics.set(DATABASE_BYTES, await store.size_bytes())

    return sample


def open_sample(metrics: Metrics, ledger: PostgresLedger) -> Sample:
    """Give a sample of open aggregates by partition; one that had some and has none shows 0."""
    known: set[str] = set()

    async def sample() -> None:
        counts = await ledger.open_counts()
        known.update(counts, await ledger.partitions())
        for partition in known:
            metrics.set(OPEN_AGGREGATES, counts.get(partition, 0), partition)

    return sample


def approvals_sample(
    metrics: Metrics, views: PostgresProjection, kind: str, pending: str
) -> Sample:
    """Give a sample of the approvals that people have not settled, and since when."""

    async def sample() -> None:
        count, oldest_us = await views.waiting(kind, pending)
        metrics.set(APPROVALS_WAITING, count)
        metrics.set(APPROVAL_OLDEST, oldest_us / MICROSECONDS)

    return sample
