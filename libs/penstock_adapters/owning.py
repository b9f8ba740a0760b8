"""Opening the real adapters of a service that owns partitions."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_streams
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.sampling import connection_sample, open_sample, store_sample, stream_sample
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_adapters.system.vitals import Sample
from penstock_adapters.wrappers.tracing.owner import traced
from penstock_contracts.subjects import Stream
from penstock_runtime.dispatch import Renderer
from penstock_runtime.owner import Parts, one_partition
from penstock_runtime.ports.inbox import Source
from penstock_runtime.ports.keeping import Keeper, NoKeeper
from penstock_runtime.settings import NatsSettings as BusSettings
from penstock_runtime.settings import PostgresSettings, StreamOwnerSettings
from penstock_runtime.telemetry.metrics import NATS_ERRORS
from penstock_runtime.telemetry.spans import NoSpans, Spans

AUDITOR_ROLE = "auditor"


def bus_settings(settings: BusSettings, name: str) -> NatsSettings:
    """Give the connection's settings from the service's."""
    password = settings.nats_password
    return NatsSettings(
        url=settings.nats_url,
        user=settings.nats_user,
        password=password.get_secret_value() if password is not None else None,
        inbox_prefix=settings.nats_inbox_prefix,
        name=name,
        replicas=settings.nats_replicas if isinstance(settings, StreamOwnerSettings) else None,
    )


def migrate_store(settings: PostgresSettings, schema: Schema) -> None:
    """Bring the database to this program's tables, if the owner's URL is given."""
    if settings.postgres_owner_url is None:
        return
    role = urlsplit(settings.postgres_url.get_secret_value()).username or ""
    migrate(settings.postgres_owner_url.get_secret_value(), role, AUDITOR_ROLE, schema)


@dataclass(frozen=True, slots=True)
class OwnerAdapters:
    """What all partitions of one process share."""

    connection: NatsConnection
    ledger: PostgresLedger
    streams: Collection[Stream]
    metrics: PrometheusMetrics
    spans: Spans

    def is_connected(self) -> bool:
        """Tell whether the bus can be reached."""
        return self.connection.is_connected

    def samples(self) -> Sequence[Sample]:
        """Give the gauges of what is owned here."""
        return (
            connection_sample(self.metrics, self.is_connected),
            stream_sample(self.metrics, self.connection, self.streams),
            store_sample(self.metrics, self.ledger),
            open_sample(self.metrics, self.ledger),
        )

    async def prepare(self) -> None:
        """See to it that the owned streams exist.

        Raises:
            TransientFault: the server does not answer.
        """
        await ensure_streams(self.connection, self.streams)

    def parts(
        self,
        sources: Sequence[Source],
        renderer: Renderer,
        run_partitions: Callable[[], int] = one_partition,
        keeper: Keeper | None = None,
    ) -> Parts:
        """Give the wiring of one epoch; its inbox is its own."""
        parts = Parts(
            ledger=self.ledger,
            reader=self.ledger,
            index=self.ledger,
            inbox=NatsInbox(self.connection, sources),
            sources=sources,
            publisher=NatsPublisher(self.connection),
            relay_log=NatsRelayLog(self.connection),
            renderer=renderer,
            clock=SystemClock(),
            metrics=self.metrics,
            run_partitions=run_partitions,
            keeper=keeper or NoKeeper(),
        )
        return parts if isinstance(self.spans, NoSpans) else traced(parts, self.spans)


@asynccontextmanager
async def open_owner(
    bus: NatsSettings, store: PostgresSettings, streams: Collection[Stream], spans: Spans
) -> AsyncGenerator[OwnerAdapters]:
    """Connect to bus and store, and leave both in order.

    Raises:
        TransientFault: one of them does not answer.
    """
    metrics = PrometheusMetrics(spans)
    connection = await connect(
        bus, on_error=lambda error: metrics.add(NATS_ERRORS, type(error).__name__)
    )
    try:
        async with PostgresLedger(store.postgres_url.get_secret_value()) as ledger:
            yield OwnerAdapters(connection, ledger, streams, metrics, spans)
    finally:
        await connection.close()
