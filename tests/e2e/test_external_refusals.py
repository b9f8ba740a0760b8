"""Servers of one's own that do not fit: each is named by its variable before anything starts."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.embedded.faults import OutsideServerError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.status import StackState, read_status
from penstock_adapters.nats.connection import NatsSettings, connect
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_testkit.sandbox_probes import processes_marked
from tests.e2e.outside import ADMINISTRATOR, OutsideServers

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.timeout(90)]

COMMAND_WITHIN_S = 60.0
# The accounts of one server: what Penstock may find instead of its own.
CONFIG = """
jetstream { store_dir: "STORE/js" }
accounts {
  WITHOUT { users: [{user: "without", password: "hidden"}] }
  SMALL { jetstream: {max_file: 1G, max_memory: 1G}, users: [{user: "small", password: "hidden"}] }
  BUSY { jetstream: enabled, users: [{user: "busy", password: "hidden"}] }
  FULL { jetstream: enabled, users: [{user: "full", password: "hidden"}] }
  MUTE {
    jetstream: enabled
    users: [{user: "mute", password: "hidden", permissions: {publish: "apps.>"}}]
  }
}
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideServers]:
    with OutsideServers.started(tmp_path_factory.mktemp("theirs"), CONFIG) as started:
        yield started


async def refusal(home: Path, nats: str = "", postgres: str = "") -> str:
    """What a start says; nothing of it runs afterwards, and nothing was started before."""
    given = {"PENSTOCK_NATS_URL": nats, "PENSTOCK_POSTGRES_URL": postgres}
    stack = EmbeddedStack(home, {}, environ=os.environ | given)
    with pytest.raises(OutsideServerError) as caught:
        await stack.start()
    status = read_status(stack.folder)
    assert status.state is StackState.FAILED
    assert status.fault == str(caught.value)
    assert status.children == ()
    assert "hidden" not in status.fault
    return status.fault


async def test_nobody_listens(tmp_path: Path) -> None:
    text = await refusal(tmp_path / "home", nats=f"nats://a:hidden@{LOOPBACK}:1")
    assert text.startswith("PENSTOCK_NATS_URL: cannot connect to the bus at 127.0.0.1:1 as a: ")
    assert "Start nats-server there" in text
    text = await refusal(tmp_path / "home", postgres=f"postgresql://a:hidden@{LOOPBACK}:1/postgres")
    assert text.startswith("PENSTOCK_POSTGRES_URL: a at 127.0.0.1:1/postgres: ")
    assert "Connection refused. Start PostgreSQL there" in text


async def test_the_bus_refuses_the_login(servers: OutsideServers, tmp_path: Path) -> None:
    text = await refusal(tmp_path / "home", nats=servers.nats.login_url("small", "hidden-not"))
    assert text.startswith("PENSTOCK_NATS_URL: ")
    assert "as small: nats: 'Authorization Violation'" in text
    assert "nats-account.conf" not in text


async def test_the_bus_does_not_include_the_account(
    servers: OutsideServers, tmp_path: Path
) -> None:
    folder = StateFolder.at(tmp_path / "home")
    text = await refusal(folder.root, nats=servers.nats.url)
    assert text.startswith("PENSTOCK_NATS_URL: ")
    assert "as scheduler: nats: 'Authorization Violation'" in text
    assert f"are in {folder.nats_account}: include it" in text
    assert "user" in folder.nats_account.read_text()


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("without", "JetStream not enabled for account"),
        ("mute", "may this user publish there?"),
        ("small", "insufficient storage resources available (10047). Bounded streams reserve 6.25"),
    ],
)
async def test_the_account_will_not_do(
    servers: OutsideServers, tmp_path: Path, user: str, reason: str
) -> None:
    text = await refusal(tmp_path / "home", nats=servers.nats.login_url(user, "hidden"))
    assert text.startswith(f"PENSTOCK_NATS_URL: as {user}: ")
    assert reason in text


@pytest.mark.parametrize(
    ("user", "stream", "subject", "reason"),
    [
        (
            "busy",
            "EVENTS",
            "orders.>",
            "a stream EVENTS that is not Penstock's (it holds orders.>)",
        ),
        ("full", "ALL", ">", "subjects overlap with an existing stream"),
    ],
)
async def test_a_strangers_stream_stays_as_it_is(
    servers: OutsideServers, tmp_path: Path, user: str, stream: str, subject: str, reason: str
) -> None:
    connection = await connect(NatsSettings(servers.nats.url, user, "hidden"))
    try:
        api = JetStreamApi(connection)
        settings = {"name": stream, "subjects": [subject], "no_ack": subject == ">"}
        await api.call(f"STREAM.CREATE.{stream}", settings)
        before = (await api.stream_info(stream)).config
        text = await refusal(tmp_path / "home", nats=servers.nats.login_url(user, "hidden"))
        assert text.startswith(f"PENSTOCK_NATS_URL: as {user}: ")
        assert reason in text
        assert (await api.stream_info(stream)).config == before
    finally:
        await connection.close()


@asynccontextmanager
async def older_nats(version: str) -> AsyncGenerator[str]:
    """What an older nats-server says; gives its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"x","version":"%s","max_payload":1}\r\n' % version.encode()
        )
        async for line in reader:
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
                await writer.drain()
        writer.close()

    port = draw_free_port()
    async with await asyncio.start_server(answer, LOOPBACK, port):
        yield f"nats://a:hidden@{LOOPBACK}:{port}"


async def test_the_bus_is_too_old(tmp_path: Path) -> None:
    async with older_nats("2.11.9") as url:
        text = await refusal(tmp_path / "home", nats=url)
    assert text == (
        "PENSTOCK_NATS_URL: as a: nats-server 2.12 or later is needed, this one is 2.11"
    )


async def test_the_store_refuses_the_login(servers: OutsideServers, tmp_path: Path) -> None:
    url = servers.postgres.login_url.replace("own@", "hidden@")
    text = await refusal(tmp_path / "home", postgres=url)
    assert text.startswith(f"PENSTOCK_POSTGRES_URL: {ADMINISTRATOR} at ")
    assert f'password authentication failed for user "{ADMINISTRATOR}"' in text


async def test_the_administrator_may_not_create(servers: OutsideServers, tmp_path: Path) -> None:
    servers.postgres.database.run("CREATE ROLE guest LOGIN PASSWORD 'hidden';\n")
    url = f"postgresql://guest:hidden@{servers.postgres.place}"
    text = await refusal(tmp_path / "home", postgres=url)
    assert text.startswith("PENSTOCK_POSTGRES_URL: PostgreSQL refused the set-up: ")
    assert "permission denied to create role" in text


async def test_the_roles_are_absent_or_anothers(servers: OutsideServers, tmp_path: Path) -> None:
    home, other = StateFolder.at(tmp_path / "home"), tmp_path / "other"
    text = await refusal(home.root, postgres=servers.postgres.url)
    assert text.startswith("PENSTOCK_POSTGRES_URL: penstock_scheduler_owner at ")
    assert f"`psql -X -f {home.postgres_roles}`" in text

    servers.postgres.database.run(home.postgres_roles.read_text())
    stack = EmbeddedStack(
        home.root, {}, environ=os.environ | {"PENSTOCK_POSTGRES_URL": servers.postgres.url}
    )
    await stack.start()
    await stack.stop()

    text = await refusal(other, postgres=servers.postgres.admin_url)
    assert "password authentication failed" in text
    assert "if another state folder created it, use that folder" in text


@pytest.mark.parametrize("how", [[], ["--detach"]], ids=["foreground", "background"])
async def test_the_command_says_so_and_leaves_nothing(tmp_path: Path, how: list[str]) -> None:
    home = tmp_path / "a place" / ".penstock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "penstock_cli", "up", *how,
        env={**os.environ, "PENSTOCK_HOME": str(home), "PENSTOCK_NATS_URL": "nats://127.0.0.1:1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_WITHIN_S):
        told, _ = await process.communicate()
    assert process.returncode == 1, told
    words = " ".join(told.decode().split())
    assert "PENSTOCK_NATS_URL: cannot connect to the bus at 127.0.0.1:1 as scheduler" in words
    assert "Traceback" not in words
    assert processes_marked(str(home)) == []
