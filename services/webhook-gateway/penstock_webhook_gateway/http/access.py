"""Who asks, and what they may do."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from penstock_contracts.values import DEFAULT_TENANT, SYSTEM_TENANT
from penstock_runtime.ports.projection import ViewReader
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.kinds import View

_BEARER = "bearer "
TOKEN_BYTES_MAX = 512


class Role(StrEnum):
    """What a token may do; admin includes all others."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"
    AUDITOR = "auditor"


READ = frozenset({Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR, Role.ADMIN})
OPERATE = frozenset({Role.OPERATOR, Role.ADMIN})
DECIDE = frozenset(Role)  # whether a principal is among a gate's approvers, the approval decides
ADMINISTER = frozenset({Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    name: str
    roles: tuple[str, ...]
    tenant: str = DEFAULT_TENANT
    groups: tuple[str, ...] = ()

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return f"token:{self.name}"


def token_hash(token: str) -> str:
    """Give the form in which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


async def authenticate(headers: Mapping[str, str], reader: ViewReader) -> Principal | None:
    """Give the caller of a request with a valid bearer token; None without any token.

    Raises:
        Problem: 401: the token is not valid.
    """
    given = headers.get("Authorization", "")
    if not given:
        return None
    readable = given.isascii() and len(given) <= TOKEN_BYTES_MAX
    if not readable or not given.lower().startswith(_BEARER):
        raise _unauthorized("send `Authorization: Bearer <token>`")
    digest = token_hash(given[len(_BEARER) :].strip())
    row = await reader.get(View.TOKEN, SYSTEM_TENANT, digest)
    if row is None:
        raise _unauthorized("this token is not valid (any more)")
    return Principal(
        name=str(row.body["name"]),
        roles=texts(row.body.get("roles")),
        tenant=str(row.body["tenant"]),
        groups=texts(row.body.get("groups")),
    )


def texts(value: JsonValue) -> tuple[str, ...]:
    """Read a list of texts of a row; none where there is no list."""
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def require(principal: Principal | None, allowed: frozenset[Role]) -> Principal:
    """Check that the caller has one of the roles.

    Raises:
        Problem: 401 without a caller, 403 without a role.
    """
    if principal is None:
        raise _unauthorized("send `Authorization: Bearer <token>`; see credentials/admin.token")
    if allowed.isdisjoint(principal.roles):
        wanted = ", ".join(sorted(allowed))
        raise Problem(403, "not_allowed", f"needs one of the roles {wanted}")
    return principal


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "not_allowed", detail, headers={"WWW-Authenticate": "Bearer"})
