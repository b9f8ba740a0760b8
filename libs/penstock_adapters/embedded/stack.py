"""The whole of Penstock on one machine: two servers and the services, in one state folder.

Servers named in the caller's environment are used instead of our own: `PENSTOCK_NATS_URL` and
`PENSTOCK_POSTGRES_URL`. Either URL may carry `user:password@`. The one of PostgreSQL is then an
administrator's, by which absent databases and roles are created; without it, an administrator has
run this folder's `credentials/postgres-roles.sql`. The one of NATS is then used by all services;
without it they use the users of this folder's `credentials/nats-account.conf`, which the operator
has included in that server's configuration. Such servers are never started, stopped or changed
otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.credentials import (
    SecretBook,
    postgres_secret,
    write_once,
)
from penstock_adapters.embedded.faults import EmbeddedError, StartFailedError
from penstock_adapters.embedded.grant_key import ensure_grant_key
from penstock_adapters.embedded.home import FolderLock, StateFolder
from penstock_adapters.embedded.nats_server import NAME as NATS
from penstock_adapters.embedded.nats_server import BusLogin, NatsServer
from penstock_adapters.embedded.ports import LOOPBACK, PortBook, is_free
from penstock_adapters.embedded.postgres_roles import (
    AUDITOR,
    DATABASES,
    owner_of,
    role_url,
    service_of,
)
from penstock_adapters.embedded.postgres_server import NAME as POSTGRES
from penstock_adapters.embedded.postgres_server import PostgresServer
from penstock_adapters.embedded.processes import ChildSpec
from penstock_adapters.embedded.service_environment import (
    NATS_REPLICAS_VARIABLE,
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
    READY_WITHIN_S,
    STOP_WITHIN_S,
    ServiceAccess,
    environment,
    instance_of,
    kind_of,
    ready_probe,
)
from penstock_adapters.embedded.status import StatusBook
from penstock_adapters.embedded.supervisor import ChildEvent, Supervisor, end_leftovers
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.grants import written

TASK_SECRET: Final = "task"  # noqa: S105 - the name of a secret, not one
ADMIN_TOKEN: Final = "admin_token"  # noqa: S105 - the name of a secret, not one
LEFTOVERS_WITHIN_S: Final = 10.0
PORT_ATTEMPTS: Final = 3  # somebody may take a chosen port before the server does


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a started stack is reached.

    Attributes:
        gateway_url: HTTP API of the first gateway, empty when none was asked for.
        gateway_urls: HTTP API by gateway.
        logins: how each user connects to the bus.
        postgres_urls: connection URL by role; the auditor's are in `auditor_urls`.
        auditor_urls: the auditor's connection URL by database.
        ops_urls: base URL of health and metrics by service.
    """

    gateway_url: str
    logins: Mapping[BusUser, BusLogin]
    postgres_urls: Mapping[str, str]
    auditor_urls: Mapping[str, str]
    ops_urls: Mapping[str, str]
    gateway_urls: Mapping[str, str]


class EmbeddedStack:
    """Start, watch and stop everything. Use it on the main thread of one event loop."""

    def __init__(
        self,
        home: Path,
        services: Mapping[str, Sequence[str]],
        on_event: Callable[[ChildEvent], None] | None = None,
        environ: Mapping[str, str] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """Describe a stack; nothing is created or started.

        Args:
            home: the state folder.
            services: command line (absolute program) by service: `scheduler`, `executor`,
                `approval`, `webhook-gateway`, and further instances such as `executor-2`.
            on_event: told of every change of every child, from the event loop.
            environ: the caller's environment (default: this process's).
            tenant: the tenant of the trigger user and of the services' default.
        """
        self.folder: StateFolder = StateFolder.at(home)
        self._services: dict[str, tuple[str, ...]] = {n: tuple(a) for n, a in services.items()}
        self._on_event: Callable[[ChildEvent], None] | None = on_event
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._tenant: str = tenant
        self._supervisor: Supervisor | None = None
        self._lock: FolderLock | None = None
        self._status: StatusBook | None = None
        self._endpoints: Endpoints | None = None
        self._grant_keys: str = ""

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is.

        Raises:
            EmbeddedError: the stack has not been started.
        """
        if self._endpoints is None:
            raise EmbeddedError("the stack has not been started")
        return self._endpoints

    def pid(self, name: str) -> int | None:
        """Process of the child called `name` (`nats`, `postgres`, a service), or None."""
        return self._supervisor.pid(name) if self._supervisor is not None else None

    async def start(self) -> None:
        """Start the servers, prepare the databases, start the services; return when all is ready.

        After a failure everything that was started has been stopped.

        Raises:
            AlreadyRunningError: another supervisor holds the folder.
            EmbeddedError: something is missing or did not start; the message says what.
        """
        self.folder.create()
        lock = FolderLock(self.folder)
        lock.acquire()
        self._lock = lock
        try:
            self._status = StatusBook(self.folder.status)
            self._status.begin()
            self._supervisor = Supervisor(self.folder.run, self._report)
            await self._start_all()
            self._status.ready(self.endpoints.gateway_url)
        except BaseException as error:
            await self._stop_all(f"{error}" if isinstance(error, Exception) else "interrupted")
            raise

    async def restart(self, name: str) -> None:
        """End one service gracefully and start it again; return when it is ready.

        Raises:
            StartFailedError: it does not become ready.
        """
        spec = self._supervised.spec(name)
        await self._supervised.stop([name])
        await self._supervised.start([spec])

    async def stop(self) -> None:
        """End services, then servers, gracefully within their bounds; safe to call twice."""
        await self._stop_all(None)

    # --- start ----------------------------------------------------------------------------------

    async def _start_all(self) -> None:
        _ = await asyncio.to_thread(end_leftovers, self.folder.run, LEFTOVERS_WITHIN_S)
        secrets = SecretBook(self.folder.secrets)
        secrets.ensure([ADMIN_TOKEN])
        secrets.ensure_hex(TASK_SECRET)
        self._grant_keys = written(ensure_grant_key(self.folder.grant_key))
        ports, postgres_url, logins = await self._start_on_free_ports(secrets)
        self._endpoints = self._describe(secrets, ports, postgres_url, logins)
        self._write_credentials(secrets, self._endpoints)
        await self._supervised.start(
            self._service_spec(name, argv, secrets, ports) for name, argv in self._services.items()
        )

    @property
    def _supervised(self) -> Supervisor:
        assert self._supervisor is not None  # noqa: S101 - set by `start`, the only caller's caller
        return self._supervisor

    def _purposes(self) -> tuple[str, ...]:
        apis = (f"{name}.http" for name in self._services if kind_of(name).api)
        return (NATS, POSTGRES, *self._services, *apis)

    async def _start_on_free_ports(
        self, secrets: SecretBook
    ) -> tuple[dict[str, int], str, dict[BusUser, BusLogin]]:
        attempt = 1
        while True:
            ports = PortBook(self.folder.run / "ports.json").assign(self._purposes())
            try:
                return ports, *await self._start_servers(secrets, ports)
            except StartFailedError:
                await self._supervised.stop()
                if attempt == PORT_ATTEMPTS or all(map(is_free, ports.values())):
                    raise
            attempt += 1

    async def _start_servers(
        self, secrets: SecretBook, ports: Mapping[str, int]
    ) -> tuple[str, dict[BusUser, BusLogin]]:
        """Start our servers, or look at those that are not ours; with databases and roles."""
        specs: list[ChildSpec] = []
        nats_url = self._environ.get(NATS_URL_VARIABLE, "")
        postgres_url = self._environ.get(POSTGRES_URL_VARIABLE, "")
        if nats_url:
            logins = await self._look_at_bus(nats_url, secrets)
        else:
            nats = NatsServer(self.folder, secrets, ports[NATS], self._tenant)
            specs.append(nats.spec())
            logins = {user: nats.login(user) for user in BusUser}
        if postgres_url:
            # Loaded here, as the driver is of no use to a stack that starts its own server.
            from penstock_adapters.embedded.outside_postgres import (  # noqa: PLC0415
                prepare_outside,
            )

            await asyncio.to_thread(prepare_outside, postgres_url, self.folder, secrets)
            await self._supervised.start(specs)
            return postgres_url, logins
        postgres = await asyncio.to_thread(PostgresServer, self.folder, secrets, ports[POSTGRES])
        specs.append(await asyncio.to_thread(postgres.spec))
        await self._supervised.start(specs)
        await asyncio.to_thread(postgres.database.create_roles, secrets)
        return postgres.admin_url, logins

    async def _look_at_bus(self, url: str, secrets: SecretBook) -> dict[BusUser, BusLogin]:
        # Loaded here, as the client is of no use to a stack that starts its own server.
        from penstock_adapters.embedded import outside_nats  # noqa: PLC0415

        logins = outside_nats.outside_logins(url, secrets)
        own_users = not outside_nats.has_login(url)
        if own_users:
            outside_nats.write_account(self.folder, secrets, self._tenant)
        account = self.folder.nats_account if own_users else None
        replicas = self._environ.get(NATS_REPLICAS_VARIABLE, "")
        # Without services only tools are at work, as owners: what was handed out to machines has
        # an executor's user for each pool, and none of the common name.
        users = outside_nats.USERS if self._services else tuple(OWNED_STREAMS)
        # What is no number the services refuse, with all their other faults.
        await outside_nats.prepare_bus(
            logins, account, int(replicas) if replicas.isdecimal() else None, users
        )
        return logins

    def _service_spec(
        self, name: str, argv: tuple[str, ...], secrets: SecretBook, ports: Mapping[str, int]
    ) -> ChildSpec:
        kind = kind_of(name)
        urls = self.endpoints.postgres_urls
        http_port = ports[f"{name}.http"] if kind.api else ports[name]
        access = ServiceAccess(
            instance=instance_of(name),
            tenant=self._tenant,
            login=self.endpoints.logins[kind.user],
            ops_port=ports[name],
            http_port=http_port,
            postgres_url=urls[service_of(kind.database)] if kind.database else None,
            postgres_owner_url=urls[owner_of(kind.database)] if kind.database else None,
            task_secret=secrets[TASK_SECRET] if kind.task_secret else None,
            grant_key_file=str(self.folder.grant_key) if kind.signs_grants else None,
            grant_keys=self._grant_keys if kind.checks_grants else None,
            admin_token_file=str(self.folder.admin_token) if kind.api else None,
            agent_secrets=kind.checks_grants,
        )
        inherited = {**self._environ, "PENSTOCK_HOME": str(self.folder.root)}
        return ChildSpec(
            name=name,
            argv=argv,
            environment=environment(access, inherited),
            folder=Path.cwd(),
            log=self.folder.log_file(name),
            probe=ready_probe(ports[name], http_port),
            ready_within_s=READY_WITHIN_S,
            stop_within_s=STOP_WITHIN_S,
        )

    def _describe(
        self,
        secrets: SecretBook,
        ports: Mapping[str, int],
        postgres_url: str,
        logins: Mapping[BusUser, BusLogin],
    ) -> Endpoints:
        def url(role: str, name: str) -> str:
            return role_url(postgres_url, role, secrets[postgres_secret(role)], name)

        roles = ((role(name), name) for name in DATABASES for role in (owner_of, service_of))
        gateways = {
            name: f"http://{LOOPBACK}:{ports[f'{name}.http']}"
            for name in self._services
            if kind_of(name).api
        }
        return Endpoints(
            gateway_url=next(iter(gateways.values()), ""),
            logins=logins,
            postgres_urls={role: url(role, name) for role, name in roles},
            auditor_urls={name: url(AUDITOR, name) for name in DATABASES},
            ops_urls={name: f"http://{LOOPBACK}:{ports[name]}" for name in self._services},
            gateway_urls=gateways,
        )

    def _write_credentials(self, secrets: SecretBook, endpoints: Endpoints) -> None:
        folder = self.folder
        write_once(folder.admin_token, secrets[ADMIN_TOKEN] + "\n")
        write_once(folder.trigger_creds, endpoints.logins[BusUser.TRIGGER].document())
        auditor = json.dumps(dict(endpoints.auditor_urls), indent=1) + "\n"
        write_once(folder.auditor_url, auditor)

    # --- stop -----------------------------------------------------------------------------------

    async def _stop_all(self, fault: str | None) -> None:
        supervisor, lock, status = self._supervisor, self._lock, self._status
        self._supervisor = self._lock = None
        if supervisor is not None:
            if status is not None:
                status.stopping()
            await supervisor.stop(self._services)
            await supervisor.stop()
        if status is not None:
            status.end(fault)
        self._status = None
        if lock is not None:
            lock.release()

    def _report(self, event: ChildEvent) -> None:
        if self._status is not None:
            self._status.note(event)
        if self._on_event is not None:
            self._on_event(event)
