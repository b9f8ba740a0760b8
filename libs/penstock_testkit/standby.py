"""A real PostgreSQL primary with a standby on loopback: lost, promoted, and made again.

The standby is a base backup that streams, synchronously or not. Both keep their ports for life, so
that one URL with two hosts names them whichever of them is the primary.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.ports import LOOPBACK, PortBook
from penstock_adapters.embedded.postgres_install import find_programs
from penstock_adapters.embedded.postgres_server import PostgresServer
from penstock_adapters.embedded.processes import ChildSpec, processes_in, wait_until
from penstock_testkit.servers import DatabaseUrls, RealPostgres

BACKUP_WITHIN_S = 120.0
PROMOTED_WITHIN_S = 60
FOLLOWS_WITHIN_S = 60.0
STANDBY = "standby"  # the name that the primary knows it by
_HBA = f"""\
host all all {LOOPBACK}/32 scram-sha-256
host replication all {LOOPBACK}/32 scram-sha-256
"""


class ReplicatedPostgres(RealPostgres):
    """One of the two servers."""

    def __init__(self, server: PostgresServer, secrets: SecretBook) -> None:
        """Wrap `server`, not yet started."""
        super().__init__(server, secrets)
        self._alone = server.spec
        self._spec = self._how

    def _how(self) -> ChildSpec:
        spec = self._alone()
        hba = self.data.with_name("replicated_hba.conf")
        hba.write_text(_HBA)
        return replace(
            spec, argv=(*spec.argv, "-c", f"hba_file={hba}", "-c", "wal_keep_size=256MB")
        )

    @property
    def place(self) -> str:
        """Host and port."""
        return urlsplit(self.admin_url).netloc.rpartition("@")[2]

    @property
    def follows(self) -> bool:
        """Tell whether it is a standby."""
        return self.database.run("SELECT pg_is_in_recovery();\n") == "t"

    def become_copy_of(self, primary: ReplicatedPostgres) -> None:
        """Replace everything stored here by a base backup of `primary`, and be its standby."""
        self.stop()
        login = urlsplit(primary.admin_url)
        host, _, port = primary.place.partition(":")
        fresh = self.data.with_name("data.copied")
        for folder in (fresh, self.data):
            if folder.exists():
                shutil.rmtree(folder)
        source = f"host={host} port={port} user={login.username} application_name={STANDBY}"
        subprocess.run(
            [
                str(find_programs().bin / "pg_basebackup"),
                *("--dbname", source, "--pgdata", str(fresh)),
                *("--checkpoint", "fast", "--wal-method", "stream", "--no-sync", "--no-password"),
            ],
            check=True,
            timeout=BACKUP_WITHIN_S,
            env={"PATH": os.defpath, "PGPASSWORD": unquote(login.password or "")},
        )
        # penstock: ignore[secret:*, hardcoded-secret] -- a login drawn for this one server
        conninfo = f"{source} password={unquote(login.password or '')}"
        with (fresh / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{conninfo}'\nsynchronous_standby_names = ''\n")
        (fresh / "standby.signal").touch()
        _give(fresh, like=primary.data)
        fresh.rename(self.data)
        self.start()

    def promote(self) -> None:
        """Make it the primary."""
        said = self.database.run(f"SELECT pg_promote(true, {PROMOTED_WITHIN_S});\n")
        assert said == "t", "the standby was not promoted"

    def wait_for_standby(self, *, synchronous: bool) -> None:
        """From now on wait for the standby at each commit, or do not; returns once it follows."""
        names = STANDBY if synchronous else ""
        self.database.run(
            f"ALTER SYSTEM SET synchronous_standby_names = '{names}';\nSELECT pg_reload_conf();\n"
        )
        state = "sync" if synchronous else "async"
        asked = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming';\n"
        follows = wait_until(lambda: self.database.run(asked) == state, FOLLOWS_WITHIN_S)
        assert follows, "the standby does not follow"

    def freeze(self) -> None:
        """Stop all its processes without ending them."""
        for pid in processes_in(self.data):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run again."""
        for pid in processes_in(self.data):
            os.kill(pid, signal.SIGCONT)


class RealPair:
    """A primary and its standby."""

    def __init__(self, root: Path, secrets: SecretBook | None = None) -> None:
        """Prepare both below `root`, with passwords of `secrets`; nothing is started."""
        root.mkdir(parents=True, exist_ok=True)
        ports = PortBook(root / "ports.json").assign(("first", "second"))
        self.secrets = secrets or SecretBook(root / "secrets.json")
        self.first = self._server(root / "first", ports["first"])
        self.second = self._server(root / "second", ports["second"])

    def _server(self, root: Path, port: int) -> ReplicatedPostgres:
        folder = StateFolder.at(root)
        folder.create()
        server = PostgresServer(folder, self.secrets, port, durable=False)
        return ReplicatedPostgres(server, self.secrets)

    @classmethod
    @contextmanager
    def started(
        cls, root: Path, secrets: SecretBook | None = None, *, synchronous: bool = True
    ) -> Iterator[Self]:
        """The first one as primary with databases and roles, the second one as its standby."""
        pair = cls(root, secrets)
        try:
            pair.first.start()
            pair.first.create_roles()
            pair.second.become_copy_of(pair.first)
            pair.first.wait_for_standby(synchronous=synchronous)
            yield pair
        finally:
            for server in (pair.second, pair.first):
                if server.running:
                    server.thaw()
                    server.kill()

    @property
    def url(self) -> str:
        """Address of both, without a login: whichever takes writes is to be used."""
        return f"postgresql://{self.first.place},{self.second.place}"

    def urls(self, database: str = "penstock_scheduler") -> DatabaseUrls:
        """URLs to a database on whichever is the primary."""
        return self.of_both(self.first.urls(database))

    def fresh_database(self) -> DatabaseUrls:
        """Create an empty database on the first server; URLs to it on whichever is the primary."""
        return self.of_both(self.first.fresh_database())

    def of_both(self, urls: DatabaseUrls) -> DatabaseUrls:
        """The same URLs with both servers in them."""
        both = f"{self.first.place},{self.second.place}"
        return DatabaseUrls(
            *(
                url.replace(self.first.place, both)
                for url in (urls.owner, urls.service, urls.auditor, urls.admin)
            )
        )


def _give(folder: Path, *, like: Path) -> None:
    """Give a folder to the owner of another one: root's server runs as somebody else."""
    owner = like.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
