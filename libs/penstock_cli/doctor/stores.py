"""What is seen of the databases: logins, durability, tables, rights; and what stands in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from penstock_adapters.embedded.credentials import postgres_secret
from penstock_adapters.embedded.faults import ServerMissingError
from penstock_adapters.embedded.postgres_install import find_psql
from penstock_adapters.embedded.postgres_roles import AUDITOR, DATABASES, owner_of, service_of
from penstock_adapters.embedded.postgres_server import ADMIN
from penstock_adapters.postgres.faults import UnsupportedServer
from penstock_adapters.postgres.inspection import (
    EVENT_TABLE,
    Lease,
    SchemaFacts,
    ServerFacts,
    StoreInspection,
)
from penstock_adapters.postgres.migrate import Schema
from penstock_cli.databases import GATEWAY, SCHEMAS
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, merged, well
from penstock_cli.doctor.machine import Machine, judge_clock
from penstock_cli.doctor.processes import shortened
from penstock_cli.doctor.reach import Reach, StoreKey
from penstock_cli.stack_view import relative
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.projection import ViewRow

FORBIDDEN: Final = ("UPDATE", "DELETE", "TRUNCATE")
NEEDED: Final = ("SELECT", "INSERT", "MAINTAIN")
ALWAYS: Final = "A"
DURABLE: Final = ("on", "local", "remote_write", "remote_apply")
CROWDED: Final = 0.9
# What people may have to look at: kind and state ("": all) of rows of the read model.
LOOKED_AT: Final = (
    ("dead", "parked"), ("node", "unknown"), ("approval", "pending"), ("agent", ""), ("token", ""),
)  # fmt: skip


@dataclass(slots=True)
class StoreSight:
    """What was seen of the databases.

    Attributes:
        leases: rows of partitions by database.
        seen: what the read model has applied; None: could not be read.
        views: rows of the read model by kind; a kind that could not be read is absent.
        now_us: the server's clock; 0: unknown.
    """

    leases: dict[str, Sequence[Lease]] = field(default_factory=dict[str, Sequence[Lease]])
    seen: Mapping[str, int] | None = None
    views: dict[str, Sequence[ViewRow]] = field(default_factory=dict[str, Sequence[ViewRow]])
    now_us: int = 0
    empty: bool = True


Thread = Callable[[Callable[[], list[Finding]]], "asyncio.Future[list[Finding]]"]


async def see_stores(
    reach: Reach, machine: Machine, script: str, run: Thread
) -> tuple[StoreSight, list[Finding]]:
    """Look at all databases, each role at the same time.

    Args:
        reach: where they are and who logs in.
        machine: for its clock.
        script: place of the file that makes databases and roles.
        run: calls in a thread that nobody waits for longer than for its look.
    """
    sight = StoreSight()
    help_ = _Help(reach, script)
    looks = [
        run(lambda key=key, url=url: _look(key, url, sight, machine, help_))
        for key, url in reach.stores.items()
    ]
    findings = [one for looked in await asyncio.gather(*looks) for one in looked]
    told = merged(findings)
    if reach.stores and not told:
        told.append(well("postgres", f"{len(reach.stores)} logins", reach.store_place))
    return sight, told


@dataclass(frozen=True, slots=True)
class _Help:
    """What mends say, as it depends on whose server it is. psql asks for passwords itself."""

    reach: Reach
    script: str

    def start(self) -> str:
        if self.reach.own_store:
            return "see logs/postgres.log of the state folder; the supervisor starts it again"
        return "start PostgreSQL there, or correct PENSTOCK_POSTGRES_URL"

    def roles(self) -> str:
        if self.reach.own_store:
            return f"{Relief.RESTART}, which makes absent roles and databases"
        return f"`penstock prepare`, then `{_psql()} -X -f {self.script} {self._place('postgres')}`"

    def password(self, role: str) -> str:
        """Say how a role is given the password that is known here, without telling it."""
        change = f"{_psql()} -X -c '\\password {role}' {self._place('postgres')}"
        return (
            f"where the role is absent: {self.roles()}; else give it the password that "
            f"credentials/secrets.json calls {postgres_secret(role)}: `{change}`"
        )

    def promote(self) -> str:
        return "name the primary in PENSTOCK_POSTGRES_URL, or promote this one: " + self.sql(
            "postgres", "SELECT pg_promote()"
        )

    def sql(self, database: str, statement: str, who: str = "") -> str:
        """Give a statement as a command for a role, the administrator by default."""
        return f'`{_psql()} -X -c "{statement}" {self._place(database, who)}`'

    def _place(self, database: str, who: str = "") -> str:
        name = who or (ADMIN if self.reach.own_store else "administrator")
        return f"postgresql://{name}@{self.reach.store_place}/{database}"


def _psql() -> str:
    try:
        return relative(find_psql())
    except ServerMissingError:
        return "psql"


def _look(
    key: StoreKey, url: str, sight: StoreSight, machine: Machine, help_: _Help
) -> list[Finding]:
    """Look as one role; blocking."""
    database, role = key
    where = f"{help_.reach.store_place}, database {database}, role {role}"
    try:
        with StoreInspection(url) as store:
            begun_us = machine.now_us()
            server = store.server()
            spent_us = machine.now_us() - begun_us
            findings = list(_judge_server(key, server, where, help_))
            if role == AUDITOR and database == DATABASES[0]:
                sight.now_us = server.now_us
                findings.append(judge_clock(machine, "PostgreSQL", server.now_us, spent_us))
            findings += _look_inside(key, store, sight, where, help_)
            return findings
    except UnsupportedServer as fault:
        place = help_.reach.store_place
        mend = "update PostgreSQL to 17 or later"
        return [found(Code.STORE_TOO_OLD, "postgres", shortened(str(fault)), place, mend)]
    except PenstockFault as fault:
        return [_refused(key, str(fault), where, help_)]


# Of a connection that did not come about the driver knows only the server's words.
_REFUSALS: Final = (
    (("too many connections", "too many clients", "remaining connection slots"),
     Code.STORE_CONNECTIONS_USED_UP),
    (("password authentication failed", "no password supplied", "pg_hba", "is not permitted to"),
     Code.STORE_LOGIN_REFUSED),
    (("permission denied for database",), Code.STORE_LOGIN_REFUSED),
    (("database", "does not exist"), Code.STORE_DATABASE_MISSING),
)  # fmt: skip


_WITHOUT_WRITES: Final = ("takes writes", "was overtaken")  # as the adapter says it


def _refused(key: StoreKey, said: str, where: str, help_: _Help) -> Finding:
    database, role = key
    text = said.lower()
    detail = shortened(said.partition("FATAL:")[2].strip() or said)
    if any(word in text for word in _REFUSALS[0][0]):
        mend = "end what holds the connections, or raise the limit: " + help_.sql(
            "postgres", f"ALTER ROLE {role} CONNECTION LIMIT -1"
        )
        return found(Code.STORE_CONNECTIONS_USED_UP, "postgres", detail, where, mend)
    for words, code in _REFUSALS[1:3]:
        if any(word in text for word in words):
            return found(code, "postgres", detail, where, help_.password(role))
    if any(word in text for word in _WITHOUT_WRITES):
        detail = detail.partition(": ")[2] or detail
        return found(
            Code.STORE_IS_STANDBY, "postgres", detail, help_.reach.store_place, help_.promote()
        )
    if all(word in text for word in _REFUSALS[3][0]):
        return found(Code.STORE_DATABASE_MISSING, "postgres", detail, where, help_.roles())
    if "[" in said and database:  # a statement was refused, not the connection
        mend = f"{Relief.RESTART}: the migration grants it again"
        return found(Code.STORE_RIGHTS_MISSING, "postgres", detail, where, mend)
    return found(Code.STORE_UNREACHABLE, "postgres", detail, help_.reach.store_place, help_.start())


# --- the server ---------------------------------------------------------------------------------


def _judge_server(
    key: StoreKey, server: ServerFacts, where: str, help_: _Help
) -> Iterator[Finding]:
    database, role = key
    place = help_.reach.store_place
    if server.is_standby:
        detail = "the server follows another one and takes no writes"
        yield found(Code.STORE_IS_STANDBY, "postgres", detail, place, help_.promote())
    for name in ("fsync", "full_page_writes"):
        if server.settings.get(name) == "off":
            reset = f"ALTER SYSTEM SET {name} = on"
            reload = help_.sql("postgres", "SELECT pg_reload_conf()")
            mend = f"{help_.sql('postgres', reset)}, then {reload}"
            detail = f"{name} is off: a loss of power can destroy the store"
            yield found(Code.STORE_FSYNC_OFF, "postgres", detail, place, mend)
    commit = server.settings.get("synchronous_commit", "on")
    if role == service_of(database) and commit not in DURABLE:
        reset = f"ALTER ROLE {role} SET synchronous_commit = on"
        detail = f"synchronous_commit is {commit} for {role}"
        mend = f"{help_.sql('postgres', reset)}, then {Relief.RESTART}"
        yield found(Code.STORE_COMMIT_NOT_DURABLE, "postgres", detail, where, mend)
    if server.connections >= CROWDED * server.connections_max:
        detail = f"{server.connections} of {server.connections_max} connections are taken"
        mend = "end what holds them, or raise max_connections and restart the server"
        yield found(Code.STORE_CONNECTIONS_FEW, "postgres", detail, place, mend)
    if server.standbys and not server.settings.get("synchronous_standby_names"):
        # No name that exists, and none that the server takes: after `*` a backup that ends would
        # stop every commit, and so would a name that nobody has.
        change = "ALTER SYSTEM SET synchronous_standby_names = '<application_name>'"
        reload = help_.sql("postgres", "SELECT pg_reload_conf()")
        names = help_.sql("postgres", "SELECT application_name, state FROM pg_stat_replication")
        detail = "a standby (or a backup) receives the log, and commits do not wait for it"
        mend = (
            f"during a backup: nothing; for a standby: {names} names it, then with that name "
            f"{help_.sql('postgres', change)}, then {reload}; commits then wait whenever it is away"
        )
        yield found(Code.STANDBY_NOT_SYNCHRONOUS, "postgres", detail, place, mend)


# --- tables -------------------------------------------------------------------------------------


def _look_inside(
    key: StoreKey, store: StoreInspection, sight: StoreSight, where: str, help_: _Help
) -> list[Finding]:
    database, role = key
    if role == owner_of(database):
        return []
    findings: list[Finding] = []
    ready = True
    for schema in SCHEMAS[database]:
        facts = store.schema(schema)
        sight.empty = sight.empty and facts.found is None
        fault = _judge_schema(schema, facts, f"{help_.reach.store_place}, database {database}")
        ready = ready and (fault is None or facts.found is not None)
        findings += [fault] if fault is not None else []
    if not ready:
        return findings
    if role == AUDITOR:
        _collect(database, store, sight)
    elif database != GATEWAY:
        findings += _judge_events(database, store, where, help_)
    return findings


def _judge_schema(schema: Schema, facts: SchemaFacts, where: str) -> Finding | None:
    if facts.found == facts.needed:
        return None
    migrate = f"{Relief.RESTART}: its service migrates it as PENSTOCK_POSTGRES_OWNER_URL"
    if facts.found is None:
        detail = f"there are no tables of {schema.value} yet"
        return found(Code.SCHEMA_MISSING, "schema", detail, where, migrate)
    detail = f"{schema.value} is at version {facts.found}, this release needs {facts.needed}"
    if facts.found < facts.needed:
        return found(Code.SCHEMA_OLD, "schema", detail, where, migrate)
    mend = "run the release that migrated it (`penstock --version` shows this one's), or restore"
    return found(Code.SCHEMA_NEWER, "schema", detail, where, mend)


def _judge_events(
    database: str, store: StoreInspection, where: str, help_: _Help
) -> Iterator[Finding]:
    rights = store.rights()
    role, owner = service_of(database), owner_of(database)
    excess = [right for right in FORBIDDEN if right in rights]
    if excess:
        revoke = f"REVOKE {', '.join(excess)} ON {EVENT_TABLE} FROM {role}"
        detail = f"{role} may {', '.join(excess)} {EVENT_TABLE}"
        mend = help_.sql(database, revoke, owner)
        yield found(Code.EVENTS_CHANGEABLE, "events", detail, where, mend)
    lacking = [right for right in NEEDED if right not in rights]
    if lacking:
        grant = f"GRANT {', '.join(lacking)} ON {EVENT_TABLE} TO {role}"
        detail = f"{role} may not {', '.join(lacking)} on {EVENT_TABLE}"
        mend = help_.sql(database, grant, owner)
        yield found(Code.STORE_RIGHTS_MISSING, "events", detail, where, mend)
    guard = store.guard()
    if guard != ALWAYS:
        place = f"{help_.reach.store_place}, database {database}, table {EVENT_TABLE}"
        state = "does not fire always" if guard else "does not exist"
        enable = f"ALTER TABLE {EVENT_TABLE} ENABLE ALWAYS TRIGGER append_only"
        create = (
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {EVENT_TABLE} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        statement = enable if guard else f"{create}; {enable}"
        detail = f"the trigger append_only {state}"
        mend = help_.sql(database, statement, owner)
        yield found(Code.EVENTS_UNGUARDED, "events", detail, place, mend)


def _collect(database: str, store: StoreInspection, sight: StoreSight) -> None:
    """Read what other judges need, as the auditor."""
    if database != GATEWAY:
        sight.leases[database] = store.leases()
        return
    sight.leases[database] = store.leases()
    sight.seen = store.seen()
    for kind, state in LOOKED_AT:
        sight.views[kind] = store.views(kind, state)
