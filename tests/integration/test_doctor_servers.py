"""Faults of NATS and PostgreSQL, and of what stands in them: seeded on real servers and explained.

One pair of servers serves all cases; each puts back what it broke, mostly by the command that
the doctor named.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.embedded.credentials import nats_secret, postgres_secret
from penstock_adapters.embedded.faults import StartFailedError
from penstock_adapters.embedded.home import write_private
from penstock_adapters.embedded.nats_server import (
    find_nats_server,
    jetstream_greets,
    permission_rules,
)
from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.embedded.processes import wait_until
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import stream_settings
from penstock_adapters.nats.work import durable_of
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema
from penstock_cli.doctor.codes import Code, Grade
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.permissions import BusUser, permission_table
from penstock_contracts.records import genesis_hash
from penstock_contracts.subjects import Stream, dead, task
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.ledger import PartitionRow
from penstock_testkit.conformance.ledger import aggregate, commit_of
from penstock_testkit.standby import RealPair
from tests.integration.doctor_scene import commands, machine, statements
from tests.integration.doctor_servers import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

LONG_S = 3600.0
SCHEDULER = "penstock_scheduler"
APPROVAL = "penstock_approval"
GATEWAY = "penstock_gateway"
SERVICE = "penstock_scheduler_service"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench.prepared() as prepared:
        yield prepared


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


# --- streams ------------------------------------------------------------------------------------


async def test_a_stream_that_is_gone_is_made_again_by_its_owner(bench: Bench):
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"STREAM.DELETE.{Stream.LOGS}")
    found = await bench.shows({Code.STREAM_MISSING})
    assert "penstock up" in found.one(Code.STREAM_MISSING, "stream LOGS").mend
    await bench.make_streams()  # as the scheduler does when it starts
    await bench.shows(set())


async def test_a_stream_with_other_settings_is_set_again(bench: Bench):
    other = stream_settings(Stream.EVENTS) | {"max_age": 3_600 * 10**9}
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"STREAM.UPDATE.{Stream.EVENTS}", other)
    found = await bench.shows({Code.STREAM_DRIFTED})
    finding = found.one(Code.STREAM_DRIFTED, "stream EVENTS")
    assert "max_age is 3600000000000" in finding.detail
    assert "penstock up" in finding.mend
    await bench.make_streams()
    await bench.shows(set())


@pytest.mark.parametrize(
    ("part", "code"), [(0.85, Code.STREAM_FILLING), (1.0, Code.STREAM_FULL)], ids=["85", "100"]
)
async def test_a_stream_that_fills_is_named(bench: Bench, part: float, code: Code):
    most = 100_000
    small = stream_settings(Stream.TRIGGERS) | {"max_bytes": most}
    async with bench.bus() as bus:
        api = JetStreamApi(bus)
        await api.call(f"STREAM.UPDATE.{Stream.TRIGGERS}", small)
        subject = f"{DEFAULT_TENANT}.trigger.full"
        message = Outgoing(Stream.TRIGGERS, f"penstock.{subject}", b"x" * 250)
        try:
            outcome = Published.DONE
            while outcome is Published.DONE:
                held = (await api.stream_info(Stream.TRIGGERS)).stored_bytes
                if part < 1 and held >= part * most:
                    break
                outcome = (await NatsPublisher(bus).publish([message] * 20))[-1]
            found = await bench.finds(code)
            finding = found.one(code, "stream TRIGGERS")
            assert "0.1 of 0.1 MiB" in finding.detail
            assert "penstock status" in commands(finding.mend)
        finally:
            await api.call(f"STREAM.PURGE.{Stream.TRIGGERS}")
            await bench.make_streams()
    await bench.shows(set())


async def test_a_work_queue_that_is_gone_is_made_again(bench: Bench):
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"CONSUMER.DELETE.{Stream.TASKS}.{durable_of('default')}")
    found = await bench.shows({Code.CONSUMER_MISSING})
    assert "penstock up" in found.one(Code.CONSUMER_MISSING, durable_of("default")).mend
    await bench.make_streams()
    await bench.shows(set())


# --- databases ----------------------------------------------------------------------------------

MENDED_BY_SQL: list[tuple[Code, tuple[str, ...], str, str]] = [
    (
        Code.STORE_CONNECTIONS_USED_UP, ("ALTER ROLE auditor CONNECTION LIMIT 0",),
        "postgres", "role auditor",
    ),
    (
        Code.STORE_FSYNC_OFF, ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"),
        "postgres", "",
    ),
    (
        Code.STORE_COMMIT_NOT_DURABLE, (f"ALTER ROLE {SERVICE} SET synchronous_commit = off",),
        "postgres", SERVICE,
    ),
    (Code.EVENTS_CHANGEABLE, (f"GRANT UPDATE, DELETE ON stored_events TO {SERVICE}",),
     SCHEDULER, SERVICE),
    (Code.STORE_RIGHTS_MISSING, (f"REVOKE INSERT ON stored_events FROM {SERVICE}",),
     SCHEDULER, SERVICE),
    (Code.EVENTS_UNGUARDED, ("ALTER TABLE stored_events DISABLE TRIGGER append_only",),
     APPROVAL, "table stored_events"),
    (Code.EVENTS_UNGUARDED, ("DROP TRIGGER append_only ON stored_events",),
     APPROVAL, "table stored_events"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "seeds", "database", "place"), MENDED_BY_SQL)
async def test_what_one_statement_broke_another_one_mends(
    bench: Bench, code: Code, seeds: tuple[str, ...], database: str, place: str
):
    for seed in seeds:
        bench.sql(seed, database)
    try:
        finding = (await bench.shows({code})).one(code, place)
        assert statements(finding.mend)
        for command in commands(finding.mend):
            if "psql" in command:
                bench.psql(command)
        await bench.shows(set())
    finally:
        bench.restore()


async def test_a_database_that_is_gone_is_made_by_the_script(bench: Bench):
    bench.sql(f"ALTER DATABASE {APPROVAL} RENAME TO kept")
    try:
        found = await bench.shows({Code.STORE_DATABASE_MISSING})
        finding = found.one(Code.STORE_DATABASE_MISSING, APPROVAL)
        (command,) = [one for one in commands(finding.mend) if "-f " in one]
        bench.psql(command)
        await bench.shows({Code.SCHEMA_MISSING})
    finally:
        bench.sql(f"DROP DATABASE IF EXISTS {APPROVAL}")
        bench.sql(f"ALTER DATABASE kept RENAME TO {APPROVAL}")
    await bench.shows(set())


VERSIONS: list[tuple[Code, str, str, str]] = [
    (Code.SCHEMA_NEWER, "INSERT INTO schema_version VALUES (99, 'newer')",
     "DELETE FROM schema_version WHERE version = 99", "--version"),
    (Code.SCHEMA_OLD, "UPDATE schema_version SET version = -version",
     "UPDATE schema_version SET version = -version", "penstock up"),
    (Code.SCHEMA_MISSING, "ALTER TABLE schema_version RENAME TO kept",
     "ALTER TABLE kept RENAME TO schema_version", "penstock up"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "seed", "back", "mend"), VERSIONS)
async def test_tables_of_another_release_are_named(
    bench: Bench, code: Code, seed: str, back: str, mend: str
):
    bench.sql(seed, GATEWAY)
    try:
        found = await bench.shows({code})
        assert mend in found.one(code, f"database {GATEWAY}").mend
    finally:
        bench.sql(back, GATEWAY)
    await bench.shows(set())


async def test_tables_that_are_missing_are_migrated(bench: Bench):
    bench.sql("DROP TABLE views, seen, partitions, schema_version", GATEWAY)
    found = await bench.finds(Code.SCHEMA_MISSING)
    assert found.one(Code.SCHEMA_MISSING, f"database {GATEWAY}").mend
    bench.migrate(GATEWAY, Schema.PROJECTION)  # as the gateway does when it starts
    await bench.shows(set())


# --- partitions ---------------------------------------------------------------------------------


@asynccontextmanager
async def owned(
    bench: Bench, partition: str
) -> AsyncGenerator[tuple[PostgresLedger, PartitionRow]]:
    """A partition that somebody owns; afterwards there is nothing of it."""
    url = bench.servers.postgres.urls(SCHEDULER).service
    async with PostgresLedger(url) as ledger:
        row = await ledger.acquire(partition, "test", LONG_S)
        assert row is not None
        try:
            yield ledger, row
        finally:
            bench.sql(
                "ALTER TABLE stored_events DISABLE TRIGGER append_only;"
                "DELETE FROM stored_events; DELETE FROM partitions;"
                "ALTER TABLE stored_events ENABLE ALWAYS TRIGGER append_only",
                SCHEDULER,
            )
            async with bench.bus() as bus:
                await JetStreamApi(bus).call(f"STREAM.PURGE.{Stream.EVENTS}")


async def put_marker(bench: Bench, partition: str, last: int, head: bytes) -> None:
    """Say on EVENTS that events up to `last` were relayed."""

    def marker(sequence: int) -> Marker:
        return Marker(
            partition=partition, epoch=1, first=last + 1, last=last, chain_head=head.hex(),
            last_event_sequence=sequence, previous_marker_sequence=0,
        )  # fmt: skip

    async with bench.bus() as bus:
        await NatsRelayLog(bus).publish_unit(partition, (), marker, 0)


async def test_a_partition_that_nobody_owns_is_named(bench: Bench):
    async with owned(bench, "run-7") as (ledger, _):
        bench.sql("UPDATE partitions SET lease_ends = now() - interval '1 minute'", SCHEDULER)
        found = await bench.shows({Code.PARTITION_UNOWNED})
        finding = found.one(Code.PARTITION_UNOWNED, "partition run-7")
        assert "scheduler" in finding.mend
        assert await ledger.acquire("run-7", "another", LONG_S)  # as a scheduler that starts
        await bench.shows(set())


async def test_a_store_that_was_rolled_back_is_critical(bench: Bench):
    async with owned(bench, "run-7"):
        await put_marker(bench, "run-7", 5, genesis_hash("run-7"))
        found = await bench.shows({Code.STORE_ROLLED_BACK})
        finding = found.one(Code.STORE_ROLLED_BACK, "partition run-7")
        assert "CRITICAL: EVENTS holds event 5, and the store ends at 0" in finding.detail
        assert "penstock recover" in finding.mend


async def test_a_store_with_another_history_is_critical(bench: Bench):
    async with owned(bench, "run-7"):
        await put_marker(bench, "run-7", 0, genesis_hash("run-8"))
        found = await bench.finds(Code.STORE_ROLLED_BACK)
        finding = found.one(Code.STORE_ROLLED_BACK, "partition run-7")
        assert "event 0 in EVENTS is not the store's" in finding.detail


async def test_events_that_are_not_published_or_not_shown_are_named(bench: Bench):
    async with owned(bench, "run-7") as (ledger, row):
        await put_marker(bench, "run-7", 0, row.chain_head)
        await ledger.commit(commit_of(row, (aggregate("a"), 1), (aggregate("a"), 2)))
        found = await bench.shows({Code.RELAY_BEHIND, Code.READ_MODEL_BEHIND})
        relay = found.one(Code.RELAY_BEHIND, "partition run-7")
        assert "2 events" in relay.detail
        assert "relay has to wait" in relay.mend
        shown = found.one(Code.READ_MODEL_BEHIND, "partition run-7")
        assert "gateway" in shown.mend


# --- executors ----------------------------------------------------------------------------------

BEAT: dict[str, Any] = {
    "name": "hands-9", "pool": "default", "capacity": 2, "running": 0, "free": 2, "version": "",
    "agents": [{"name": "ghost", "version": "1", "digest": "sha256:1"}], "available": True,
    "adapter": "bubblewrap", "isolation": "namespaces", "degraded": [], "breaker": None,
}  # fmt: skip
BEATS: list[tuple[Code, dict[str, Any], str]] = [
    (Code.BREAKER_OPEN, {"breaker": {"state": "OPEN", "reason": "no engine"}}, "penstock doctor"),
    (Code.EXECUTOR_CANNOT_RUN, {"available": False}, "penstock doctor"),
    (Code.EXECUTOR_DEGRADED, {"degraded": ["no cgroup"]}, "cgroup of its own"),
    (Code.EXECUTOR_UNSANDBOXED, {"adapter": "process"}, "unset PENSTOCK_SANDBOX"),
    (Code.EXECUTOR_OTHER_VERSION, {"version": "0.0.9"}, "install 7.7.7"),
]


@asynccontextmanager
async def beating(bench: Bench, **other: Any) -> AsyncGenerator[None]:
    """An executor that tells of itself."""
    async with bench.bus(BusUser.EXECUTOR) as bus:
        beats = NatsHeartbeats(bus)
        await beats.put("hands-9", BEAT | other)
        try:
            yield
        finally:
            await beats.remove("hands-9")


@pytest.mark.parametrize(("code", "other", "mend"), BEATS)
async def test_an_executor_that_is_not_well_is_named(
    bench: Bench, code: Code, other: dict[str, Any], mend: str
):
    async with beating(bench, **other):
        found = await bench.shows({code}, more={"version": "7.7.7"})
        assert mend in found.one(code, "executor hands-9").mend


@asynccontextmanager
async def queued(bench: Bench, pool: str, agent: str) -> AsyncGenerator[None]:
    """A task that waits."""
    async with bench.bus() as bus:
        subject = task(DEFAULT_TENANT, pool, agent, "t-1")
        (outcome,) = await NatsPublisher(bus).publish([Outgoing(Stream.TASKS, subject, b"{}")])
        assert outcome is Published.DONE
        try:
            yield
        finally:
            await NatsPublisher(bus).purge_subject(Stream.TASKS, subject)


async def test_a_task_for_an_agent_that_nobody_has_is_named(bench: Bench):
    async with beating(bench), queued(bench, "default", "absent"):
        found = await bench.shows({Code.AGENT_NOWHERE})
        assert "PENSTOCK_AGENT_ROOTS" in found.one(Code.AGENT_NOWHERE, "pool default").mend
        async with beating(bench, agents=[{"name": "absent", "digest": "sha256:2"}]):
            await bench.shows(set())


async def test_a_task_in_a_pool_that_nobody_serves_is_named(bench: Bench):
    async with queued(bench, "gpu", "ghost"):
        found = await bench.shows({Code.POOL_WITHOUT_EXECUTOR})
        finding = found.one(Code.POOL_WITHOUT_EXECUTOR, "pool gpu")
        assert "PENSTOCK_POOL=gpu penstock serve executor" in commands(finding.mend)
        assert "PENSTOCK_POOLS" in finding.mend
        async with beating(bench, pool="gpu"):  # as such an executor does
            await bench.shows(set())


async def test_what_was_no_task_is_named(bench: Bench):
    subject = dead(DEFAULT_TENANT, Stream.TASKS, "default.ghost.t-1")
    async with bench.bus() as bus:
        await NatsPublisher(bus).publish([Outgoing(Stream.DEAD, subject, b"{}")])
        try:
            found = await bench.shows({Code.DEAD_NOT_EMPTY})
            assert "executors' logs" in found.one(Code.DEAD_NOT_EMPTY, "stream DEAD").mend
        finally:
            await JetStreamApi(bus).call(f"STREAM.PURGE.{Stream.DEAD}")
    await bench.shows(set())


# --- what waits for people ----------------------------------------------------------------------

ROWS: list[tuple[Code, str, str, str, dict[str, Any], str]] = [
    (
        Code.OUTCOME_UNKNOWN, "node", "r-1/deploy", "unknown", {},
        'penstock runs settle r-1 deploy --reason "what was seen" --happened',
    ),
    (
        Code.APPROVAL_OVERDUE, "approval", "a-1", "pending",
        {"expires_us": 1, "policy": {}}, "penstock status",
    ),
    (
        Code.APPROVAL_FOR_NOBODY, "approval", "a-1", "pending",
        {"expires_us": 2**60, "policy": {"approvers": {"groups": ["release"]}}},
        "penstock tokens issue NAME --role approver --group release",
    ),
    (
        Code.MESSAGE_PARKED, "dead", "d-1", "parked",
        {"code": "malformed", "subject": "a.b"}, "penstock dead redrive d-1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "row_id", "state", "body", "mend"), ROWS)
async def test_what_waits_for_a_person_is_named_with_the_command(
    bench: Bench, code: Code, kind: str, row_id: str, state: str, body: dict[str, Any], mend: str
):
    values = f"'default', '{kind}', '{row_id}', 'r-1', 1, '{state}', '', '{json.dumps(body)}'"
    # penstock: ignore[sql-injection] -- values of the test's own
    bench.sql(f"INSERT INTO views VALUES ({values})", GATEWAY)  # noqa: S608 - our own values
    try:
        found = await bench.shows({code})
        finding = found.one(code, row_id.partition("/")[0])
        assert mend in commands(finding.mend)
        assert re.search(r"[a-z]", finding.detail)
    finally:
        bench.sql("DELETE FROM views", GATEWAY)


# --- a standby ----------------------------------------------------------------------------------


@pytest.mark.long
async def test_a_standby_that_commits_do_not_wait_for_is_named(bench: Bench, tmp_path: Path):
    with RealPair.started(tmp_path / "pair", bench.secrets, synchronous=False) as pair:
        first, second = (f"postgresql://{one.place}" for one in (pair.first, pair.second))
        found = await bench.examined(PENSTOCK_POSTGRES_URL=first)
        finding = found.one(Code.STANDBY_NOT_SYNCHRONOUS, pair.first.place)
        change = "ALTER SYSTEM SET synchronous_standby_names = '<application_name>'"
        assert change in statements(finding.mend)
        with pytest.raises(StartFailedError, match="synchronous_standby_names"):
            pair.first.database.run(f"{change};\n")  # as it stands there it changes nothing
        pair.first.wait_for_standby(synchronous=True)
        found = await bench.examined(PENSTOCK_POSTGRES_URL=first)
        assert Code.STANDBY_NOT_SYNCHRONOUS not in found.codes
        found = await bench.examined(PENSTOCK_POSTGRES_URL=second)
        assert "pg_promote" in found.one(Code.STORE_IS_STANDBY, pair.second.place).mend
        found = await bench.examined(PENSTOCK_POSTGRES_URL=pair.url)
        assert not found.codes & {Code.STORE_IS_STANDBY, Code.STORE_URL_INVALID}
