"""Real servers with everything of ours on them and no services, for tests of the doctor."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.outside_nats import write_account
from penstock_adapters.embedded.outside_postgres import write_roles_script
from penstock_adapters.embedded.postgres_roles import DATABASES, all_roles, service_of
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.streams import ensure_artifacts, ensure_heartbeats, ensure_streams
from penstock_adapters.nats.work import ensure_pool
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.stores import SCHEMAS
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.servers import RealServers
from tests.integration.doctor_scene import Report, report, scene

WITHIN_S = 60.0
CACHE_BYTES = 64 * 2**20
_GUARD = """
DROP TRIGGER IF EXISTS append_only ON stored_events;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE stored_events ENABLE ALWAYS TRIGGER append_only;
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """Both servers, prepared as services prepare them, and a state folder with all logins."""

    servers: RealServers

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Bench]:
        """Everything in order."""
        with RealServers.started() as servers:
            bench = cls(servers)
            for name in ("fsync", "full_page_writes"):  # as an installation has it
                bench.sql(f"ALTER SYSTEM SET {name} = on")
            bench.sql("SELECT pg_reload_conf()")
            for name, schemas in SCHEMAS.items():
                for schema in schemas:
                    bench.migrate(name, schema)
            write_account(bench.folder, bench.secrets, DEFAULT_TENANT)
            write_roles_script(bench.folder, bench.secrets)
            asyncio.run(bench.make_streams())
            yield bench

    @property
    def folder(self) -> StateFolder:
        return self.servers.folder

    @property
    def secrets(self) -> SecretBook:
        return SecretBook(self.folder.secrets)

    @property
    def place(self) -> str:
        """Host and port of PostgreSQL."""
        return urlsplit(self.servers.postgres.admin_url).netloc.rpartition("@")[2]

    @property
    def environ(self) -> dict[str, str]:
        """The servers as those of somebody else, without a login."""
        return {
            "PENSTOCK_NATS_URL": self.servers.nats.url,
            "PENSTOCK_POSTGRES_URL": f"postgresql://{self.place}",
        }

    async def examined(
        self, home: Path | None = None, more: dict[str, Any] | None = None, **environ: str
    ) -> Report:
        """Examine, with other settings in place of the servers' own."""
        where = home or self.folder.root
        return await report(scene(where, self.environ | environ, **(more or {})))

    async def until(
        self, holds: Callable[[Report], bool], home: Path | None = None, **other: Any
    ) -> Report:
        """Examine until it holds: a busy machine may be late with an answer."""
        end = time.monotonic() + WITHIN_S
        found = await self.examined(home, **other)
        while not holds(found) and time.monotonic() < end:
            found = await self.examined(home, **other)
        assert holds(found), found.faults
        return found

    async def shows(self, codes: set[Code], home: Path | None = None, **other: Any) -> Report:
        """Examine until just these faults show."""
        return await self.until(lambda found: found.codes == codes, home, **other)

    async def finds(self, *codes: Code, **other: Any) -> Report:
        """Examine until at least these faults show."""
        return await self.until(lambda found: found.codes >= set(codes), **other)

    def sql(self, statement: str, database: str = "postgres", role: str = "") -> None:
        """Run a statement as a role, the administrator by default."""
        parts = urlsplit(self.servers.postgres.admin_url)
        login = f"{role}:{self.secrets[postgres_secret(role)]}" if role else parts.netloc[
            : parts.netloc.rindex("@")
        ]  # fmt: skip
        url = f"postgresql://{login}@{self.place}/{database}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def restore(self) -> None:
        """Put rights, settings and triggers back, whatever a case left of them."""
        service = service_of("penstock_scheduler")
        for name in ("fsync", "full_page_writes"):
            self.sql(f"ALTER SYSTEM SET {name} = on")
        self.sql("SELECT pg_reload_conf()")
        self.sql("ALTER ROLE auditor CONNECTION LIMIT -1")
        self.sql(f"ALTER ROLE {service} RESET synchronous_commit")
        self.sql(f"GRANT INSERT ON stored_events TO {service}", "penstock_scheduler")
        self.sql(
            f"REVOKE UPDATE, DELETE, TRUNCATE ON stored_events FROM {service}",
            "penstock_scheduler",
        )
        self.sql(_GUARD, "penstock_approval")

    def psql(self, command: str) -> None:
        """Run psql as a mend names it, with the passwords that a person would type."""
        user = urlsplit(command.rsplit(maxsplit=1)[-1]).username or ""
        admin = urlsplit(self.servers.postgres.admin_url)
        password = self.secrets[postgres_secret(user)] if user in all_roles() else admin.password
        line = command.replace("administrator@", f"{admin.username}@")
        subprocess.run(  # noqa: S602 - a person's shell
            # penstock: ignore[command-injection] -- the mend that is tried, as a person would
            line, shell=True, check=True, timeout=WITHIN_S, stdout=subprocess.DEVNULL,
            env={**os.environ, "PGPASSWORD": password or ""},
        )  # fmt: skip

    def migrate(self, database: str, schema: Schema) -> None:
        """Do what the database's service does at its start."""
        urls = self.servers.postgres.urls(database)
        migrate(urls.owner, service_of(database), "auditor", schema)

    @asynccontextmanager
    async def bus(self, user: BusUser = BusUser.ADMIN) -> AsyncGenerator[NatsConnection]:
        """A connection to the bus."""
        login = self.servers.nats.login(user)
        connection = await connect(
            NatsSettings(login.url, login.user, login.password, login.inbox_prefix)
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def make_streams(self) -> None:
        """Do what the owners do at their start."""
        for user, streams in OWNED_STREAMS.items():
            async with self.bus(user) as connection:
                await ensure_streams(connection, streams)
                if user is BusUser.SCHEDULER:
                    await ensure_heartbeats(connection)
                    await ensure_artifacts(connection, CACHE_BYTES)
                    await ensure_pool(connection, "default")


__all__ = ["DATABASES", "Bench"]
