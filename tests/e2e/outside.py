"""Servers as somebody else runs them: a configuration of their own, started by no stack."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import find_nats_server, jetstream_greets
from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.embedded.postgres_install import find_programs
from penstock_adapters.embedded.postgres_server import PostgresServer
from penstock_adapters.embedded.processes import ChildSpec
from penstock_testkit.servers import RealPostgres, RealProcess

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/your-own-servers.md").read_text(encoding="utf-8")
INCLUDE = "include ./nats-account.conf"
ADMINISTRATOR, PASSWORD = "administrator", "of their/own"


class OutsideNats(RealProcess):
    """A nats-server that knows nothing of us until its operator includes our account."""

    def __init__(self, folder: Path, config: str) -> None:
        """Prepare a server in `folder`; `config` lacks only address, store and pid file."""
        super().__init__(self._how)
        self.folder = folder
        self.port = draw_free_port()
        self.pid_file = folder / "nats-server.pid"
        self._config = folder / "nats-server.conf"
        folder.mkdir(parents=True)
        self.configure(config)

    @property
    def url(self) -> str:
        """Address without a login."""
        return f"nats://{LOOPBACK}:{self.port}"

    def login_url(self, user: str, password: str) -> str:
        """Address with a login."""
        return self.url.replace("//", f"//{user}:{password}@")

    def configure(self, config: str) -> None:
        """Write the configuration; a running server takes it when it is told to reload."""
        own = {
            "server_name": "theirs",
            "listen": f"{LOOPBACK}:{self.port}",
            "pid_file": str(self.pid_file),
        }
        lines = [f"{name}: {json.dumps(value)}" for name, value in own.items()]
        self._config.write_text("\n".join([*lines, config.replace("STORE", str(self.folder))]))

    def _how(self) -> ChildSpec:
        return ChildSpec(
            name="nats",
            argv=(str(find_nats_server()), "--config", str(self._config)),
            environment={"PATH": os.defpath},
            folder=self.folder,
            log=self.folder / "nats-server.log",
            probe=self._greets,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def _greets(self) -> bool:
        return jetstream_greets(LOOPBACK, self.port)


class OutsidePostgres(RealPostgres):
    """A PostgreSQL with an administrator who is no superuser, and with nothing of ours."""

    def __init__(self, root: Path) -> None:
        """Prepare a server in a folder of its own."""
        folder = StateFolder.at(root)
        folder.create()
        secrets = SecretBook(folder.secrets)
        server = PostgresServer(folder, secrets, draw_free_port(), durable=False)
        super().__init__(server, secrets)

    def add_administrator(self) -> None:
        """Make the role that a managed service would give."""
        rights = "LOGIN CREATEDB CREATEROLE"
        self.database.run(f"CREATE ROLE {ADMINISTRATOR} {rights} PASSWORD '{PASSWORD}';\n")

    def admin_of(self, database: str) -> str:
        """Superuser's URL to `database`."""
        return f"{self.admin_url.removesuffix('/postgres')}/{database}"

    @property
    def place(self) -> str:
        """Host and port."""
        return urlsplit(self.admin_url).netloc.rpartition("@")[2]

    @property
    def url(self) -> str:
        """Address without a login."""
        return f"postgresql://{self.place}"

    @property
    def login_url(self) -> str:
        """Address with the administrator's login."""
        return f"postgresql://{ADMINISTRATOR}:of%20their%2Fown@{self.place}/postgres"


@dataclass(frozen=True, slots=True)
class OutsideServers:
    """Both servers of somebody else."""

    nats: OutsideNats
    postgres: OutsidePostgres

    @classmethod
    @contextmanager
    def started(cls, root: Path, config: str) -> Iterator[OutsideServers]:
        """Both, running, below `root`; ended afterwards."""
        servers = cls(OutsideNats(root / "nats", config), OutsidePostgres(root / "db"))
        try:
            servers.nats.start()
            servers.postgres.start()
            servers.postgres.add_administrator()
            yield servers
        finally:
            servers.nats.kill()
            servers.postgres.stop()

    @property
    def pids(self) -> tuple[int, int]:
        """Both processes."""
        return self.nats.pid, self.postgres.pid


@dataclass(frozen=True, slots=True)
class Guide:
    """The guide's own commands, with the servers' real places in them.

    Attributes:
        servers: take the places of the guide's.
        home: the state folder, in whose parent the commands run.
        settings: of the services.
    """

    servers: OutsideServers
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def config() -> str:
        """The guide's nats-server.conf without address, pid file and store."""
        (text,) = re.findall(r"```text\n(# /etc/nats/nats-server.conf.*?)```", GUIDE, re.DOTALL)
        kept = [line for line in text.splitlines() if not re.match(r"(listen|pid_file):", line)]
        return "\n".join(kept).replace("/var/lib/nats", "STORE/js")

    def section(self, title: str) -> str:
        """The commands of a section, as one script."""
        parts = re.split(r"^## (.*)\n", GUIDE, flags=re.MULTILINE)
        text = dict(zip(parts[1::2], parts[2::2], strict=True))[title]
        script = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
        nats = shlex.quote(str(self.servers.nats.folder))
        return (
            script.replace("/run/nats/nats-server.pid", f"{nats}/nats-server.pid")
            .replace("/etc/nats", nats)
            .replace("nats.example:4222", f"{LOOPBACK}:{self.servers.nats.port}")
            .replace("db.example:5432", self.servers.postgres.place)
            .replace("administrator:PASSWORD@", f"{ADMINISTRATOR}:of%20their%2Fown@")
            .replace(".penstock/", f"{self.home.name}/")
        )

    def environment(self) -> dict[str, str]:
        """The environment of a person at a shell."""
        programs = (Path(sys.executable).parent, os.environ["PATH"], find_programs().bin)
        return {
            **os.environ,
            **self.settings,
            "PATH": os.pathsep.join(map(str, programs)),
            "PGPASSWORD": PASSWORD,
            "PENSTOCK_HOME": str(self.home),
        }
