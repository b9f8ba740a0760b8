"""Connections: a few, each used by one thread at a time, made again when they break."""

import os
import socket
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from penstock_adapters.postgres.faults import UnsupportedServer, as_library_errors
from penstock_adapters.postgres.server_in_use import PgConnection, ServerAddress, ServerInUse

SERVER_VERSION_MIN = 170_000  # 17.0: first with the MAINTAIN privilege

_READ_ONLY = "session is read-only"  # so libpq refuses a server that takes no writes
_NO_WRITES = (
    "no server that answers takes writes: promote the standby, start the primary, or correct "
    "the URL"
)
_OVERTAKEN = (
    "the server that answers was overtaken when another one was promoted: stop it, and make it a "
    "standby of that one"
)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of everything that waits for the database. Seconds.

    Attributes:
        connect_s: until a connection stands (whole seconds, at least 2).
        lock_s: until a lock is granted; the server gives up then.
        statement_s: until a statement is done; the server gives up then.
        call_s: until a call has its answer, whatever the server does.
        slot_s: until one of the connections is free.
    """

    connect_s: int = 5
    lock_s: float = 5.0
    statement_s: float = 10.0
    call_s: float = 20.0
    slot_s: float = 20.0


def refuse_old_server(version: int) -> None:
    """Check the server's version number (180004 is 18.4).

    Raises:
        UnsupportedServer: it is older than PostgreSQL 17.
    """
    if version < SERVER_VERSION_MIN:
        raise UnsupportedServer(
            f"PostgreSQL 17 or later is required, this server is {version // 10_000}: "
            "older ones cannot lock the event table for a role that may not delete"
        )


class Datastore(PostgresDatastore):
    """The library's datastore over a handful of connections instead of a pool.

    A pool repairs connections in background threads, at times of its own. Here a broken
    connection is dropped where it breaks and made again by the next call that needs one.

    A server that takes no writes, such as a standby, is refused, and where the URL names several
    hosts the one is sought that does. Who reads only may read a standby that is named alone.

    Args:
        url: connection URL; `postgresql://one,two/...` for a primary and its standby.
        connections: how many there are at most.
        limits: bounds of its waits.
        read_only: refuse to write, whatever the role may do.
        label: shown in the server's list of sessions.
        server: shared by all that one store is made of.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 1,
        limits: StoreLimits | None = None,
        read_only: bool = False,
        label: str = "penstock",
        server: ServerInUse | None = None,
    ) -> None:
        # The parent's pool is never opened.
        super().__init__(dbname="", host="", port="", user="", password="")
        self._url = url
        self._limits = limits or StoreLimits()
        self._options = _session_options(self._limits, read_only=read_only)
        self._sought = _sought_server(url, read_only=read_only)
        self._server = server or ServerInUse(url)
        self._label = label
        self._slots = threading.BoundedSemaphore(connections)
        self._idle: deque[PgConnection] = deque()
        self._busy: set[PgConnection] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._server.on_distrust(self._cut)

    def register_type_adapters(self) -> None:
        """Do nothing: no composite type is used, so constructing a recorder needs no server."""

    @contextmanager
    def get_connection(self) -> Generator[PgConnection]:
        """Lend a connection in autocommit mode to the calling thread.

        Raises:
            PersistenceError: what goes wrong with it, as the library's own classes.
        """
        with as_library_errors():
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def sever(self) -> None:
        """Cut the busy connections, so that threads waiting for a silent server return.

        Those of other pools of the store are cut, too, and the idle ones are not used again.
        """
        self._server.distrust()

    def _cut(self) -> None:
        with self._lock:
            busy = tuple(self._busy)
        for connection in busy:
            with suppress(OSError, psycopg.Error), _socket_of(connection) as link:
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the idle connections; busy ones are closed when they come back."""
        self._closed = True
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def __enter__(self) -> Self:
        """Give itself; connections are made when they are needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Leave the parent's clean-up out: its pool was never opened."""

    def _take(self) -> PgConnection:
        if not self._slots.acquire(timeout=self._limits.slot_s):
            raise psycopg.OperationalError("no database connection came free in time")
        try:
            connection = self._idle_or_new()
            with self._lock:
                self._busy.add(connection)
        except BaseException:
            self._slots.release()
            raise
        return connection

    def _idle_or_new(self) -> PgConnection:
        if self._closed:
            raise psycopg.OperationalError("the store is closed")
        with suppress(IndexError):
            while True:
                idle = self._idle.pop()
                if not self._server.was_left(idle):
                    return idle
                idle.close()
        return self._connect()

    def _connect(self) -> PgConnection:
        connection = self._admitted()
        try:
            refuse_old_server(connection.info.server_version)
        except UnsupportedServer:
            connection.close()
            raise
        return connection

    def _admitted(self) -> PgConnection:
        connection = self._open()
        if self._server.admits(connection):
            return connection
        # The one that was left runs again; the one that took its place may be further down the URL.
        connection.close()
        connection = self._open(self._server.address)
        if self._server.admits(connection):
            return connection
        connection.close()
        raise psycopg.OperationalError(_OVERTAKEN)

    def _open(self, address: ServerAddress | None = None) -> PgConnection:
        try:
            return self._opened(address or ServerAddress())
        except psycopg.OperationalError as error:
            if _READ_ONLY not in str(error):
                raise
            raise psycopg.OperationalError(_NO_WRITES) from error

    def _opened(self, address: ServerAddress) -> PgConnection:
        return psycopg.Connection[DictRow].connect(
            self._url,
            host=address.host or None,
            hostaddr=address.hostaddr or None,
            port=address.port or None,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=self._limits.connect_s,
            options=self._options,
            application_name=self._label,
            keepalives_idle=30,
            tcp_user_timeout=int(self._limits.call_s * 1000),
            target_session_attrs=self._sought,
        )

    def _give_back(self, connection: PgConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
        try:
            if connection.info.transaction_status is TransactionStatus.INERROR:
                connection.rollback()
            if self._closed or connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.close()
        except psycopg.Error:
            connection.close()
        if not connection.closed:
            self._idle.append(connection)
        self._slots.release()


def _session_options(limits: StoreLimits, *, read_only: bool) -> str:
    settings = {
        "search_path": "public",
        "timezone": "UTC",
        "jit": "off",  # its start-up costs more than any statement here
        "default_transaction_isolation": r"read\ committed",
        # A call whose client has gone must not be carried out much later.
        "client_connection_check_interval": "1000",
        "lock_timeout": f"{limits.lock_s * 1000:.0f}",
        "statement_timeout": f"{limits.statement_s * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{limits.statement_s * 1000:.0f}",
    }
    if read_only:  # else as the server says, whose operator may have stopped all writing
        settings["default_transaction_read_only"] = "on"
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _sought_server(url: str, *, read_only: bool) -> str | None:
    """Give libpq's `target_session_attrs`, or None where it is for the URL to say."""
    try:
        asked = conninfo_to_dict(url).get("target_session_attrs")
    except psycopg.ProgrammingError:  # connecting will say it, without the password
        return None
    if read_only:
        # A session that may not write is none that libpq takes for one of a primary.
        return "primary" if asked == "read-write" else None
    return None if asked else "read-write"


def _socket_of(connection: PgConnection) -> socket.socket:
    """Give a duplicate of the connection's socket, so that closing it closes nothing else."""
    return socket.socket(fileno=os.dup(connection.fileno()))
