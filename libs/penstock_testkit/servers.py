"""Real nats-server and PostgreSQL for tests, alone: no supervisor and no services.

Session-scoped fixtures own them (`with RealServers.started() as servers`); tests may kill,
stop and restart them, and take databases of their own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import BusLogin, NatsServer
from penstock_adapters.embedded.ports import PortBook
from penstock_adapters.embedded.postgres_roles import AUDITOR, Database, owner_of, service_of
from penstock_adapters.embedded.postgres_server import PostgresServer
from penstock_adapters.embedded.processes import ChildSpec, log_tail, spawn, wait_until
from penstock_contracts.permissions import BusUser
from penstock_contracts.values import DEFAULT_TENANT

STOP_WITHIN_S = 30.0


def _stands(pid: int) -> bool:
    """Tell whether all threads of a process are stopped: a signal takes a while to reach them."""
    try:
        threads = [
            (thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:  # one has just ended
        return False
    return set(threads) <= {"T", "t"}


class RealProcess:
    """One server process that a test may end in any way and start again."""

    def __init__(self, spec: Callable[[], ChildSpec]) -> None:
        """Prepare a process; `spec` is asked anew before each start."""
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_signal = signal.SIGTERM

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the server has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        assert not self.running, "the server already runs"
        spec = self._spec()
        if spec.before_start is not None:
            spec.before_start()
        process = spawn(spec)
        self._process, self._stop_signal = process, spec.stop_signal
        up = wait_until(lambda: process.poll() is not None or spec.probe(), spec.ready_within_s)
        if not up or process.poll() is not None:
            self.kill()
            raise AssertionError(f"{spec.name} did not start:\n{log_tail(spec.log)}")

    def stop(self) -> None:
        """End it in an orderly way."""
        if self._process is not None and self.running:
            self._process.send_signal(self._stop_signal)
            self._process.wait(STOP_WITHIN_S)
        self._process = None

    def kill(self) -> None:
        """End it as a crash would: kill -9, at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(STOP_WITHIN_S)
        self._process = None

    def pause(self) -> None:
        """Stop it from running without ending it; every thread of it stands when this returns."""
        os.kill(self.pid, signal.SIGSTOP)
        if not wait_until(lambda: _stands(self.pid), STOP_WITHIN_S):
            raise AssertionError(f"process {self.pid} does not stop")

    def resume(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop in an orderly way and start again."""
        self.stop()
        self.start()


class RealNats(RealProcess):
    """nats-server with the generated users and permissions; its port stays the same for life."""

    def __init__(self, server: NatsServer) -> None:
        """Wrap `server`, not yet started."""
        super().__init__(server.spec)
        self._server = server

    @property
    def url(self) -> str:
        """Address without credentials."""
        return self._server.url

    @property
    def store(self) -> Path:
        """JetStream's folder; copy or replace it only while the server is stopped."""
        return self._server.store

    def login(self, user: BusUser = BusUser.ADMIN) -> BusLogin:
        """Address, user, password and inbox prefix of `user`."""
        return self._server.login(user)

    def connect_options(self, user: BusUser = BusUser.ADMIN) -> dict[str, Any]:
        """Keyword arguments for the client's connect: servers, user, password, inbox_prefix."""
        login = self.login(user)
        return {
            "servers": login.url,
            "user": login.user,
            "password": login.password,
            "inbox_prefix": login.inbox_prefix,
        }

    def lose_jetstream(self) -> None:
        """Kill it, delete everything it stored, start it again."""
        self.kill()
        shutil.rmtree(self.store)
        self.start()


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """Connection URLs to one database.

    Attributes:
        owner: migrates.
        service: works.
        auditor: reads.
        admin: superuser.
    """

    owner: str
    service: str
    auditor: str
    admin: str


class RealPostgres(RealProcess):
    """PostgreSQL with the three databases and their roles; its port stays the same for life."""

    def __init__(self, server: PostgresServer, secrets: SecretBook) -> None:
        """Wrap `server`, not yet started."""
        super().__init__(server.spec)
        self._server = server
        self._secrets = secrets
        self._numbers = itertools.count(1)

    @property
    def admin_url(self) -> str:
        """Superuser's URL to the database `postgres`."""
        return self._server.admin_url

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._server.data

    @property
    def database(self) -> Database:
        """The server as its administrator reaches it: `run(sql)` runs a psql script."""
        return self._server.database

    def urls(self, database: str = "penstock_scheduler") -> DatabaseUrls:
        """URLs to one of the three databases."""
        return self._urls(database, database)

    def fresh_database(self, like: str = "penstock_scheduler") -> DatabaseUrls:
        """Create an empty database with the roles of `like`: about 50 ms, never removed."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        owner, service = owner_of(like), service_of(like)
        self.database.run(
            f"CREATE DATABASE {name} OWNER {owner};\n"
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;\n"
            f"GRANT CONNECT ON DATABASE {name} TO {service}, {AUDITOR};\n"
            f"\\connect {name}\n"
            f"ALTER SCHEMA public OWNER TO {owner};\n"
            "REVOKE ALL ON SCHEMA public FROM PUBLIC;\n"
            f"GRANT USAGE ON SCHEMA public TO {service}, {AUDITOR};\n"
        )
        return self._urls(name, like)

    def create_roles(self) -> None:
        """Create roles and databases where they are absent."""
        self.database.create_roles(self._secrets)

    def _urls(self, name: str, like: str) -> DatabaseUrls:
        def url(role: str) -> str:
            return self.database.url(role, self._secrets[postgres_secret(role)], name)

        admin = self.admin_url.removesuffix("/postgres") + f"/{name}"
        return DatabaseUrls(url(owner_of(like)), url(service_of(like)), url(AUDITOR), admin)


class RealServers:
    """Both servers in one throw-away state folder."""

    def __init__(self, root: Path, tenant: str = DEFAULT_TENANT) -> None:
        """Prepare a state folder at `root`; nothing is started."""
        self.folder = StateFolder.at(root)
        self.folder.create()
        secrets = SecretBook(self.folder.credentials / "secrets.json")
        ports = PortBook(self.folder.run / "ports.json").assign(("nats", "postgres"))
        self.nats = RealNats(NatsServer(self.folder, secrets, ports["nats"], tenant))
        self.postgres = RealPostgres(
            PostgresServer(self.folder, secrets, ports["postgres"], durable=False), secrets
        )

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """Both servers, running, in a temporary folder that is removed at the end."""
        with tempfile.TemporaryDirectory(prefix="penstock-servers-") as folder:
            servers = cls(Path(folder) / "state")
            try:
                servers.nats.start()
                servers.postgres.start()
                servers.postgres.create_roles()
                yield servers
            finally:
                servers.nats.kill()
                servers.postgres.stop()
