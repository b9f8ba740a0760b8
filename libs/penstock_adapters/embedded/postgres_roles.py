"""Databases and roles: created through psql and `roles.sql`, for our server and others' alike."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.faults import StartFailedError

DATABASES: Final = ("penstock_scheduler", "penstock_approval", "penstock_gateway")
AUDITOR: Final = "auditor"
ROLES_SQL: Final = Path(__file__).with_name("roles.sql")
SCRAM_ITERATIONS: Final = 4096
SCRAM_SALT_BYTES: Final = 16
PSQL_TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 10


def owner_of(database: str) -> str:
    """Role that owns `database` and migrates it."""
    return f"{database}_owner"


def service_of(database: str) -> str:
    """Role the service of `database` works with."""
    return f"{database}_service"


def all_roles() -> tuple[str, ...]:
    """Every role that logs in, except the administrator."""
    owners_and_services = (r for d in DATABASES for r in (owner_of(d), service_of(d)))
    return (AUDITOR, *owners_and_services)


def password_variable(role: str) -> str:
    """Environment variable from which `roles.sql` takes the password of `role`."""
    return f"PENSTOCK_{role.removeprefix('penstock_').upper()}_PASSWORD"


def role_url(server_url: str, role: str, password: str, database: str) -> str:
    """Connection URL of `role` to `database` on the server of `server_url`, its options kept."""
    parts = urlsplit(server_url)
    place = parts.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{place}", path=f"/{database}"))


def role_verifiers(book: SecretBook) -> dict[str, str]:
    """Verifier of each role's password by variable of `roles.sql`; generates absent passwords."""
    book.ensure(map(postgres_secret, all_roles()))
    return {
        password_variable(role): scram_verifier(book[postgres_secret(role)]) for role in all_roles()
    }


@dataclass(frozen=True, slots=True)
class Database:
    """A database server as its administrator reaches it.

    Attributes:
        admin_url: connection URL of the administrator, password included.
        psql: the psql program.
    """

    admin_url: str
    psql: Path

    def url(self, role: str, password: str, database: str) -> str:
        """Connection URL of `role` to `database` on the same server, options kept."""
        return role_url(self.admin_url, role, password, database)

    def create_roles(self, book: SecretBook) -> None:
        """Create the roles and databases that are absent; existing roles keep their password.

        Raises:
            StartFailedError: psql failed; the message is its own.
        """
        _ = self.run(ROLES_SQL.read_text(encoding="utf-8"), role_verifiers(book))

    def run(self, script: str, variables: Mapping[str, str] | None = None) -> str:
        r"""Run a psql script as the administrator and return what it printed.

        Args:
            script: SQL and psql commands; secrets belong into `variables`.
            variables: environment for `\getenv`.

        Raises:
            StartFailedError: psql failed; the message is its own.
        """
        parts = urlsplit(self.admin_url)
        place = parts.netloc.rpartition("@")[2]
        user = quote(unquote(parts.username or ""), safe="")
        bare = urlunsplit(parts._replace(netloc=f"{user}@{place}"))
        environment = {
            "PATH": os.defpath,
            "PGPASSWORD": unquote(parts.password or ""),
            "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S),
            **(variables or {}),
        }
        try:
            done = subprocess.run(
                [str(self.psql), "-X", "-q", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", bare],
                input=script,
                env=environment,
                capture_output=True,
                check=False,
                text=True,
                timeout=PSQL_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartFailedError(f"psql did not finish: {error}") from error
        if done.returncode != 0:
            raise StartFailedError(f"PostgreSQL refused the set-up: {done.stderr.strip()}")
        return done.stdout.strip()


def scram_verifier(password: str) -> str:
    """The verifier PostgreSQL stores for `password` (RFC 5802), so it never sees the password.

    Args:
        password: printable ASCII; other text would need SASLprep.
    """
    salt = secrets.token_bytes(SCRAM_SALT_BYTES)
    # penstock: ignore[weak-password-hash] -- random passwords, and PostgreSQL's own count
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(value).decode("ascii") for value in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{shown[0]}${shown[1]}:{shown[2]}"
