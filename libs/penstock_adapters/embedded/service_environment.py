"""What each service process is told through its environment, and how it is seen to be ready."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from penstock_adapters.embedded.nats_server import BusLogin
from penstock_adapters.embedded.ports import LOOPBACK
from penstock_contracts.permissions import BusUser
from penstock_runtime.settings import SECRET_PREFIX

NATS_URL_VARIABLE: Final = "PENSTOCK_NATS_URL"
NATS_REPLICAS_VARIABLE: Final = "PENSTOCK_NATS_REPLICAS"
POSTGRES_URL_VARIABLE: Final = "PENSTOCK_POSTGRES_URL"
PROBE_TIMEOUT_S: Final = 1.0
READY_PATH: Final = "/health/ready"
GRACE_S: Final = "8"  # below the supervisor's own bound; a caller's PENSTOCK_GRACE_S wins
STOP_WITHIN_S: Final = 15.0
READY_WITHIN_S: Final = 60.0
_NUMBERED = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """What a service may reach.

    Attributes:
        user: its user on the bus.
        database: its own database, or None.
        task_secret: True for the one that signs tasks.
        signs_grants: True for the one that holds the private key of grants.
        checks_grants: True for the one that executes what was approved.
        api: True for the one that serves people and bootstraps the administrator's token.
    """

    user: BusUser
    database: str | None = None
    task_secret: bool = False
    signs_grants: bool = False
    checks_grants: bool = False
    api: bool = False


KINDS: Final[Mapping[str, ServiceKind]] = {
    "scheduler": ServiceKind(BusUser.SCHEDULER, "penstock_scheduler", task_secret=True),
    "executor": ServiceKind(BusUser.EXECUTOR, checks_grants=True),
    "approval": ServiceKind(BusUser.APPROVAL, "penstock_approval", signs_grants=True),
    "webhook-gateway": ServiceKind(BusUser.GATEWAY, "penstock_gateway", api=True),
}


def kind_of(name: str) -> ServiceKind:
    """Kind of the process called `name`: a service, or a further instance such as `executor-2`.

    Raises:
        KeyError: there is no such service.
    """
    return KINDS[_NUMBERED.sub("", name)]


def instance_of(name: str) -> str:
    """Name of the instance: `scheduler` is `scheduler-1`."""
    return name if _NUMBERED.search(name) else f"{name}-1"


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """Everything one service process is given.

    Attributes:
        instance: its name.
        tenant: the default tenant.
        login: its login on the bus.
        ops_port: loopback port for health and metrics.
        http_port: loopback port for its API; the same where it has none.
        postgres_url: URL of the service role, or None.
        postgres_owner_url: URL of the role that migrates, or None.
        task_secret: key of the task codes, or None.
        grant_key_file: file with the private key of grants, or None.
        grant_keys: public keys that grants are checked with, or None.
        admin_token_file: file with the bootstrap token, or None.
        agent_secrets: True for who runs agents: nobody else is told `PENSTOCK_SECRET_<NAME>`.
    """

    instance: str
    tenant: str
    login: BusLogin
    ops_port: int
    http_port: int
    postgres_url: str | None = None
    postgres_owner_url: str | None = None
    task_secret: str | None = None
    grant_key_file: str | None = None
    grant_keys: str | None = None
    admin_token_file: str | None = None
    agent_secrets: bool = False


def environment(access: ServiceAccess, inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of one service: the caller's, with its own access and nobody else's."""
    given = {
        NATS_URL_VARIABLE: access.login.url,
        "PENSTOCK_NATS_USER": access.login.user,
        "PENSTOCK_NATS_PASSWORD": access.login.password,
        "PENSTOCK_NATS_INBOX_PREFIX": access.login.inbox_prefix,
        POSTGRES_URL_VARIABLE: access.postgres_url,
        "PENSTOCK_POSTGRES_OWNER_URL": access.postgres_owner_url,
        "PENSTOCK_TASK_SECRET": access.task_secret,
        "PENSTOCK_GRANT_KEY": None,
        "PENSTOCK_GRANT_KEY_FILE": access.grant_key_file,
        "PENSTOCK_GRANT_KEYS": access.grant_keys,
        "PENSTOCK_ADMIN_TOKEN_FILE": access.admin_token_file,
        "PENSTOCK_TOKEN": None,  # a caller's own token is no service's business
        "PENSTOCK_INSTANCE": access.instance,
        "PENSTOCK_NAME": access.instance,
        "PENSTOCK_OPS_PORT": str(access.ops_port),
        "PENSTOCK_HTTP_PORT": str(access.http_port),
        "PENSTOCK_TENANT": access.tenant,
    }
    merged = {"PENSTOCK_GRACE_S": GRACE_S, "PYTHONUNBUFFERED": "1", **inherited}
    if not access.agent_secrets:
        merged = {name: it for name, it in merged.items() if not name.startswith(SECRET_PREFIX)}
    for name, value in given.items():
        if value is None:
            _ = merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def ready_probe(*ports: int) -> Callable[[], bool]:
    """Probe that asks `/health/ready` on each port until one says 200."""

    def probe() -> bool:
        return any(_says_ready(port) for port in dict.fromkeys(ports))

    return probe


def _says_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", READY_PATH)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
