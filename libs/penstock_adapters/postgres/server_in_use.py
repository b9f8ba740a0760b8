"""Which of several servers a store is on: the one that was promoted last, and no other."""

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, tuple_row

PgConnection = psycopg.Connection[DictRow]

# Each promotion begins another timeline: the first eight hexadecimal digits of a log file's name.
_TIMELINE: Final = b"""\
SELECT CASE WHEN pg_is_in_recovery() THEN NULL
    ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END
"""


class ServerAddress(NamedTuple):
    """Where to find a server, in the words of the URL; `host` is empty for none.

    Attributes:
        host: its name, which its certificate is checked against and which may come to mean
            another address.
        hostaddr: its address, empty where the URL leaves that to a look-up.
        port: its port.
    """

    host: str = ""
    hostaddr: str = ""
    port: int = 0


class ServerInUse:
    """The server that the connections of one store lead to, told by each that is made.

    Where a URL names several hosts, a new connection may lead to another server than an older one
    does: a standby was promoted. What the server before it says is out of date from then on, even
    if that one runs again and takes itself for the primary. So connections to it are neither kept
    nor made, as far as this process can know: a process that starts later learns it from EVENTS,
    which is ahead of such a store.

    Args:
        url: connection URL of the store; with a single host there is nothing to tell apart.
    """

    def __init__(self, url: str) -> None:
        named = _named_by(url)
        self._several = any("," in hosts for hosts in named)
        self._by_number = bool(named.hostaddr)
        self._lock = threading.Lock()
        self._address = ServerAddress()
        self._place = ("", 0)
        self._timeline = 0
        self._trusted = False
        self._cuts: list[Callable[[], None]] = []

    def on_distrust(self, cut: Callable[[], None]) -> None:
        """Call `cut` when the server does not answer: it ends what waits for it in one pool."""
        self._cuts.append(cut)

    @property
    def address(self) -> ServerAddress:
        """Where the newest connection leads."""
        return self._address

    def admits(self, connection: PgConnection) -> bool:
        """Learn of a new connection; False: its server was overtaken by another one."""
        timeline = _timeline_of(connection) if self._several else None
        with self._lock:
            if timeline is not None:
                if timeline < self._timeline:
                    return False
                self._timeline = timeline
            self._address, self._place = self._address_of(connection), _place_of(connection)
            self._trusted = True
        return True

    def was_left(self, connection: PgConnection) -> bool:
        """Tell whether a newer connection leads elsewhere, or none is trusted."""
        left = self._several and _place_of(connection) != self._place
        return left or not self._trusted

    def distrust(self) -> None:
        """Keep none of the connections there are: their server did not answer one of them.

        Each of them would have to be waited for in vain, one after the other; and threads whose
        callers were cancelled wait on others, with nobody to end that.
        """
        self._trusted = False
        for cut in self._cuts:
            cut()

    def _address_of(self, connection: PgConnection) -> ServerAddress:
        info = connection.info
        return ServerAddress(info.host, info.hostaddr if self._by_number else "", info.port)


class _Named(NamedTuple):
    host: str = ""
    hostaddr: str = ""


def _named_by(url: str) -> _Named:
    """Give the hosts that a URL names, separated by commas."""
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # connecting will say it, without the password
        return _Named()
    return _Named(str(found.get("host") or ""), str(found.get("hostaddr") or ""))


def _place_of(connection: PgConnection) -> tuple[str, int]:
    """Tell servers apart: two names may be one server's, and one name another's tomorrow."""
    return connection.info.hostaddr or connection.info.host, connection.info.port


def _timeline_of(connection: PgConnection) -> int | None:
    """Give the server's timeline; None of a standby, and where the server does not tell."""
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(_TIMELINE).fetchone()
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):  # not every service has logs
        return None
    return int(row[0], 16) if row is not None and row[0] else None
