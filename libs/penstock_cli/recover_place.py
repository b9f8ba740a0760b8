"""The stores and the bus of a state folder, opened while no service runs: what tools work on."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, cast

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import BusLogin
from penstock_adapters.embedded.postgres_roles import AUDITOR, owner_of, service_of
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_adapters.embedded.stack import EmbeddedStack, Endpoints
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.jetstream import STREAM_NOT_FOUND, JetStreamApi, RefusedError
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_streams
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import migrate
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_adapters.system.clock import SystemClock
from penstock_cli.access import Access
from penstock_cli.databases import APPROVAL, GATEWAY, SCHEDULER, SCHEMAS
from penstock_cli.doctor.reach import place_of
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.services import part_of_service
from penstock_cli.stack_view import told
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    Stream,
    run_partition,
)
from penstock_runtime.faults import PenstockFault, StoreRolledBack
from penstock_runtime.ports.bus import RelayLog
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Inbox
from penstock_runtime.ports.projection import FollowedStore, ViewReader
from penstock_runtime.recovering_place import EVENTS_SOURCE, Place, StillServed, Store
from penstock_runtime.telemetry.metrics import Metrics, NoMetrics

OWNERS: Mapping[str, tuple[str, BusUser]] = {
    SCHEDULER: ("scheduler", BusUser.SCHEDULER),
    APPROVAL: ("approval", BusUser.APPROVAL),
}
FOUNDING: Mapping[str, tuple[str, ...]] = {
    SCHEDULER: (CATALOG_PARTITION, run_partition(0)),
    APPROVAL: (APPROVAL_PARTITION,),
}
NAME = "penstock-recover"
NEXT_URL: Final = re.compile(r",(?=[a-z]+://)")  # several servers of NATS


class Folding(Protocol):
    """What the gateway offers to whoever folds its read model."""

    async def fold(
        self, instance: str, store: FollowedStore, reader: ViewReader, inbox: Inbox,
        clock: Clock, metrics: Metrics,
    ) -> Mapping[str, int]:  # fmt: skip
        """Apply everything that the inbox gives."""
        ...

    async def hashes(
        self, reader: ViewReader, tenant: str, run_ids: list[str]
    ) -> Mapping[str, str]:
        """Give the hash of each run that the read model has."""
        ...


@dataclass(frozen=True, slots=True)
class OpenPlace:
    """What tools work on.

    Attributes:
        place: the same, as the runtime sees it.
        logs: EVENTS as each store's relay may write it.
        views: the gateway's read model.
    """

    endpoints: Endpoints
    place: Place
    logs: Mapping[str, RelayLog]
    views: PostgresProjection


def stores_of(folder: StateFolder, environ: Mapping[str, str] = os.environ) -> str:
    """Say whose stores a question is about; a login is never shown."""
    return _whose(folder, environ.get(POSTGRES_URL_VARIABLE, ""))


def events_of(folder: StateFolder, environ: Mapping[str, str] = os.environ) -> str:
    """Say whose EVENTS a question is about; a login is never shown."""
    return _whose(folder, environ.get(NATS_URL_VARIABLE, ""))


def _whose(folder: StateFolder, url: str) -> str:
    """Give the folder, or the servers that a URL names: of several hosts, too."""
    if not url:
        return f"of {folder.root}"
    return "at " + ", ".join(place_of(one) for one in NEXT_URL.split(url))


def state_folder(access: Access) -> StateFolder:
    """Give the state folder, which must be there.

    Raises:
        CliFault: it is not.
    """
    folder = StateFolder.at(access.home)
    if not folder.secrets.is_file():
        raise CliFault(
            f"{folder.root} is no state folder: it holds no credentials",
            "name it with --home or PENSTOCK_HOME",
            ExitCode.UNREACHABLE,
        )
    return folder


@asynccontextmanager
async def servers(folder: StateFolder) -> AsyncGenerator[Endpoints]:
    """Run the folder's servers without any service, or use those that the environment names.

    Raises:
        CliFault: a stack runs on the folder, or a server does not start or answer.
    """
    stack = EmbeddedStack(folder.root, {}, environ=os.environ)
    with told(folder):
        await stack.start()
    try:
        yield stack.endpoints
    finally:
        await stack.stop()


@asynccontextmanager
async def opened(folder: StateFolder) -> AsyncGenerator[OpenPlace]:
    """Open everything; the tables are brought to this program's first.

    Raises:
        CliFault: a stack runs on the folder, or a server does not answer.
    """
    with faults_told():
        async with servers(folder) as endpoints, AsyncExitStack() as stack:
            prepare_tables(endpoints)
            stores: list[Store] = []
            logs: dict[str, RelayLog] = {}
            reading: NatsConnection | None = None
            for database, (name, user) in OWNERS.items():
                url = endpoints.postgres_urls[service_of(database)]
                ledger = await stack.enter_async_context(PostgresLedger(url))
                stores.append(Store(name, ledger, ledger, ledger, FOUNDING[database]))
                connection = await _connected(stack, endpoints.logins[user])
                logs[name] = NatsRelayLog(connection)
                reading = reading or connection
            assert reading is not None  # noqa: S101 - there are owners
            await _ensure_events(reading)
            views = await stack.enter_async_context(
                PostgresProjection(endpoints.postgres_urls[service_of(GATEWAY)])
            )
            owner = reading
            place = Place(
                stores, lambda: NatsInbox(owner, (EVENTS_SOURCE,)), (views,), SystemClock(),
                NoMetrics(),
            )  # fmt: skip
            yield OpenPlace(endpoints, place, logs, views)


def prepare_tables(endpoints: Endpoints) -> None:
    """Bring every database to this program's tables."""
    for database, schemas in SCHEMAS.items():
        for schema in schemas:
            owner = endpoints.postgres_urls[owner_of(database)]
            _ = migrate(owner, service_of(database), AUDITOR, schema)


async def _connected(stack: AsyncExitStack, login: BusLogin) -> NatsConnection:
    settings = NatsSettings(
        url=login.url,
        user=login.user,
        password=login.password,
        inbox_prefix=login.inbox_prefix,
        name=NAME,
    )
    connection = await connect(settings)
    stack.push_async_callback(connection.close)
    return connection


async def _ensure_events(connection: NatsConnection) -> None:
    """Create EVENTS if it is not there; what it holds, and how, is not touched."""
    try:
        _ = await JetStreamApi(connection).stream_info(Stream.EVENTS)
    except RefusedError as refused:
        if refused.err_code != STREAM_NOT_FOUND:
            raise
        _ = await ensure_streams(connection, (Stream.EVENTS,))


class faults_told:  # noqa: N801 - used as a function is, `with faults_told():`
    """Turns faults of the runtime into those of the command."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Tell what was raised."""
        match error:
            case StillServed():
                mend = "stop every service first: `penstock down`, or your own deployment's way"
                raise CliFault(f"{error}", mend) from error
            case StoreRolledBack():
                raise CliFault(f"{error}", "`penstock recover --dry-run`") from error
            case PenstockFault():
                raise CliFault(f"{error}", "", ExitCode.UNREACHABLE) from error
            case _:
                pass


def folding() -> Folding:
    """Give what the installed gateway offers.

    Raises:
        CliFault: none is installed.
    """
    part = part_of_service("webhook-gateway", "rebuilding")
    if part is None:
        raise CliFault("no gateway is installed here", "", ExitCode.NOT_FOUND)
    return cast("Folding", part)
