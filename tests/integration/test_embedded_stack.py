"""The one-machine stack with real servers and stand-in services."""

import asyncio
import http.client
import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from penstock_adapters.embedded.detached import supervise
from penstock_adapters.embedded.faults import (
    AlreadyRunningError,
    EmbeddedError,
    StartFailedError,
)
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_roles import all_roles
from penstock_adapters.embedded.processes import Identity
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.status import StackState, read_status
from penstock_adapters.embedded.supervisor import ChildEvent, ChildState
from penstock_adapters.signing import open_signer
from penstock_contracts.permissions import BusUser
from penstock_runtime.grants import read_keys
from penstock_runtime.ports.signing import GrantKey
from penstock_testkit.servers import RealServers
from tests.integration.embedded_supervisor import NAMES, service_argv

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

WITHIN_S = 30.0
CHILDREN = ("nats", "postgres", *NAMES)


def key_of(home: Path) -> GrantKey:
    return open_signer(StateFolder.at(home).grant_key.read_text()).key


class Watcher:
    """Remembers what was reported and lets a test wait for more."""

    def __init__(self) -> None:
        self.events: list[ChildEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: ChildEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, name: str, state: ChildState, restarts: int) -> None:
        def seen() -> bool:
            return any(
                (e.name, e.state) == (name, state) and e.restarts >= restarts for e in self.events
            )

        async with asyncio.timeout(WITHIN_S):
            while not seen():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def running(
    home: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[EmbeddedStack]:
    stack = EmbeddedStack(home, service_argv(), environ=environ)
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a place" / ".penstock"


def environment_of(stack: EmbeddedStack, service: str) -> dict[str, str]:
    """The environment the stand-in says it was given."""
    address = stack.endpoints.ops_urls[service].removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=WITHIN_S)
    try:
        connection.request("GET", "/environment")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_nothing_is_known_before_the_start(home: Path) -> None:
    stack = EmbeddedStack(home, service_argv())
    assert stack.pid("nats") is None
    with pytest.raises(EmbeddedError, match="not been started"):
        _ = stack.endpoints
    assert not home.exists()


async def test_everything_starts_stops_and_starts_again_with_the_same_secrets(home: Path) -> None:
    async with running(home) as stack:
        first = stack.endpoints
        pids = [stack.pid(name) for name in CHILDREN]
        assert all(pids)
        with pytest.raises(AlreadyRunningError, match="penstock down"):
            await EmbeddedStack(home, service_argv()).start()
        assert read_status(stack.folder).state is StackState.READY
    assert not any(Identity.of(pid) for pid in pids if pid)
    assert read_status(stack.folder).state is StackState.STOPPED
    token = stack.folder.admin_token.read_text()
    async with running(home) as again:
        assert again.endpoints == first
        assert again.folder.admin_token.read_text() == token


async def test_the_state_folder_is_closed_and_holds_what_people_need(home: Path) -> None:
    async with running(home) as stack:
        folder = stack.folder
        assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
        for path in (*folder.credentials.iterdir(), *folder.logs.iterdir(), *folder.run.iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE((folder.postgres / "data").stat().st_mode) == 0o700
        trigger = json.loads(folder.trigger_creds.read_text())
        assert trigger["user"] == "trigger"
        assert trigger["url"] == stack.endpoints.logins[BusUser.TRIGGER].url
        auditor = json.loads(folder.auditor_url.read_text())
        assert sorted(auditor) == ["penstock_approval", "penstock_gateway", "penstock_scheduler"]
        assert len(folder.admin_token.read_text().strip()) >= 43


async def test_each_service_is_given_its_own_access_and_no_more(home: Path) -> None:
    inherited = {
        "PATH": os.environ["PATH"],
        "PENSTOCK_TOKEN": "mine",
        "PENSTOCK_LOG_LEVEL": "debug",
    }
    async with running(home, inherited) as stack:
        told = {name: environment_of(stack, name) for name in NAMES}
    scheduler, executor = told["scheduler"], told["executor"]
    assert scheduler["PENSTOCK_NATS_USER"] == "scheduler"
    assert scheduler["PENSTOCK_NATS_INBOX_PREFIX"] == "_INBOX_scheduler"
    assert "penstock_scheduler_service" in scheduler["PENSTOCK_POSTGRES_URL"]
    assert "penstock_scheduler_owner" in scheduler["PENSTOCK_POSTGRES_OWNER_URL"]
    assert len(bytes.fromhex(scheduler["PENSTOCK_TASK_SECRET"])) == 32
    assert "PENSTOCK_POSTGRES_URL" not in executor
    assert [n for n in NAMES if "PENSTOCK_TASK_SECRET" in told[n]] == ["scheduler"]
    assert [n for n in NAMES if "PENSTOCK_GRANT_KEY_FILE" in told[n]] == ["approval"]
    assert [n for n in NAMES if "PENSTOCK_GRANT_KEYS" in told[n]] == ["executor"]
    assert told["approval"]["PENSTOCK_GRANT_KEY_FILE"] == str(stack.folder.grant_key)
    assert read_keys(executor["PENSTOCK_GRANT_KEYS"]) == (key_of(home),)
    assert [n for n in NAMES if "PENSTOCK_ADMIN_TOKEN_FILE" in told[n]] == ["webhook-gateway"]
    assert len({told[name]["PENSTOCK_NATS_PASSWORD"] for name in NAMES}) == len(NAMES)
    for name in NAMES:
        assert told[name]["PENSTOCK_INSTANCE"] == f"{name}-1"
        assert told[name]["PENSTOCK_LOG_LEVEL"] == "debug"
        assert told[name]["PENSTOCK_HOME"] == str(home)
        assert "PENSTOCK_TOKEN" not in told[name]


async def test_whatever_is_killed_comes_back_with_its_data(home: Path) -> None:
    watcher = Watcher()
    stack = EmbeddedStack(home, service_argv(), on_event=watcher)
    await stack.start()
    try:
        url = stack.endpoints.postgres_urls["penstock_scheduler_owner"]
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        for name in CHILDREN:
            pid = stack.pid(name)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await watcher.until(name, ChildState.READY, restarts=1)
            assert stack.pid(name) not in (None, pid)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        counts = {child.name: child.restarts for child in read_status(stack.folder).children}
        assert counts == dict.fromkeys(CHILDREN, 1)
    finally:
        await stack.stop()


async def test_postgres_comes_back_while_clients_hold_connections(home: Path) -> None:
    watcher = Watcher()
    stack = EmbeddedStack(home, {}, on_event=watcher)
    await stack.start()
    try:
        url = stack.endpoints.postgres_urls["penstock_scheduler_owner"]
        with psycopg.connect(url) as busy:
            busy.execute("CREATE TABLE lost AS SELECT 1 AS one")  # never committed
            pid = stack.pid("postgres")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await watcher.until("postgres", ChildState.READY, restarts=1)
            with psycopg.connect(url) as fresh:
                assert fresh.execute("SELECT to_regclass('lost')").fetchone() == (None,)
            busy.close()
    finally:
        await stack.stop()


async def test_two_instances_run_side_by_side(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        assert one.endpoints.gateway_url != two.endpoints.gateway_url
        ours = one.endpoints.logins[BusUser.ADMIN]
        theirs = two.endpoints.logins[BusUser.ADMIN]
        assert ours.url != theirs.url
        assert ours.password != theirs.password


async def test_a_port_that_was_taken_meanwhile_is_replaced(home: Path) -> None:
    async with running(home) as stack:
        before = stack.endpoints.ops_urls["executor"]
    port = int(before.rpartition(":")[2])
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with taken, running(home) as stack:
        assert stack.endpoints.ops_urls["executor"] != before


async def test_a_service_that_cannot_start_is_named_with_its_own_words(home: Path) -> None:
    services = service_argv()
    services["executor"] = service_argv("--fail")["executor"]
    stack = EmbeddedStack(home, services)
    with pytest.raises(StartFailedError, match=r"(?s)executor does not start.*cannot work like"):
        await stack.start()
    status = read_status(stack.folder)
    assert status.state is StackState.FAILED
    assert "executor" in status.fault
    assert stack.pid("nats") is None
    async with running(home):
        pass


async def test_roles_reach_their_own_database_and_the_auditor_only_looks(home: Path) -> None:
    async with running(home) as stack:
        urls = stack.endpoints.postgres_urls
        with psycopg.connect(urls["penstock_approval_owner"]) as owner:
            owner.execute("CREATE TABLE facts (n int)")
            owner.execute("GRANT SELECT ON facts TO auditor")
        with psycopg.connect(stack.endpoints.auditor_urls["penstock_approval"]) as auditor:
            assert auditor.execute("SELECT count(*) FROM facts").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute("INSERT INTO facts VALUES (1)")
        with (
            psycopg.connect(urls["penstock_approval_service"]) as service,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            service.execute("CREATE TABLE mine (n int)")
        own = urls["penstock_approval_service"]
        foreign = own.removesuffix("penstock_approval") + "penstock_scheduler"
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(foreign)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(foreign.replace("_service:", "_service:x"))


async def test_servers_named_in_the_environment_are_used_instead_of_ours(home: Path) -> None:
    with RealServers.started() as outside:
        login = outside.nats.login(BusUser.ADMIN)
        address = login.url.removeprefix("nats://")
        environ = {
            **os.environ,
            "PENSTOCK_NATS_URL": f"nats://admin:{login.password}@{address}",
            "PENSTOCK_POSTGRES_URL": outside.postgres.admin_url,
        }
        # The outside server has these roles already, with passwords of its own: drop them.
        outside.postgres.database.run(
            "DROP DATABASE penstock_scheduler; DROP DATABASE penstock_approval;"
            f"DROP DATABASE penstock_gateway; DROP ROLE {', '.join(all_roles())};"
        )
        async with running(home, environ) as stack:
            assert stack.pid("nats") is None
            assert stack.pid("postgres") is None
            assert not (stack.folder.postgres / "data").exists()
            assert stack.endpoints.logins[BusUser.EXECUTOR].url == login.url
            told = environment_of(stack, "executor")
            assert told["PENSTOCK_NATS_USER"] == "admin"
            assert told["PENSTOCK_NATS_INBOX_PREFIX"] == "_INBOX_executor"
            with psycopg.connect(outside.postgres.admin_url) as admin:
                found = admin.execute("SELECT datname FROM pg_database").fetchall()
            assert ("penstock_gateway",) in found


async def test_a_supervisor_in_the_foreground_ends_on_a_signal(home: Path) -> None:
    watcher = Watcher()
    stack = EmbeddedStack(home, service_argv(), on_event=watcher)
    supervised = asyncio.create_task(supervise(stack))
    await watcher.until("webhook-gateway", ChildState.READY, restarts=0)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(WITHIN_S):
        await supervised
    assert read_status(stack.folder).state in (StackState.STOPPED, StackState.FAILED)
    assert stack.pid("postgres") is None
