"""Faults of NATS and PostgreSQL, and of what stands in them: seeded on real servers and explained.

One pair of servers serves all cases; each puts back what it broke, mostly by the command that
the doctor named.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.embedded.credentials import nats_secret, postgres_secret
from penstock_adapters.embedded.home import write_private
from penstock_adapters.embedded.nats_server import (
    find_nats_server,
    jetstream_greets,
    permission_rules,
)
from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.embedded.processes import wait_until
from penstock_cli.doctor.codes import Code, Grade
from penstock_contracts.permissions import BusUser, permission_table
from tests.integration.doctor_scene import machine
from tests.integration.doctor_servers import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

SCHEDULER = "penstock_scheduler"
SERVICE = "penstock_scheduler_service"


async def test_servers_that_are_well_have_no_finding(bench: Bench):
    found = await bench.shows(set())
    secrets = json.loads(bench.folder.secrets.read_text()).values()
    assert not any(secret in found.text() for secret in secrets)


async def test_a_clock_that_is_off_is_named(bench: Bench):
    given = machine()
    slow = machine(now_us=lambda: given.now_us() - 600_000_000)
    found = await bench.shows({Code.CLOCK_OFF}, more={"machine": slow})
    assert "timedatectl" in found.one(Code.CLOCK_OFF, "PostgreSQL").mend


# --- where the servers are ----------------------------------------------------------------------


def closed_port() -> str:
    return f"{LOOPBACK}:{draw_free_port()}"


@pytest.mark.parametrize(
    ("variable", "value", "code", "mend"),
    [
        ("PENSTOCK_NATS_URL", "http://bus", Code.BUS_URL_INVALID, "nats://host:4222"),
        ("PENSTOCK_POSTGRES_URL", "db:5432", Code.STORE_URL_INVALID, "postgresql://host:5432"),
    ],
)
async def test_an_address_that_is_none_is_named(
    bench: Bench, variable: str, value: str, code: Code, mend: str
):
    found = await bench.finds(code, **{variable: value})
    assert mend in found.one(code, variable).mend


async def test_servers_that_do_not_answer_are_named(bench: Bench):
    bus, store = closed_port(), closed_port()
    found = await bench.shows(
        {Code.BUS_UNREACHABLE, Code.STORE_UNREACHABLE},
        PENSTOCK_NATS_URL=f"nats://{bus}",
        PENSTOCK_POSTGRES_URL=f"postgresql://{store}",
    )
    assert "PENSTOCK_NATS_URL" in found.one(Code.BUS_UNREACHABLE, bus).mend
    assert "PENSTOCK_POSTGRES_URL" in found.one(Code.STORE_UNREACHABLE, store).mend


async def test_one_server_of_a_cluster_that_is_away_is_no_outage(bench: Bench):
    away = closed_port()
    found = await bench.shows(
        {Code.BUS_UNREACHABLE}, PENSTOCK_NATS_URL=f"{bench.servers.nats.url},nats://{away}"
    )
    assert found.one(Code.BUS_UNREACHABLE, away).grade is Grade.WEAK


async def test_a_gateway_elsewhere_that_does_not_answer_is_named(bench: Bench):
    url = f"http://{closed_port()}"
    found = await bench.shows({Code.SERVICE_SILENT}, more={"url": url})
    assert "PENSTOCK_URL" in found.one(Code.SERVICE_SILENT, url).mend


def with_other(bench: Bench, root: Path, **secrets: str) -> Path:
    """A state folder like the bench's, with other secrets."""
    home = root / "other"
    shutil.copytree(bench.folder.root, home, ignore=shutil.ignore_patterns("nats", "postgres"))
    known: dict[str, Any] = json.loads(bench.folder.secrets.read_text())
    write_private(home / "credentials/secrets.json", json.dumps(known | secrets))
    return home


async def test_a_login_that_the_bus_refuses_is_named(bench: Bench, tmp_path: Path):
    wrong = {nats_secret("scheduler"): "not the word"}
    found = await bench.shows({Code.BUS_LOGIN_REFUSED}, with_other(bench, tmp_path, **wrong))
    finding = found.one(Code.BUS_LOGIN_REFUSED, "user scheduler")
    assert "nats-account.conf" in finding.mend
    assert "not the word" not in found.text()


async def test_a_login_that_the_store_refuses_gets_its_password_again(bench: Bench):
    bench.sql(f"ALTER ROLE {SERVICE} PASSWORD 'another'")
    try:
        found = await bench.shows({Code.STORE_LOGIN_REFUSED})
        finding = found.one(Code.STORE_LOGIN_REFUSED, f"role {SERVICE}")
        assert f"\\password {SERVICE}" in finding.mend
        assert postgres_secret(SERVICE) in finding.mend
    finally:  # as psql's \password does, which asks a terminal
        password = bench.secrets[postgres_secret(SERVICE)]
        bench.sql(f"ALTER ROLE {SERVICE} PASSWORD '{password}'")
    await bench.shows(set())


async def test_one_login_for_all_services_is_no_secret(bench: Bench):
    login = bench.servers.nats.login(BusUser.ADMIN)
    url = bench.servers.nats.url.replace("//", f"//{login.user}:{login.password}@")
    found = await bench.shows({Code.BUS_LOGIN_SHARED}, PENSTOCK_NATS_URL=url)
    finding = found.one(Code.BUS_LOGIN_SHARED)
    assert finding.grade is Grade.WEAK
    assert "nats-account.conf" in finding.mend
    assert login.password not in found.text()


# --- a server of NATS that will not do ------------------------------------------------------------


class BadNats:
    """A nats-server with a configuration of its own."""

    def __init__(self, root: Path, config: str) -> None:
        self.port = draw_free_port()
        self._file = root / "nats-server.conf"
        self._pid = root / "nats-server.pid"
        self._root = root
        self.configure(config)
        self._process = subprocess.Popen(
            [str(find_nats_server()), "--config", str(self._file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert wait_until(self._pid.is_file, 60.0)

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def configure(self, config: str) -> None:
        own = f'listen: "{LOOPBACK}:{self.port}"\npid_file: "{self._pid}"\n'
        self._file.write_text(own + config.replace("STORE", str(self._root)))

    def reload(self) -> None:
        command = [str(find_nats_server()), "--signal", f"reload={self._pid}"]
        subprocess.run(command, check=True, timeout=60.0)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(60.0)


@asynccontextmanager
async def bad_nats(root: Path, config: str) -> AsyncGenerator[BadNats]:
    server = await asyncio.to_thread(BadNats, root, config)
    try:
        yield server
    finally:
        server.end()


def account(bench: Bench, **others: Any) -> str:
    """Our account with other rights for some users."""
    users: list[dict[str, Any]] = []
    for user, rights in permission_table().items():
        if user is not BusUser.ADMIN:
            users.append({
                "user": user.value, "password": bench.secrets[nats_secret(user.value)],
                "permissions": others.get(user.value, permission_rules(rights)),
            })  # fmt: skip
    return f"accounts {{ PENSTOCK {{ jetstream: enabled, users: {json.dumps(users)} }} }}\n"


SMALL = 'max_payload: 65536\njetstream { store_dir: "STORE/js" }\n'


async def test_rights_that_are_not_ours_are_mended_by_our_account(bench: Bench, tmp_path: Path):
    rights = permission_table()[BusUser.SCHEDULER]
    fewer = [pattern for pattern in rights.publish if not pattern.endswith("STREAM.INFO.RUNS")]
    rules = permission_rules(rights)
    config = SMALL + account(
        bench,
        scheduler=rules | {"publish": rules["publish"] | {"allow": fewer}},
        trigger={"publish": [">"], "subscribe": [">"]},
    )
    async with bad_nats(tmp_path, config) as server:
        environ: dict[str, Any] = {"PENSTOCK_NATS_URL": server.url}
        found = await bench.finds(
            Code.BUS_RIGHTS_MISSING, Code.BUS_RIGHTS_EXCESS, Code.BUS_PAYLOAD_SMALL, **environ
        )
        lacking = found.one(Code.BUS_RIGHTS_MISSING, "user scheduler")
        assert "RUNS" in lacking.detail
        excess = found.one(Code.BUS_RIGHTS_EXCESS, "user trigger")
        small = found.one(Code.BUS_PAYLOAD_SMALL, str(server.port))
        assert "65536" in small.detail
        assert small.grade is Grade.BROKEN
        assert "max_payload: 12582912" in small.mend
        for finding in (lacking, excess):
            assert "nats-account.conf" in finding.mend
            assert "reload" in finding.mend
        shutil.copy(bench.folder.nats_account, tmp_path)
        server.configure(
            SMALL.replace("65536", "12582912") + "accounts { include ./nats-account.conf }\n"
        )
        server.reload()
        wrong = {Code.BUS_RIGHTS_MISSING, Code.BUS_RIGHTS_EXCESS, Code.BUS_PAYLOAD_SMALL}
        await bench.until(lambda later: not later.codes & wrong, **environ)


async def test_a_server_without_jetstream_is_named(bench: Bench, tmp_path: Path):
    async with bad_nats(tmp_path, "max_payload: 12582912\n") as server:
        found = await bench.shows({Code.BUS_NO_JETSTREAM}, PENSTOCK_NATS_URL=server.url)
        assert "jetstream {" in found.one(Code.BUS_NO_JETSTREAM, str(server.port)).mend
        assert not jetstream_greets(LOOPBACK, server.port)


Greet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def greeter(greet: Greet) -> AsyncGenerator[str]:
    """A server that says what one of an old release says; gives its place."""
    server = await asyncio.start_server(greet, LOOPBACK)
    async with server:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"


async def test_a_bus_of_an_old_release_is_named(bench: Bench):
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"version": "2.9.25", "max_payload": 12_582_912, "jetstream": False}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        await reader.read()
        writer.close()

    async with greeter(greet) as place:
        found = await bench.finds(Code.BUS_TOO_OLD, PENSTOCK_NATS_URL=f"nats://{place}")
    finding = found.one(Code.BUS_TOO_OLD, place)
    assert "2.9.25" in finding.detail
    assert "2.12" in finding.mend


async def test_what_is_no_bus_is_named(bench: Bench):
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-something\r\n")
        writer.close()

    async with greeter(greet) as place:
        found = await bench.finds(Code.BUS_UNREACHABLE, PENSTOCK_NATS_URL=f"nats://{place}")
    assert "does not greet" in found.one(Code.BUS_UNREACHABLE, place).detail


async def test_a_postgresql_of_an_old_release_is_named(bench: Bench):
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    def parameter(name: str, value: str) -> bytes:
        return message(b"S", f"{name}\0{value}\0".encode())

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (size := int.from_bytes(await reader.readexactly(4), "big")) == 8:
            await reader.readexactly(4)  # may it be TLS, may it be GSS?
            writer.write(b"N")
        await reader.readexactly(size - 4)
        hello = parameter("server_version", "16.4") + parameter("client_encoding", "UTF8")
        hello += parameter("standard_conforming_strings", "on")
        writer.write(message(b"R", bytes(4)) + hello + message(b"Z", b"I"))
        await reader.read()
        writer.close()

    async with greeter(greet) as place:
        url = f"postgresql://{place}"
        found = await bench.finds(Code.STORE_TOO_OLD, PENSTOCK_POSTGRES_URL=url)
    finding = found.one(Code.STORE_TOO_OLD, place)
    assert "16" in finding.detail
    assert "17" in finding.mend
