"""The stack on servers that it did not start: by the guide's commands, and by what goes wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.processes import Identity
from penstock_adapters.embedded.status import StackState
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.replies import Frame
from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_runtime.ports.bus import Outgoing
from penstock_testkit.detached import DetachedStack
from penstock_testkit.stack import RunningStack
from tests.e2e.outside import INCLUDE, Guide, OutsideNats, OutsideServers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
]

COMMAND_WITHIN_S = 90.0
REFUSED_S = 0.5  # nobody answers a request that the server refuses
SERVICES = ("scheduler", "executor", "approval", "webhook-gateway")
SETTINGS = {"PENSTOCK_SANDBOX": "inline"}
CHAIN = {
    "first": {"agent": "noop", "with": {"sleep_ms": 150}},
    "second": {"agent": "noop", "needs": ["first"], "with": {"sleep_ms": 150}},
}


async def shell(guide: Guide, script: str) -> str:
    """Run a script as a person would; gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", script,
        cwd=guide.home.parent, env=guide.environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_WITHIN_S):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


class GuidedStack(DetachedStack):
    """A stack that is started by a section of the guide, and stopped by `penstock down`."""

    def __init__(self, guide: Guide, section: str) -> None:
        super().__init__(guide.home, guide.settings)
        self._guide = guide
        self._section = section

    async def start(self) -> None:
        await shell(self._guide, self._guide.section(self._section))
        await self._open(self.status().gateway_url)

    async def stop(self) -> None:
        await self._leave()
        await shell(self._guide, "penstock down")


@asynccontextmanager
async def up(stack: RunningStack) -> AsyncGenerator[None]:
    try:
        await stack.start()
        yield
    finally:
        await stack.stop()


@asynccontextmanager
async def connected(login: dict[str, str]) -> AsyncGenerator[NatsConnection]:
    """Log in with a document of credentials as `penstock up` writes it."""
    settings = NatsSettings(login["url"], login["user"], login["password"], login["inbox_prefix"])
    connection = await connect(settings)
    try:
        yield connection
    finally:
        await connection.close()


async def publish_trigger(folder: StateFolder, workflow: str, message_id: str) -> str:
    """Publish a trigger as any program with `trigger.creds` does; gives the id of its run."""
    login = json.loads(folder.trigger_creds.read_text())
    async with connected(login) as bus:
        subject = subjects.trigger("default", f"workflow.{workflow}")
        message = Outgoing("TRIGGERS", subject, b'{"inputs": {}}', message_id)
        await NatsPublisher(bus).publish([message])
    return run_id("default", workflow, f"msg:{message_id}")


def login_of(user: str, folder: StateFolder) -> dict[str, str]:
    secrets = read_object(folder.secrets) or {}
    url = json.loads(folder.trigger_creds.read_text())["url"]
    password = str(secrets[f"nats.{user}"])
    return {"url": url, "user": user, "password": password, "inbox_prefix": f"_INBOX_{user}"}


async def messages_in_events(folder: StateFolder) -> int:
    async with connected(login_of("scheduler", folder)) as bus:
        return (await JetStreamApi(bus).stream_info("EVENTS")).messages


async def assert_the_account_keeps_users_apart(folder: StateFolder) -> None:
    """Who has `trigger.creds`, or an executor's login, can neither read nor write events."""
    assert "nats.admin" not in (read_object(folder.secrets) or {})
    forged = subjects.event("default", "run", "0", "run_succeeded")
    for user in ("trigger", "executor"):
        async with connected(login_of(user, folder)) as bus:
            requests = [Frame("$JS.API.STREAM.INFO.EVENTS", b""), Frame(forged, b"{}")]
            assert await bus.exchange(requests, REFUSED_S) == [None, None]
    async with connected(login_of("scheduler", folder)) as bus:
        assert await JetStreamApi(bus).last_message_on("EVENTS", forged) is None


def stored_events(servers: OutsideServers) -> int:
    with psycopg.connect(servers.postgres.admin_of("penstock_scheduler")) as connection:
        row = connection.execute("SELECT count(*) FROM stored_events").fetchone()
    assert row is not None
    return int(row[0])


def assert_only_services_run(stack: DetachedStack, folder: StateFolder) -> None:
    status = stack.status()
    assert status.state is StackState.READY
    assert [child.name for child in status.children] == list(SERVICES)
    assert sorted(path.stem for path in folder.run.glob("*.pid")) == sorted(SERVICES)
    assert not folder.postgres.exists()
    assert list(folder.nats.iterdir()) == []


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideServers]:
    config = Guide.config().replace(INCLUDE, "")
    with OutsideServers.started(tmp_path_factory.mktemp("theirs"), config) as started:
        yield started


async def test_the_guide_leads_to_runs_that_outlive_the_stack(
    servers: OutsideServers, tmp_path: Path
) -> None:
    guide = Guide(servers, tmp_path / ".penstock", SETTINGS)
    folder = StateFolder.at(guide.home)
    before = servers.pids
    stack = GuidedStack(guide, "4. Start")

    await shell(guide, guide.section("1. Write the credentials"))
    for path in (folder.nats_account, folder.postgres_roles):
        assert path.stat().st_mode & 0o777 == 0o600
    servers.nats.configure(Guide.config())
    await shell(guide, guide.section("2. NATS"))
    await shell(guide, guide.section("3. PostgreSQL"))

    async with up(stack):
        assert_only_services_run(stack, folder)
        await stack.register_builtin()
        await stack.apply("chain", CHAIN)
        first = await publish_trigger(folder, "chain", "one")
        shown = await stack.ended(first)
        assert shown["run"]["status"] == "succeeded"
        await assert_the_account_keeps_users_apart(folder)
        everyone = stack.everyone()
    assert not any(one.alive() for one in everyone)
    assert servers.pids == before
    assert all(Identity.of(pid) for pid in before)
    events, messages = stored_events(servers), await messages_in_events(folder)
    assert events > 10
    assert messages >= events

    async with up(stack):
        assert_only_services_run(stack, folder)
        again = await stack.ended(first)
        assert again["state_hash"] == shown["state_hash"]
        assert await publish_trigger(folder, "chain", "one") == first
        second = await publish_trigger(folder, "chain", "two")
        assert (await stack.ended(second))["run"]["status"] == "succeeded"
        listed = await stack.get("/api/runs?workflow=chain")
        assert {item["run_id"] for item in listed["items"]} == {first, second}
        assert stack.chain_fault("run-0") is None
    assert servers.pids == before
    assert stored_events(servers) > events


ONE_LOGIN = """
jetstream { store_dir: "STORE/js" }
authorization { user: "penstock", password: "PASSWORD" }
"""


async def test_with_logins_in_the_urls_a_run_survives_the_death_of_both_servers(
    tmp_path: Path,
) -> None:
    with OutsideServers.started(tmp_path / "theirs", ONE_LOGIN) as servers:
        guide = Guide(servers, tmp_path / "a place" / ".penstock", SETTINGS)
        guide.home.parent.mkdir()
        folder = StateFolder.at(guide.home)
        stack = GuidedStack(guide, "With a login in the URL")
        async with up(stack):
            assert_only_services_run(stack, folder)
            assert not folder.nats_account.exists()
            assert not folder.postgres_roles.exists()
            services = stack.everyone()
            await stack.register_builtin()
            await stack.apply("chain", CHAIN)
            for victim in (servers.nats, servers.postgres):
                run = await publish_trigger(folder, "chain", f"{victim.pid}")

                async def begun(run: str = run) -> bool:
                    return len(stack.stored(run)) > 3

                await stack.until(begun)
                victim.kill()
                victim.start()
                assert (await stack.ended(run))["run"]["status"] == "succeeded"
                assert stack.chain_fault("run-0") is None
            assert services[0].alive()
            assert_only_services_run(stack, folder)
        async with up(stack):
            listed = await stack.get("/api/runs?workflow=chain")
            assert len(listed["items"]) == 2


ENCRYPTED = (
    ONE_LOGIN
    + """
tls { cert_file: "STORE/certificate.pem", key_file: "STORE/key.pem" }
"""
)


def certify(folder: Path) -> Path:
    """Make a certificate of its own authority for the loopback address."""
    certificate = folder / "certificate.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=theirs"
    subprocess.run(
        ["openssl", *options.split(), "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(certificate)],
        check=True, capture_output=True, timeout=COMMAND_WITHIN_S,
    )  # fmt: skip
    return certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_over_tls_beside_a_postgresql_of_our_own(tmp_path: Path) -> None:
    nats = OutsideNats(tmp_path / "theirs", ENCRYPTED)
    environ = {
        **SETTINGS,
        "SSL_CERT_FILE": str(certify(nats.folder)),
        "PENSTOCK_NATS_URL": nats.login_url("penstock", "PASSWORD").replace("nats:", "tls:"),
    }
    stack = DetachedStack(tmp_path / "home", environ)
    nats.start()
    try:
        async with up(stack):
            assert [child.name for child in stack.status().children] == ["postgres", *SERVICES]
            await stack.register_builtin()
            await stack.apply("chain", CHAIN)
            shown = await stack.ended(await stack.trigger("chain"))
            assert shown["run"]["status"] == "succeeded"
        assert nats.running
    finally:
        nats.kill()
