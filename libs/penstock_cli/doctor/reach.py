"""Where the servers are and which logins are known here; read without writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from penstock_adapters.embedded.credentials import nats_secret, postgres_secret
from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.nats_server import BusLogin
from penstock_adapters.embedded.ports import LOOPBACK
from penstock_adapters.embedded.postgres_roles import (
    AUDITOR,
    DATABASES,
    owner_of,
    role_url,
    service_of,
)
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_contracts.permissions import BusUser, inbox_prefix
from penstock_runtime.settings import FILE_SUFFIX

BUS_SCHEMES: Final = ("nats", "tls")
STORE_SCHEMES: Final = ("postgresql", "postgres")
MAX_FILE_BYTES: Final = 64 * 1024
POOL_USER: Final = f"{BusUser.EXECUTOR.value}-"
StoreKey = tuple[str, str]
"""(database, role)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be reached from here.

    Attributes:
        bus_url: servers without a login; "": none is known.
        logins: how each user connects, as far as it is known.
        shared: all of them use one login, that of `PENSTOCK_NATS_URL`.
        stores: connection URL by database and role.
        store_place: `host:port`; "": none is known.
        own_bus: the server is the stack's own.
        own_store: the same of PostgreSQL.
        invalid: variables whose URL is none.
    """

    bus_url: str = ""
    logins: Mapping[BusUser, BusLogin] = field(default_factory=dict[BusUser, BusLogin])
    shared: bool = False
    stores: Mapping[StoreKey, str] = field(default_factory=dict[StoreKey, str])
    store_place: str = ""
    own_bus: bool = True
    own_store: bool = True
    invalid: tuple[str, ...] = ()


def setting(environ: Mapping[str, str], name: str) -> str:
    """Give a variable, or the text of the file that its `_FILE` form names; "" for neither."""
    path = environ.get(name + FILE_SUFFIX, "")
    if environ.get(name) or not path:
        return environ.get(name, "")
    try:
        with Path(path).open(encoding="utf-8") as source:
            return source.read(MAX_FILE_BYTES).strip()
    except (OSError, UnicodeDecodeError):
        return ""  # told by the look at settings


def find_reach(folder: StateFolder, environ: Mapping[str, str]) -> Reach:
    """Find servers and logins: in the environment, else in the state folder."""
    secrets = _texts(folder.secrets)
    ports = _object(folder.run / "ports.json")
    bus = _bus(folder, environ, secrets, ports)
    store = _store(folder, environ, secrets, ports)
    return Reach(
        bus_url=bus.bus_url, logins=bus.logins, shared=bus.shared, own_bus=bus.own_bus,
        stores=store.stores, store_place=store.store_place, own_store=store.own_store,
        invalid=(*bus.invalid, *store.invalid),
    )  # fmt: skip


def _object(path: Path) -> dict[str, object]:
    try:
        return read_object(path) or {}
    except (EmbeddedError, OSError):
        return {}  # told by the look at the folder


def _texts(path: Path) -> dict[str, str]:
    return {name: value for name, value in _object(path).items() if isinstance(value, str)}


# --- bus ----------------------------------------------------------------------------------------


def _bus(
    folder: StateFolder, environ: Mapping[str, str], secrets: Mapping[str, str],
    ports: Mapping[str, object],
) -> Reach:  # fmt: skip
    named = setting(environ, NATS_URL_VARIABLE)
    creds = _texts(folder.trigger_creds)
    own_port = ports.get("nats")
    own = f"nats://{LOOPBACK}:{own_port}" if isinstance(own_port, int) else ""
    if named:
        bare, login = split_bus_url(named)
        if not bare:
            return Reach(invalid=(NATS_URL_VARIABLE,), own_bus=False)
        user = environ.get("PENSTOCK_NATS_USER", "")
        if login is not None:
            return Reach(bare, _all_as(bare, *login), shared=True, own_bus=False)
        if user:
            return Reach(bare, _alone(bare, user, environ), own_bus=False)
        return Reach(bare, _logins(bare, secrets, creds), own_bus=False)
    url = creds.get("url", own)
    is_own = url == own
    if creds and creds.get("user") != BusUser.TRIGGER and not is_own:
        logins = _all_as(url, creds.get("user", ""), creds.get("password", ""))
        return Reach(url, logins, shared=True, own_bus=False)
    return Reach(url, _logins(url, secrets, creds), own_bus=is_own)


def split_bus_url(named: str) -> tuple[str, tuple[str, str] | None]:
    """Give the servers without any login, and the first login; ("", None) for no URL at all."""
    places: list[str] = []
    logins: list[tuple[str, str]] = []
    for server in [part.strip() for part in named.split(",") if part.strip()]:
        try:
            parts = urlsplit(server if "//" in server else f"nats://{server}")
            _ = parts.port
        except ValueError:
            return "", None
        if parts.scheme not in BUS_SCHEMES or not parts.hostname:
            return "", None
        if parts.username is not None:
            logins.append((unquote(parts.username), unquote(parts.password or "")))
        places.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return ",".join(places), logins[0] if logins else None


def _all_as(url: str, user: str, password: str) -> dict[BusUser, BusLogin]:
    users = (one for one in BusUser if one is not BusUser.ADMIN)
    return {one: BusLogin(url, user, password, inbox_prefix(one)) for one in users}


def _alone(url: str, user: str, environ: Mapping[str, str]) -> dict[BusUser, BusLogin]:
    """Give the one login of a service's own environment."""
    password = setting(environ, "PENSTOCK_NATS_PASSWORD")
    name = BusUser.EXECUTOR.value if user.startswith(POOL_USER) else user
    if name not in {one.value for one in BusUser}:
        return {}
    prefix = environ.get("PENSTOCK_NATS_INBOX_PREFIX") or inbox_prefix(BusUser(name))
    return {BusUser(name): BusLogin(url, user, password, prefix)}


def _logins(
    url: str, secrets: Mapping[str, str], creds: Mapping[str, str]
) -> dict[BusUser, BusLogin]:
    found: dict[BusUser, BusLogin] = {}
    for user in BusUser:
        password = secrets.get(nats_secret(user.value))
        if password and user is not BusUser.ADMIN:
            found[user] = BusLogin(url, user.value, password, inbox_prefix(user))
    if any(name.startswith(nats_secret(POOL_USER)) for name in secrets):
        found.pop(BusUser.EXECUTOR, None)  # each pool was handed a user of its own
    if BusUser.TRIGGER not in found and creds.get("user") == BusUser.TRIGGER:
        found[BusUser.TRIGGER] = BusLogin(
            url, creds["user"], creds.get("password", ""), inbox_prefix(BusUser.TRIGGER)
        )
    return found


# --- stores -------------------------------------------------------------------------------------


def _store(
    folder: StateFolder, environ: Mapping[str, str], secrets: Mapping[str, str],
    ports: Mapping[str, object],
) -> Reach:  # fmt: skip
    named = setting(environ, POSTGRES_URL_VARIABLE)
    if named:
        return _named_store(named, secrets)
    told = _texts(folder.auditor_url)
    base = next(iter(told.values()), "")
    port = ports.get("postgres")
    if isinstance(port, int) and not base:
        base = f"postgresql://{LOOPBACK}:{port}"
    if not base:
        return Reach()
    own = isinstance(port, int) and place_of(base) == f"{LOOPBACK}:{port}"
    stores = {(name, AUDITOR): url for name, url in told.items() if name in DATABASES}
    return Reach(
        stores={**stores, **_role_urls(base, secrets)}, store_place=place_of(base), own_store=own
    )


def _named_store(named: str, secrets: Mapping[str, str]) -> Reach:
    try:
        parts = urlsplit(named)  # of several hosts, too
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in STORE_SCHEMES or not (parts.netloc or "host=" in parts.query):
        return Reach(invalid=(POSTGRES_URL_VARIABLE,), own_store=False)
    for name in DATABASES:  # in a service's own environment
        if parts.username == service_of(name):
            return Reach(
                stores={(name, service_of(name)): named}, store_place=place_of(named),
                own_store=False,
            )  # fmt: skip
    return Reach(stores=_role_urls(named, secrets), store_place=place_of(named), own_store=False)


def _role_urls(base: str, secrets: Mapping[str, str]) -> dict[StoreKey, str]:
    return {
        (name, role): role_url(base, role, secrets[postgres_secret(role)], name)
        for name in DATABASES
        for role in (owner_of(name), service_of(name), AUDITOR)
        if postgres_secret(role) in secrets
    }


def place_of(url: str) -> str:
    """Give host and port of a URL, never its login."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the host that the URL's query names"
