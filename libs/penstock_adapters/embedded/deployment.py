"""What each process of a deployment of one's own is handed: a folder of files for each.

A process gets its own folder and no other one: its login on the bus, its roles of the database,
its keys. The folders are mounted or copied to where the processes run (Compose, Kubernetes); the
names of the files are those of the settings' variables, whose `_FILE` form reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.credentials import SecretBook, nats_secret, postgres_secret
from penstock_adapters.embedded.grant_key import ensure_grant_key
from penstock_adapters.embedded.home import FOLDER_MODE, StateFolder, write_private
from penstock_adapters.embedded.nats_server import BusLogin, render_account
from penstock_adapters.embedded.outside_postgres import roles_script
from penstock_adapters.embedded.postgres_roles import (
    AUDITOR,
    DATABASES,
    all_roles,
    owner_of,
    password_variable,
    role_url,
    role_verifiers,
    service_of,
)
from penstock_adapters.embedded.service_environment import KINDS
from penstock_adapters.embedded.stack import ADMIN_TOKEN, TASK_SECRET
from penstock_adapters.nats.work import durable_of
from penstock_contracts.permissions import BusUser, Permissions, inbox_prefix, permission_table
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.grants import written

HANDED_MODE: Final = 0o444  # whoever is handed the folder reads it, under whatever uid it runs
HANDED_FOLDER_MODE: Final = 0o755
ADMINISTRATOR: Final = "administrator"  # of the database server, and of Grafana
EXECUTOR: Final = BusUser.EXECUTOR.value
DASHBOARDS: Final = "grafana"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the servers of the deployment are.

    Attributes:
        nats_url: `nats://host:4222`, without a login.
        postgres_url: `postgresql://host:5432`, without a login.
        pools: pools that executors work for; each has a login of its own.
        tenant: whose triggers the trigger user may publish.
    """

    nats_url: str
    postgres_url: str
    pools: Sequence[str]
    tenant: str


def executor_user(pool: str) -> str:
    """Name on the bus of the executors of `pool`."""
    return f"{EXECUTOR}-{pool}"


def executor_inbox(pool: str) -> str:
    """Prefix of the inboxes of the executors of `pool`; no other pool may listen there."""
    return f"{inbox_prefix(BusUser.EXECUTOR)}-{pool}"


def bus_users(pools: Iterable[str], tenant: str) -> dict[str, Permissions]:
    """Permissions by user: a user for each pool, which may pull from its own consumer only."""
    table = permission_table(tenant)
    users = {
        user.value: table[user] for user in BusUser if user not in (BusUser.EXECUTOR, BusUser.ADMIN)
    }
    for pool in pools:
        rules = permission_table(tenant, durable_of(pool))[BusUser.EXECUTOR]
        shared = f"{inbox_prefix(BusUser.EXECUTOR)}.>"
        own = tuple(
            f"{executor_inbox(pool)}.>" if pattern == shared else pattern
            for pattern in rules.subscribe
        )
        users[executor_user(pool)] = replace(rules, subscribe=own)
    return users


def renew_logins(secrets: SecretBook, pools: Iterable[str]) -> None:
    """Draw the passwords of bus and databases afresh.

    The database administrator keeps its own, with which the others are changed. Keys and tokens
    stay: what has been approved and not executed, and what is under way, rests on them.
    """
    users = bus_users(pools, DEFAULT_TENANT)
    secrets.renew([*map(nats_secret, users), *map(postgres_secret, all_roles())])


def write_deployment(target: Path, place: Place, folder: StateFolder, secrets: SecretBook) -> None:
    """Write a folder for each process below `target`; what is there is replaced file by file.

    Args:
        target: receives the folders. It is narrowed to us when it is made here.
        place: where the servers are.
        folder: the state folder; keeps the secrets and the key that grants are signed with.
        secrets: receives what is missing.
    """
    users = bus_users(place.pools, place.tenant)
    secrets.ensure([*map(nats_secret, users), *map(postgres_secret, all_roles())])
    secrets.ensure([ADMIN_TOKEN, postgres_secret(ADMINISTRATOR), f"{DASHBOARDS}.{ADMINISTRATOR}"])
    secrets.ensure_hex(TASK_SECRET)
    key = ensure_grant_key(folder.grant_key)
    target.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    passwords = {user: secrets[nats_secret(user)] for user in users}
    hand = _Hand(target)
    hand.over("nats", {"nats-account.conf": render_account(passwords, users)})
    hand.over(
        "postgres",
        {
            "administrator-password": secrets[postgres_secret(ADMINISTRATOR)],
            "roles.sql": _roles(secrets),
        },
    )
    for name, kind in KINDS.items():
        if kind.database is not None:
            keys = {
                "task-secret": secrets[TASK_SECRET] if kind.task_secret else None,
                "grant-key": folder.grant_key.read_text(encoding="utf-8")
                if kind.signs_grants
                else None,
                "admin-token": secrets[ADMIN_TOKEN] if kind.api else None,
            }
            login = {"nats-password": passwords[kind.user.value]}
            stores = _store_urls(place, secrets, kind.database)
            hand.over(name, {**login, **stores, **{n: v for n, v in keys.items() if v}})
    for pool in place.pools:
        user = executor_user(pool)
        hand.over(user, {"nats-password": passwords[user], "grant-keys": written(key)})
    hand.over(DASHBOARDS, {"administrator-password": secrets[f"{DASHBOARDS}.{ADMINISTRATOR}"]})
    hand.over(f"{ADMINISTRATOR}/credentials", _documents(place, secrets))


class _Hand:
    """Writes what is handed over."""

    def __init__(self, target: Path) -> None:
        self._target: Path = target

    def over(self, name: str, files: Mapping[str, str]) -> None:
        folder = self._target / name
        folder.mkdir(mode=HANDED_FOLDER_MODE, parents=True, exist_ok=True)
        for file, text in files.items():
            write_private(folder / file, text.rstrip("\n") + "\n", HANDED_MODE)


def _store_urls(place: Place, secrets: SecretBook, database: str) -> dict[str, str]:
    roles = {"postgres-url": service_of(database), "postgres-owner-url": owner_of(database)}
    return {
        file: role_url(place.postgres_url, role, secrets[postgres_secret(role)], database)
        for file, role in roles.items()
    }


def _documents(place: Place, secrets: SecretBook) -> dict[str, str]:
    """What the command line looks for in its state folder."""
    user = BusUser.TRIGGER
    password = secrets[nats_secret(user.value)]
    auditor = {
        name: role_url(place.postgres_url, AUDITOR, secrets[postgres_secret(AUDITOR)], name)
        for name in DATABASES
    }
    return {
        "admin.token": secrets[ADMIN_TOKEN],
        "trigger.creds": BusLogin(
            place.nats_url, user.value, password, inbox_prefix(user)
        ).document(),
        "auditor.url": json.dumps(auditor, indent=1),
    }


def _roles(secrets: SecretBook) -> str:
    """The script of the roles, which also gives existing ones the password they should have."""
    verifiers = role_verifiers(secrets)
    renewed = "".join(
        f"ALTER ROLE {role} PASSWORD '{verifiers[password_variable(role)]}';\n"
        for role in all_roles()
    )
    return f"{roles_script(verifiers)}\n-- Whose password was renewed gets the new one.\n{renewed}"
