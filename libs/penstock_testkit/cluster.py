"""A real cluster of nats-servers on loopback, each of which a test may kill, pause and start again.

The nodes have the users and permissions that a single server has. What is asked of the cluster as
a whole (`RealCluster`) is shaped like `RealNats`, so that a suite runs on either.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from penstock_adapters.embedded.credentials import SecretBook, nats_secret
from penstock_adapters.embedded.home import FOLDER_MODE, StateFolder, write_private
from penstock_adapters.embedded.nats_server import (
    MAX_FILE_STORE_BYTES,
    MAX_MEMORY_STORE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_PENDING_BYTES,
    BusLogin,
    find_nats_server,
    jetstream_greets,
    render_account,
)
from penstock_adapters.embedded.ports import LOOPBACK, PortBook
from penstock_adapters.embedded.processes import ChildSpec, wait_until
from penstock_contracts.permissions import BusUser, inbox_prefix, permission_table
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.servers import RealProcess

NODES = 3
CLUSTER = "penstock"
ASK_WITHIN_S = 2.0
READY_WITHIN_S = 60.0  # three servers at once on a loaded machine, and an election
_DOORS = ("clients", "routes", "monitor")


class ClusterNode(RealProcess):
    """One nats-server of a cluster; its ports stay the same for life."""

    def __init__(self, name: str, folder: Path, ports: Mapping[str, int], account: str) -> None:
        """Prepare a node in `folder`; `configure` tells it of the others.

        Args:
            name: unique within the cluster.
            folder: receives its configuration, store and log.
            ports: loopback ports for `clients`, `routes` and `monitor`.
            account: text of the account with the users.
        """
        super().__init__(self._how)
        self.name = name
        self.store = folder / "store"
        self._folder = folder
        self._ports = ports
        self._account = account
        self._config = folder / "nats-server.conf"
        self.store.mkdir(mode=FOLDER_MODE, parents=True)

    @property
    def url(self) -> str:
        """Address without credentials."""
        return f"nats://{LOOPBACK}:{self._ports['clients']}"

    @property
    def route(self) -> str:
        """Address for the other nodes."""
        return f"nats://{LOOPBACK}:{self._ports['routes']}"

    def configure(self, routes: Sequence[str]) -> None:
        """Write the configuration with the addresses of all nodes."""
        write_private(
            self._config,
            f"""\
server_name: {self.name}
listen: "{LOOPBACK}:{self._ports["clients"]}"
http: "{LOOPBACK}:{self._ports["monitor"]}"
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {MAX_PENDING_BYTES}
cluster {{
  name: {CLUSTER}
  listen: "{LOOPBACK}:{self._ports["routes"]}"
  routes: {json.dumps(list(routes))}
}}
jetstream {{
  store_dir: {json.dumps(str(self.store))}
  max_memory_store: {MAX_MEMORY_STORE_BYTES}
  max_file_store: {MAX_FILE_STORE_BYTES}
}}
accounts {{
{self._account}}}
""",
        )

    def _how(self) -> ChildSpec:
        return ChildSpec(
            name=self.name,
            argv=(str(find_nats_server()), "--config", str(self._config)),
            environment={"PATH": os.defpath},
            folder=self._folder,
            log=self._folder / "nats-server.log",
            probe=lambda: jetstream_greets(LOOPBACK, self._ports["clients"]),
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def asked(self, path: str) -> dict[str, Any]:
        """Ask the server's own monitoring; empty when it does not answer."""
        connection = http.client.HTTPConnection(
            LOOPBACK, self._ports["monitor"], timeout=ASK_WITHIN_S
        )
        try:
            connection.request("GET", path)
            found = cast("object", json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    @property
    def healthy(self) -> bool:
        """Tell whether everything that it keeps is as new as the leaders' copies."""
        return self.asked("/healthz").get("status") == "ok"


class RealCluster:
    """Three nodes, all of them alike."""

    def __init__(
        self, root: Path, secrets: SecretBook | None = None, tenant: str = DEFAULT_TENANT
    ) -> None:
        """Prepare a cluster below `root`, with passwords of `secrets`; nothing is started."""
        self.folder = StateFolder.at(root)
        self.folder.create()
        secrets = secrets or SecretBook(self.folder.secrets)
        secrets.ensure(nats_secret(user.value) for user in BusUser)
        self._passwords = {user: secrets[nats_secret(user.value)] for user in BusUser}
        account = render_account(self._passwords, permission_table(tenant))
        names = [f"node-{number}" for number in range(1, NODES + 1)]
        doors = tuple(f"{name}.{door}" for name in names for door in _DOORS)
        ports = PortBook(self.folder.run / "ports.json").assign(doors)
        self.store.mkdir(mode=FOLDER_MODE)
        self.nodes = tuple(
            ClusterNode(
                name, self.store / name, {door: ports[f"{name}.{door}"] for door in _DOORS}, account
            )
            for name in names
        )
        for node in self.nodes:
            node.configure([each.route for each in self.nodes])

    @classmethod
    @contextmanager
    def started(cls, root: Path, secrets: SecretBook | None = None) -> Iterator[Self]:
        """A running cluster, ended afterwards."""
        cluster = cls(root, secrets)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()

    # --- as a single server has it --------------------------------------------------------------

    @property
    def url(self) -> str:
        """Addresses of all nodes without credentials."""
        return ",".join(node.url for node in self.nodes)

    @property
    def store(self) -> Path:
        """Folder of everything that the nodes keep; replace it only while none of them runs."""
        return self.folder.nats / "nodes"

    @property
    def running(self) -> bool:
        """Tell whether all nodes run."""
        return all(node.running for node in self.nodes)

    def login(self, user: BusUser = BusUser.ADMIN) -> BusLogin:
        """Addresses, user, password and inbox prefix of `user`."""
        return BusLogin(self.url, user.value, self._passwords[user], inbox_prefix(user))

    def start(self) -> None:
        """Start every node that does not run, and wait until all that is stored is served."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.wait_healthy()
        led = wait_until(lambda: all(map(_has_leaders, self.nodes)), READY_WITHIN_S)
        assert led, "a stream has no leader"

    def kill(self) -> None:
        """End every node as a loss of power to all of them would."""
        for node in self.nodes:
            node.kill()

    # --- as a cluster has it --------------------------------------------------------------------

    def node(self, name: str) -> ClusterNode:
        """The node of that name."""
        (found,) = (node for node in self.nodes if node.name == name)
        return found

    def others(self, node: ClusterNode) -> list[ClusterNode]:
        """All nodes but one."""
        return [other for other in self.nodes if other is not node]

    def meta_leader(self) -> ClusterNode:
        """The node that decides where streams and consumers are kept.

        Waits until those that answer agree on one that runs.
        """
        found: list[str] = []

        def agreed() -> bool:
            told = [node.asked("/jsz").get("meta_cluster") or {} for node in self.nodes]
            found[:] = {str(each["leader"]) for each in told if each.get("leader")}
            return len(found) == 1 and self.node(found[0]).running

        assert wait_until(agreed, READY_WITHIN_S), f"no meta leader: {found}"
        return self.node(found[0])

    def stream_leader(self, stream: str) -> ClusterNode:
        """The node that answers for a stream; waits as `meta_leader` does."""
        found: list[str] = []

        def agreed() -> bool:
            told = [_leaders(node).get(stream, "") for node in self.nodes]
            found[:] = {leader for leader in told if leader}
            return len(found) == 1 and self.node(found[0]).running

        assert wait_until(agreed, READY_WITHIN_S), f"no leader of {stream}: {found}"
        return self.node(found[0])

    def wait_healthy(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait until all nodes know of a leader and have caught up with everything."""
        healthy = wait_until(lambda: all(node.healthy for node in self.nodes), within_s)
        assert healthy, [node.asked("/healthz") for node in self.nodes]


def _leaders(node: ClusterNode) -> dict[str, str]:
    """Leader by stream, as one node sees it; '' for none."""
    accounts = node.asked("/jsz?accounts=true&streams=true").get("account_details") or ()
    return {
        str(stream["name"]): str((stream.get("cluster") or {}).get("leader") or "")
        for account in accounts
        for stream in account.get("stream_detail") or ()
    }


def _has_leaders(node: ClusterNode) -> bool:
    return all(_leaders(node).values())
