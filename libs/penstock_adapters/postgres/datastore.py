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
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from penstock_adapters.postgres.faults import UnsupportedServer, as_library_errors

SERVER_VERSION_MIN = 170_000  # 17.0: first with the MAINTAIN privilege

PgConnection = psycopg.Connection[DictRow]


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

    Args:
        url: connection URL.
        connections: how many there are at most.
        limits: bounds of its waits.
        read_only: refuse to write, whatever the role may do.
        label: shown in the server's list of sessions.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 1,
        limits: StoreLimits | None = None,
        read_only: bool = False,
        label: str = "penstock",
    ) -> None:
        # The parent's pool is never opened.
        super().__init__(dbname="", host="", port="", user="", password="")
        self._url = url
        self._limits = limits or StoreLimits()
        self._options = _session_options(self._limits, read_only=read_only)
        self._label = label
        self._slots = threading.BoundedSemaphore(connections)
        self._idle: deque[PgConnection] = deque()
        self._busy: set[PgConnection] = set()
        self._lock = threading.Lock()
        self._closed = False

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
        """Cut the busy connections, so that threads waiting for a silent server return."""
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
            return self._idle.pop()
        return self._connect()

    def _connect(self) -> PgConnection:
        connection = psycopg.Connection[DictRow].connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=self._limits.connect_s,
            options=self._options,
            application_name=self._label,
            keepalives_idle=30,
            tcp_user_timeout=int(self._limits.call_s * 1000),
        )
        try:
            refuse_old_server(connection.info.server_version)
        except UnsupportedServer:
            connection.close()
            raise
        return connection

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
        "default_transaction_read_only": "on" if read_only else "off",
        # A call whose client has gone must not be carried out much later.
        "client_connection_check_interval": "1000",
        "lock_timeout": f"{limits.lock_s * 1000:.0f}",
        "statement_timeout": f"{limits.statement_s * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{limits.statement_s * 1000:.0f}",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _socket_of(connection: PgConnection) -> socket.socket:
    """Give a duplicate of the connection's socket, so that closing it closes nothing else."""
    return socket.socket(fileno=os.dup(connection.fileno()))
