"""A PostgreSQL that is not ours: its databases and roles, made by us or made for us.

With a login in the URL, an administrator's, absent databases and roles are created. Without one
an administrator has created them by the script that is written for this purpose
(`write_roles_script`), and no administrator's password is ever told to us. Either way every role
then logs in once, so that what does not fit is said before any service starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.faults import (
    OutsideServerError,
    ServerMissingError,
    StartFailedError,
)
from penstock_adapters.embedded.home import StateFolder, write_private
from penstock_adapters.embedded.postgres_install import find_psql
from penstock_adapters.embedded.postgres_roles import (
    AUDITOR,
    DATABASES,
    ROLES_SQL,
    Database,
    owner_of,
    role_url,
    role_verifiers,
    service_of,
)
from penstock_adapters.embedded.service_environment import POSTGRES_URL_VARIABLE
from penstock_adapters.postgres.probe import probe
from penstock_runtime.faults import PenstockFault, TransientFault

FIRST_DATABASE: Final = "postgres"  # to connect to where the URL names none
SCHEMES: Final = ("postgresql", "postgres")
_GETENV: Final = re.compile(r"^\\getenv (\w+) (PENSTOCK_\w+)$", re.MULTILINE)

_SCRIPT_HEAD: Final = """\
-- Databases and roles of this Penstock, written by Penstock: roles.sql with this instance's
-- passwords, as SCRAM verifiers. Run it as an administrator:
--   psql -X -f postgres-roles.sql postgresql://administrator@host/postgres
--
"""


def has_login(url: str) -> bool:
    """Tell whether the URL brings an administrator's login."""
    return urlsplit(url).username is not None


def roles_script(verifiers: Mapping[str, str]) -> str:
    """Text of the script that creates databases and roles, with each role's verifier in it.

    Args:
        verifiers: of each role's password, by variable of `roles.sql`.
    """
    script = _GETENV.sub(
        lambda line: f"\\set {line[1]} '{verifiers[line[2]]}'",
        ROLES_SQL.read_text(encoding="utf-8"),
    )
    return _SCRIPT_HEAD + script


def write_roles_script(folder: StateFolder, secrets: SecretBook) -> None:
    """Write the script that creates databases and roles to `folder.postgres_roles`."""
    write_private(folder.postgres_roles, roles_script(role_verifiers(secrets)))


def prepare_outside(url: str, folder: StateFolder, secrets: SecretBook) -> None:
    """See to it that databases and roles are there, and that each role may log in; blocking.

    Args:
        url: `postgresql://`, with an administrator's login, or with none.
        folder: receives the administrator's script where the URL has no login.
        secrets: receives a password per role.

    Raises:
        OutsideServerError: it cannot be used as it is; says why and the mend.
    """
    _refuse_other(url)
    if has_login(url):
        url = _with_database(url)
        _ask(url, "Start PostgreSQL there, or correct the administrator's login.")
        _create_roles(url, secrets)
        mend = (
            "A role that exists keeps its password: if another state folder created it, "
            "use that folder. One PostgreSQL serves one Penstock."
        )
    else:
        write_roles_script(folder, secrets)
        mend = (
            "Start PostgreSQL there, or have its administrator run, once, "
            f"`psql -X -f {folder.postgres_roles}`."
        )
    for name in DATABASES:
        for role in (owner_of(name), service_of(name), AUDITOR):
            _ask(role_url(url, role, secrets[postgres_secret(role)], name), mend)


def _refuse_other(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may repeat a password
        parts = urlsplit("")
    if parts.scheme not in SCHEMES or not (parts.netloc or "host=" in parts.query):
        raise OutsideServerError(
            f"{POSTGRES_URL_VARIABLE} names no PostgreSQL server: "
            "write postgresql://host:5432/postgres, with an administrator's user:password@ or none"
        )


def _with_database(url: str) -> str:
    parts = urlsplit(url)
    return url if len(parts.path) > 1 else urlunsplit(parts._replace(path=f"/{FIRST_DATABASE}"))


def _create_roles(url: str, secrets: SecretBook) -> None:
    try:
        Database(url, find_psql()).create_roles(secrets)
    except (ServerMissingError, StartFailedError) as error:
        raise OutsideServerError(f"{POSTGRES_URL_VARIABLE}: {error}") from error


def _ask(url: str, mend: str) -> None:
    """Log in once.

    Raises:
        OutsideServerError: that did not work; names the role, never its password.
    """
    try:
        probe(url)
    except PenstockFault as fault:
        parts = urlsplit(url)
        who = f"{parts.username} at {parts.netloc.rpartition('@')[2]}{parts.path}"
        hint = f". {mend}" if isinstance(fault, TransientFault) else ""
        raise OutsideServerError(f"{POSTGRES_URL_VARIABLE}: {who}: {fault}{hint}") from fault
