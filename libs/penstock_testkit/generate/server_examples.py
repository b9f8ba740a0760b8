"""The servers' configuration for production, deploy/nats and deploy/postgres, from the code's own.

The bus permissions are those of the contracts, the roles those that the one-machine stack runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from penstock_adapters.embedded.nats_server import (
    MAX_FILE_STORE_BYTES,
    MAX_MEMORY_STORE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_PENDING_BYTES,
    permission_rules,
)
from penstock_adapters.embedded.postgres_roles import ROLES_SQL
from penstock_contracts.permissions import BusUser, Permissions, permission_table

NATS_EXAMPLE = "deploy/nats/nats-server.conf"
ROLES_EXAMPLE = "deploy/postgres/roles.sql"
OWNS = (NATS_EXAMPLE, ROLES_EXAMPLE)

_HEAD = f"""\
# nats-server.conf for production: what the one-machine stack generates, with three additions:
# TLS, a cluster, and passwords from the environment.
# Written by `make generate` from penstock_contracts/permissions.py: edit a copy.
#
# Each user's password is a variable of the server's environment, for example:
#   PENSTOCK_NATS_SCHEDULER_PASSWORD=... nats-server --config nats-server.conf
# Better than a password there is its bcrypt hash (`nats server passwd`).
#
# One executor user per pool is best: each names the one consumer of TASKS it may pull from.

server_name: $HOSTNAME
listen: "0.0.0.0:4222"

# Artifacts travel apart from messages; this only bounds what a client may send at once.
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {MAX_PENDING_BYTES}

# For probes and metrics; keep it off any public network.
http: "127.0.0.1:8222"

# tls {{
#   cert_file: "/etc/nats/tls/tls.crt"
#   key_file: "/etc/nats/tls/tls.key"
#   ca_file: "/etc/nats/tls/ca.crt"
# }}

# Three servers; PENSTOCK_NATS_REPLICAS=3 then has each stream kept by all of them.
# cluster {{
#   name: "penstock"
#   listen: "0.0.0.0:6222"
#   routes: ["nats://nats-0:6222", "nats://nats-1:6222", "nats://nats-2:6222"]
# }}

jetstream {{
  store_dir: "/data/jetstream"
  max_memory_store: {MAX_MEMORY_STORE_BYTES}
  max_file_store: {MAX_FILE_STORE_BYTES}
  # Acknowledged messages of the last two minutes may be lost with the power; every stream is made
  # again from the event store, so this need not be shorter.
  # sync_interval: "2m"
}}

accounts {{
  PENSTOCK {{
    jetstream: enabled
    users: [
"""
_FOOT = """\
    ]
  }
}
"""


def nats_example(table: Mapping[BusUser, Permissions]) -> str:
    """A commented nats-server.conf with the users of `table`."""
    users = (
        "      {\n"
        f"        user: {user.value}\n"
        f"        password: $PENSTOCK_NATS_{user.value.upper()}_PASSWORD\n"
        f"        permissions: {json.dumps(permission_rules(permissions))}\n"
        "      }\n"
        for user, permissions in table.items()
    )
    return "".join((_HEAD, *users, _FOOT))


def generate(root: Path) -> Mapping[str, str]:
    """Both files; nothing is read from `root`."""
    _ = root
    return {
        NATS_EXAMPLE: nats_example(permission_table(durable="pool-default")),
        ROLES_EXAMPLE: ROLES_SQL.read_text(encoding="utf-8"),
    }
