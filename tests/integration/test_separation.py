"""The services share nothing: no connection, file, table, credential or import of each other's."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio

from penstock_adapters.embedded.postgres_roles import DATABASES, owner_of, service_of
from penstock_contracts.permissions import BusUser
from penstock_testkit.stack import MODULES, SERVICES, RunningStack
from tests.architecture.tree import imports_of, sources

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

OWN = {
    "scheduler": "penstock_scheduler",
    "approval": "penstock_approval",
    "webhook-gateway": "penstock_gateway",
}
USERS = {
    "scheduler": BusUser.SCHEDULER,
    "executor": BusUser.EXECUTOR,
    "approval": BusUser.APPROVAL,
    "webhook-gateway": BusUser.GATEWAY,
}
ESTABLISHED, LISTENING = "01", "0A"
CHANGES = (
    "UPDATE stored_events SET topic = 'forged'",
    "DELETE FROM stored_events",
    "TRUNCATE stored_events",
)
BUSY: dict[str, object] = {
    f"n{i}": {"agent": "noop", "with": {"sleep_ms": 20}, "needs": [f"n{i - 1}"] if i else []}
    for i in range(20)
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[RunningStack]:
    home = tmp_path_factory.mktemp("stack") / "state"
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as running:
        await running.register_builtin()
        await running.apply("busy", {**BUSY, "review": {"needs": ["n19"], "approval": {}}})
        yield running


# --- connections --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Socket:
    """One TCP socket of a process; ports only, all of them are on loopback."""

    state: str
    local: int
    remote: int


def sockets_of(pid: int) -> Iterator[Socket]:
    """Read a process' TCP sockets from /proc."""
    folder = Path(f"/proc/{pid}")
    inodes: set[str] = set()
    for link in (folder / "fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for table in ("tcp", "tcp6"):
        for line in (folder / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                local, remote = (int(fields[i].rpartition(":")[2], 16) for i in (1, 2))
                yield Socket(fields[3], local, remote)


@dataclass(frozen=True, slots=True)
class Peers:
    """Who a service talks to: ports it has called, and ports from which it was called."""

    listens: frozenset[int]
    calls: frozenset[int]
    called_from: frozenset[int]
    own: frozenset[int]


def peers_of(stack: RunningStack, service: str) -> Peers:
    found = list(sockets_of(stack.pid(service)))
    listens = frozenset(one.local for one in found if one.state == LISTENING)
    talking = [one for one in found if one.state == ESTABLISHED]
    return Peers(
        listens,
        frozenset(one.remote for one in talking if one.local not in listens),
        frozenset(one.remote for one in talking if one.local in listens),
        frozenset(one.local for one in talking),
    )


async def test_services_talk_to_the_bus_and_their_own_database_alone(stack: RunningStack) -> None:
    bus = urlsplit(stack.endpoints.logins[BusUser.ADMIN].url).port
    database = urlsplit(stack.endpoints.auditor_urls["penstock_scheduler"]).port
    run = await stack.trigger("busy")
    seen: dict[str, set[int]] = {name: set() for name in SERVICES}

    async def watched() -> bool:
        peers = {name: peers_of(stack, name) for name in SERVICES}
        for name, its in peers.items():
            seen[name] |= its.calls
            for other in set(SERVICES) - {name}:
                assert not its.calls & peers[other].listens, f"{name} calls {other}"
                assert not its.called_from & peers[other].own, f"{other} calls {name}"
        shown = await stack.get("/api/approvals?status=pending")
        return any(item["run_id"] == run for item in shown["items"])

    await stack.until(watched)
    expected = {name: {bus, database} for name in OWN} | {"executor": {bus}}
    assert seen == expected


async def test_each_role_is_connected_to_its_own_database(stack: RunningStack) -> None:
    with psycopg.connect(stack.endpoints.auditor_urls["penstock_scheduler"]) as auditor:
        rows = auditor.execute(
            "SELECT DISTINCT usename, datname FROM pg_stat_activity"
            " WHERE datname = ANY(%s) AND usename <> 'auditor'",
            [list(DATABASES)],
        ).fetchall()
    # Owners migrate at the start and leave; what remains are the services' own roles.
    assert sorted(rows) == sorted((service_of(name), name) for name in OWN.values())


def written_by(pid: int) -> set[str]:
    """Regular files that a process holds open for writing, and memory it shares."""
    found: set[str] = set()
    folder = Path(f"/proc/{pid}")
    for link in (folder / "fd").iterdir():
        try:
            mode, target = link.stat().st_mode, str(link.readlink())
            told = (folder / "fdinfo" / link.name).read_text()
        except FileNotFoundError:
            continue
        flags = int(told.partition("flags:")[2].split()[0], 8)
        if stat.S_ISREG(mode) and flags & (os.O_WRONLY | os.O_RDWR):
            found.add(target)
    for line in (folder / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if fields[1].endswith("s") and "w" in fields[1] and fields[-1].startswith("/"):
            found.add(fields[-1])
    return found


async def test_services_write_no_file_of_each_other(stack: RunningStack) -> None:
    written = {name: written_by(stack.pid(name)) for name in SERVICES}
    for name in SERVICES:
        assert f"{stack.home}/logs/{name}.log" in written[name]
        others = set().union(*(written[other] for other in SERVICES if other != name))
        assert not written[name] & others


# --- databases ----------------------------------------------------------------------------------


@pytest.mark.parametrize("database", DATABASES)
async def test_no_role_connects_to_anothers_database(stack: RunningStack, database: str) -> None:
    for role in (owner_of(database), service_of(database)):
        url = stack.endpoints.postgres_urls[role]
        for other in set(DATABASES) - {database}:
            foreign = url.removesuffix(database) + other
            said = f'permission denied for database "{other}"'
            with pytest.raises(psycopg.OperationalError, match=said):
                psycopg.connect(foreign)


@pytest.mark.parametrize("role_of", [service_of, owner_of], ids=["service", "owner"])
@pytest.mark.parametrize("database", ["penstock_scheduler", "penstock_approval"])
async def test_stored_events_are_changed_by_nobody(
    stack: RunningStack, database: str, role_of: object
) -> None:
    assert callable(role_of)
    url = stack.endpoints.postgres_urls[role_of(database)]
    with psycopg.connect(url) as connection:
        before = connection.execute("SELECT count(*), max(topic) FROM stored_events").fetchone()
        for change in CHANGES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())
            connection.rollback()
        after = connection.execute("SELECT count(*), max(topic) FROM stored_events").fetchone()
    assert before == after
    assert before is not None
    assert before[0] > 0


# --- credentials --------------------------------------------------------------------------------


def environ_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode()


async def test_each_service_holds_its_own_credentials_alone(stack: RunningStack) -> None:
    book = json.loads((stack.home / "credentials" / "secrets.json").read_text())
    for name in SERVICES:
        environ = environ_of(stack.pid(name))
        expected = {f"nats.{USERS[name].value}"}
        if name in OWN:
            expected |= {f"postgres.{role(OWN[name])}" for role in (owner_of, service_of)}
        if name == "scheduler":
            expected.add("task")
        assert {secret for secret, value in book.items() if value in environ} == expected, name
    assert "postgres" not in environ_of(stack.pid("executor")).lower()


# --- code ---------------------------------------------------------------------------------------


async def test_no_service_imports_another() -> None:
    packages = set(MODULES.values())
    found = {package: set[str]() for package in packages}
    for source in sources():
        if source.package in packages:
            found[source.package] |= {name.split(".")[0] for name, _ in imports_of(source.tree)}
    for package, imported in found.items():
        assert "penstock_contracts" in imported
        assert not imported & (packages - {package})
        assert not {name for name in imported if name.startswith("penstock_agent")}
