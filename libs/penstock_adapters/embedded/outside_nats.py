"""A NATS server that is not ours: who logs in there, what it is told, and whether it will do.

Without a login in the URL each service logs in as its own user. The account that knows these
users and their permissions is written for the operator to include in the server's configuration
(`write_account`). With a login all services use it, and no permissions keep them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from penstock_adapters.embedded.credentials import SecretBook, nats_secret
from penstock_adapters.embedded.faults import OutsideServerError
from penstock_adapters.embedded.home import StateFolder, write_private
from penstock_adapters.embedded.nats_server import BusLogin, render_account
from penstock_adapters.embedded.service_environment import NATS_URL_VARIABLE
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.jetstream import STREAM_NOT_FOUND, JetStreamApi, RefusedError
from penstock_adapters.nats.streams import (
    MAX_BYTES,
    UNBOUNDED,
    ensure_heartbeats,
    ensure_streams,
)
from penstock_contracts.permissions import OWNED_STREAMS, BusUser, inbox_prefix, permission_table
from penstock_contracts.subjects import ROOT, Stream
from penstock_runtime.faults import TransientFault

SCHEMES: Final = ("nats", "tls")
OLDEST_VERSION: Final = (2, 12)  # the first whose streams take atomic batches
STREAMS_WITHIN_S: Final = 3.0  # of one attempt to create what is absent
GIB: Final = 1024**3
# The administrator of a server that is not ours is no business of ours.
USERS: Final = tuple(user for user in BusUser if user is not BusUser.ADMIN)

_ACCOUNT_HEAD: Final = """\
# The NATS account of this Penstock, written by Penstock. Copy it beside the server's own
# configuration and include it there (the path of an include is relative to the including file):
#
#   accounts {
#     include ./nats-account.conf
#   }
#
# It holds passwords: readable by the server only.
"""


def has_login(url: str) -> bool:
    """Tell whether the URL brings a login of its own."""
    return _split(url)[1] is not None


def outside_logins(url: str, secrets: SecretBook) -> dict[BusUser, BusLogin]:
    """How each user connects: with the URL's own login, else as itself.

    Args:
        url: `nats://` or `tls://`, one server or several separated by commas.
        secrets: receives a password per user where the URL has no login.

    Raises:
        OutsideServerError: the URL is none, or its login is not complete.
    """
    bare, login = _split(url)
    if login is not None:
        return {user: BusLogin(bare, *login, inbox_prefix(user)) for user in BusUser}
    passwords = _passwords(secrets)
    return {user: BusLogin(bare, user.value, passwords[user], inbox_prefix(user)) for user in USERS}


def write_account(folder: StateFolder, secrets: SecretBook, tenant: str) -> None:
    """Write the account with its users and permissions to `folder.nats_account`."""
    table = {user: rules for user, rules in permission_table(tenant).items() if user in USERS}
    write_private(folder.nats_account, _ACCOUNT_HEAD + render_account(_passwords(secrets), table))


async def prepare_bus(
    logins: Mapping[BusUser, BusLogin],
    account: Path | None,
    replicas: int | None = None,
    users: Iterable[BusUser] = USERS,
) -> None:
    """Log in as every one of `users`, and have every stream's owner bring it about.

    The owners do so themselves at their start. Here a server without room for the streams, or
    with a stranger's stream under one of our names, is found before anything starts.

    Args:
        logins: how each user connects.
        account: place of the account's file where the users are ours, else None.
        replicas: servers that keep each stream, as the services will be told.
        users: those that will be at work.

    Raises:
        OutsideServerError: one of them cannot, or the server will not do; says which and the mend.
    """
    for user in users:
        try:
            connection = await connect(_settings(logins[user], replicas))
        except TransientFault as fault:
            mend = f" {_mend(account)}" if account is not None else ""
            raise OutsideServerError(f"{NATS_URL_VARIABLE}: {fault}{mend}") from fault
        try:
            _refuse_old(connection.server_version)
            await _prepare_streams(connection, user)
        except TransientFault as fault:
            text = f"{NATS_URL_VARIABLE}: as {logins[user].user}: {fault}"
            raise OutsideServerError(text) from fault
        finally:
            await connection.close()


def _mend(account: Path) -> str:
    return (
        f"The users of this Penstock are in {account}: include it in the server's `accounts`, "
        "reload the server, and try again."
    )


def _split(url: str) -> tuple[str, tuple[str, str] | None]:
    """The servers without any login, and the first login among them."""
    places: list[str] = []
    logins: list[tuple[str, str]] = []
    for server in [part.strip() for part in url.split(",") if part.strip()] or [""]:
        try:
            parts = urlsplit(server if "//" in server else f"{SCHEMES[0]}://{server}")
        except ValueError:  # whose text may repeat a password
            parts = urlsplit("")
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise OutsideServerError(
                f"{NATS_URL_VARIABLE} names no server of NATS: write nats://host:4222, "
                "tls://host:4222, or several separated by commas"
            )
        if parts.username is not None:
            if parts.password is None:
                raise OutsideServerError(
                    f"{NATS_URL_VARIABLE}: a login is user:password@; tokens are not supported"
                )
            logins.append((unquote(parts.username), unquote(parts.password)))
        places.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return ",".join(places), logins[0] if logins else None


def _passwords(secrets: SecretBook) -> dict[BusUser, str]:
    secrets.ensure(nats_secret(user.value) for user in USERS)
    return {user: secrets[nats_secret(user.value)] for user in USERS}


def _settings(login: BusLogin, replicas: int | None) -> NatsSettings:
    return NatsSettings(
        url=login.url,
        user=login.user,
        password=login.password,
        inbox_prefix=login.inbox_prefix,
        name="penstock-up",
        replicas=replicas,
    )


def _refuse_old(version: tuple[int, int]) -> None:
    if version < OLDEST_VERSION:
        found, wanted = (".".join(map(str, number)) for number in (version, OLDEST_VERSION))
        raise TransientFault(f"nats-server {wanted} or later is needed, this one is {found}")


async def _prepare_streams(connection: NatsConnection, user: BusUser) -> None:
    owned = OWNED_STREAMS.get(user, ())
    await _refuse_strangers(JetStreamApi(connection), owned)
    try:
        await ensure_streams(connection, owned, timeout_s=STREAMS_WITHIN_S)
        if user is BusUser.SCHEDULER:
            await ensure_heartbeats(connection, timeout_s=STREAMS_WITHIN_S)
    except TransientFault as fault:
        reserved = sum(bound for bound in MAX_BYTES.values() if bound != UNBOUNDED) / GIB
        text = f"{fault}. Bounded streams reserve {reserved:.2f} GiB of file storage in all"
        raise TransientFault(text) from fault


async def _refuse_strangers(api: JetStreamApi, owned: Collection[Stream]) -> None:
    """What the owner of a stream finds under its name must be ours, or nothing."""
    for stream in owned:
        try:
            found = await api.stream_info(stream.value)
        except RefusedError as refused:
            if refused.err_code != STREAM_NOT_FOUND:
                raise
            continue
        _refuse_strange(stream, found.config.get("subjects"))


def _refuse_strange(stream: Stream, subjects: object) -> None:
    """Refuse a stream of somebody else, which our settings would take away from its owner."""
    listed = cast("list[str]", subjects) if isinstance(subjects, list) else []
    strange = [subject for subject in listed if not subject.startswith(f"{ROOT}.")]
    if strange or not listed:
        raise TransientFault(
            f"the account already has a stream {stream.value} that is not Penstock's "
            f"(it holds {', '.join(strange) or 'no subjects'}): give Penstock an account of its own"
        )
