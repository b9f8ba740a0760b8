"""PostgreSQL on one machine: its cluster, how to start it and when it is ready."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.faults import StartFailedError
from penstock_adapters.embedded.home import FILE_MODE, FOLDER_MODE, StateFolder, write_private
from penstock_adapters.embedded.ports import LOOPBACK
from penstock_adapters.embedded.postgres_install import Placement, find_programs, place
from penstock_adapters.embedded.postgres_roles import Database
from penstock_adapters.embedded.processes import (
    ChildSpec,
    Identity,
    launch_argv,
    log_tail,
    open_log,
    processes_in,
    wait_until,
)

NAME: Final = "postgres"
ADMIN: Final = "penstock_admin"
MAX_CONNECTIONS: Final = 80
INITDB_TIMEOUT_S: Final = 120.0
RECOVERY_TIMEOUT_S: Final = 120.0  # crash recovery replays at most a checkpoint's worth
REMAINS_WAIT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 30.0  # a fast shutdown writes a checkpoint
PROBE_TIMEOUT_S: Final = 0.5
PROTOCOL_3_0: Final = 196_608
_INITDB_OPTIONS: Final = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class PostgresServer:
    """One PostgreSQL cluster of a state folder."""

    def __init__(
        self, folder: StateFolder, secrets: SecretBook, port: int, *, durable: bool = True
    ) -> None:
        """Choose where the cluster lives and who runs it.

        Args:
            folder: state folder, created.
            secrets: receives the administrator's password, generated when missing.
            port: loopback port to listen on.
            durable: False only for throw-away clusters of tests: a loss of power may destroy it.

        Raises:
            ServerMissingError: the programs are not installed or too old.
            PlacementFailedError: no place for an unprivileged server.
        """
        self._folder: StateFolder = folder
        self._secrets: SecretBook = secrets
        self._port: int = port
        self._durable: bool = durable
        programs = find_programs()
        self._programs: Path = programs.bin
        self._place: Placement = place(folder, programs)
        secrets.ensure([postgres_secret(ADMIN)])

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self._place.data

    @property
    def admin_url(self) -> str:
        """Connection URL of the administrator."""
        password = self._secrets[postgres_secret(ADMIN)]
        return f"postgresql://{ADMIN}:{password}@{LOOPBACK}:{self._port}/postgres"

    @property
    def database(self) -> Database:
        """The server as its administrator reaches it."""
        return Database(self.admin_url, self._programs / "psql")

    def spec(self) -> ChildSpec:
        """How to run it; creates the cluster when there is none and writes the configuration.

        Raises:
            StartFailedError: initdb failed.
        """
        if not (self.data / "PG_VERSION").is_file():
            self._create_cluster()
        base = self._place.base
        shared_mode = 0o644 if self._place.confinement else FILE_MODE
        hba = base / "pg_hba.conf"
        config = base / "postgresql.conf"
        write_private(hba, _HBA, shared_mode)
        write_private(config, render_config(self._port, hba, durable=self._durable), shared_mode)
        return ChildSpec(
            name=NAME,
            argv=(
                str(self._place.bin / "postgres"),
                "-D",
                str(self.data),
                "-c",
                f"config_file={config}",
            ),
            environment=_environment(),
            folder=base,
            log=self._folder.log_file(NAME),
            probe=self.ready,
            before_start=self.clear_remains,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            ready_within_s=RECOVERY_TIMEOUT_S,
            stop_within_s=STOP_TIMEOUT_S,
            confinement=self._place.confinement,
        )

    def ready(self) -> bool:
        """Tell whether the server accepts connections (it asks for a password)."""
        return postgres_asks(LOOPBACK, self._port)

    def clear_remains(self) -> None:
        """Wait for processes of a postmaster that was killed, then end those that stay.

        They hold shared memory of the cluster, and a server started beside them would refuse to
        run. Call it only while the state folder's lock is held and no postmaster should run.
        """
        if not wait_until(lambda: not self._remains(), REMAINS_WAIT_S):
            for pid in self._remains():
                if (identity := Identity.of(pid)) is not None:
                    identity.end(signal.SIGQUIT, REMAINS_WAIT_S)
        # Nobody runs: the file is stale, whoever has its pid by now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _remains(self) -> list[int]:
        return [pid for pid in processes_in(self.data) if _is_postgres(pid)]

    def _create_cluster(self) -> None:
        """Run initdb beside the final place and move the result there in one step."""
        fresh = self.data.with_name("data.new")
        password_file = self.data.with_name("password")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=FOLDER_MODE)
        write_private(password_file, self._secrets[postgres_secret(ADMIN)] + "\n")
        confinement = self._place.confinement
        if confinement is not None:
            os.chown(fresh, confinement.uid, confinement.gid)
            os.chown(password_file, confinement.uid, confinement.gid)
        command = (
            str(self._place.bin / "initdb"),
            f"--pgdata={fresh}",
            f"--username={ADMIN}",
            f"--pwfile={password_file}",
            *_INITDB_OPTIONS,
            *(() if self._durable else ("--no-sync",)),
        )
        passwd = _passwd_for_nameless(self._place.base) if confinement is None else None
        log_path = self._folder.log_file("initdb")
        log = open_log(log_path)
        try:
            done = subprocess.run(
                launch_argv(command, signal.SIGKILL, confinement, passwd),
                env=_environment(),
                cwd=self._place.base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=INITDB_TIMEOUT_S,
            )
        finally:
            os.close(log)
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise StartFailedError(f"initdb failed, see {log_path}:\n{log_tail(log_path)}")
        fresh.rename(self.data)


_HBA: Final = f"""\
# Generated at every start: passwords over loopback, and nothing else.
host all all {LOOPBACK}/32 scram-sha-256
"""


def render_config(port: int, hba: Path, *, durable: bool) -> str:
    """Text of postgresql.conf for a server on loopback `port` without any Unix socket."""
    safe = "on" if durable else "off"
    quoted_hba = str(hba).replace("'", "''")
    return f"""\
# Generated at every start; edits are lost.
listen_addresses = '{LOOPBACK}'
port = {port}
unix_socket_directories = ''
hba_file = '{quoted_hba}'
ident_file = ''
password_encryption = scram-sha-256
max_connections = {MAX_CONNECTIONS}
shared_buffers = 128MB
max_wal_size = 1GB
fsync = {safe}
full_page_writes = {safe}
synchronous_commit = on
io_method = sync
jit = off
timezone = UTC
log_timezone = UTC
log_line_prefix = '%m [%p] %q%u@%d '
"""


def _passwd_for_nameless(base: Path) -> Path | None:
    """A file that names this user, when no account does: initdb refuses to work for a number."""
    try:
        _ = pwd.getpwuid(os.geteuid())
    except KeyError:
        passwd = base / "passwd"
        line = f"penstock:x:{os.geteuid()}:{os.getegid()}::/:/bin/sh\n"
        write_private(passwd, line, 0o644)
        return passwd
    return None


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _is_postgres(pid: int) -> bool:
    """Tell a server process from, say, a shell that somebody opened in the folder."""
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False
    return program.split(" ")[0] == "postgres"  # "postgres (deleted)" after an upgrade


def postgres_asks(host: str, port: int) -> bool:
    """Open a session as far as the request for authentication, as pg_isready does."""
    body = struct.pack("!i", PROTOCOL_3_0) + f"user\0{ADMIN}\0database\0postgres\0\0".encode()
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.settimeout(PROBE_TIMEOUT_S)
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            return connection.recv(1) == b"R"  # "E" while it starts, recovers or stops
    except OSError:
        return False
