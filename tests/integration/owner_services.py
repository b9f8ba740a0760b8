"""Scheduler and approval service as they compose themselves, run in the test's own process."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from pydantic import SecretStr
from pydantic_core import from_json

from penstock_adapters.embedded.ports import draw_free_port
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.system.clock import SystemClock
from penstock_approval.live import run as run_approval
from penstock_approval.settings import ApprovalSettings
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import Stream
from penstock_scheduler.live import run as run_scheduler
from penstock_scheduler.settings import SchedulerSettings
from penstock_testkit.servers import DatabaseUrls, RealServers

SECRET = "a secret of the schedulers of this test"
GRANT_SEED = base64.b64encode(bytes(range(32))).decode()
WAIT_S = 30.0
LOOK_S = 0.02
TRIAL_LEASE_S = 0.01  # of a lease taken only to see whether it can be
OWNED = "owned"

Run = Callable[[asyncio.Event], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Composed:
    """A service that may be run, and where its health is told.

    Attributes:
        run: serves until the event is set.
        port: of `/health/ready` and `/metrics`.
        urls: its database.
    """

    run: Run
    port: int
    urls: DatabaseUrls


def composed(
    servers: RealServers, user: BusUser, urls: DatabaseUrls | None = None, **more: object
) -> Composed:
    """Compose the scheduler or the approval service from settings.

    Args:
        servers: its bus and its store.
        user: which of the two.
        urls: its database; a fresh one without tables unless given.
        more: settings in place of the usual ones.
    """
    urls = urls or servers.postgres.fresh_database(f"penstock_{user.value}")
    login = servers.nats.login(user)
    given: dict[str, object] = {
        "name": f"{user.value}-1",
        "ops_port": draw_free_port(),
        "nats_url": login.url,
        "nats_user": login.user,
        "nats_password": SecretStr(login.password),
        "nats_inbox_prefix": login.inbox_prefix,
        "postgres_url": SecretStr(urls.service),
        "postgres_owner_url": SecretStr(urls.owner),
        **more,
    }
    if user is BusUser.SCHEDULER:
        for_tasks = {"task_secret": SecretStr(SECRET), **given}
        scheduler = SchedulerSettings.model_validate(for_tasks)
        return Composed(partial(run_scheduler, scheduler), scheduler.ops_port, urls)
    signing = {"grant_key": SecretStr(GRANT_SEED), **given}
    approval = ApprovalSettings.model_validate(signing)
    return Composed(partial(run_approval, approval), approval.ops_port, urls)


@dataclass(frozen=True, slots=True)
class Service:
    """A service at work."""

    port: int
    task: asyncio.Task[None]
    http: aiohttp.ClientSession
    wish: asyncio.Event

    async def stop(self) -> None:
        """Stop it as a signal would; what it raises is raised here."""
        self.wish.set()
        async with asyncio.timeout(WAIT_S):
            await self.task

    async def get(self, path: str) -> tuple[int, bytes]:
        """Give status and body; 0 while nobody listens."""
        try:
            async with self.http.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, await answer.read()
        except aiohttp.ClientConnectionError:
            return 0, b""

    async def checks(self) -> dict[str, str]:
        """Give the detail of each check of `/health/ready`; a service that has ended fails."""
        if self.task.done():
            self.task.result()
            raise AssertionError("the service has ended by itself")
        status, body = await self.get("/health/ready")
        if not status:
            return {}
        checks = from_json(body)["checks"]
        assert (status == 200) is all(check["ok"] for check in checks), body
        return {check["name"]: check["detail"] for check in checks}

    async def until(self, holds: Callable[[dict[str, str]], bool]) -> None:
        """Wait until its checks are so."""
        async with asyncio.timeout(WAIT_S):
            while not holds(await self.checks()):
                await SystemClock().sleep(LOOK_S)

    async def until_owned(self, *partitions: str) -> None:
        """Wait until it is ready, with exactly these partitions."""
        wanted = {"nats": "connected", **dict.fromkeys(partitions, OWNED)}
        await self.until(lambda checks: checks == wanted)


@asynccontextmanager
async def serving(service: Composed) -> AsyncIterator[Service]:
    """Run a service until the end of the context; what it raises is raised here."""
    wish = asyncio.Event()
    async with aiohttp.ClientSession() as http:
        task = asyncio.create_task(service.run(wish))
        running = Service(service.port, task, http, wish)
        try:
            yield running
        finally:
            await running.stop()


@asynccontextmanager
async def bus_as(servers: RealServers, user: BusUser) -> AsyncIterator[NatsConnection]:
    """Connect to the bus with a user's own permissions."""
    login = servers.nats.login(user)
    settings = NatsSettings(login.url, login.user, login.password, login.inbox_prefix)
    connection = await connect(settings)
    try:
        yield connection
    finally:
        await connection.close()


async def held(service: Composed, *partitions: str) -> list[str]:
    """Name those of these partitions that a lease of somebody keeps from another instance."""
    async with PostgresLedger(service.urls.service) as ledger:
        taken = [await ledger.acquire(name, "another", TRIAL_LEASE_S) for name in partitions]
    return [name for name, row in zip(partitions, taken, strict=True) if row is None]


async def consumers(servers: RealServers, *streams: Stream) -> Sequence[int]:
    """Count the consumers of these streams."""
    async with bus_as(servers, BusUser.ADMIN) as admin:
        api = JetStreamApi(admin)
        return [(await api.call(f"STREAM.INFO.{s}"))["state"]["consumer_count"] for s in streams]
