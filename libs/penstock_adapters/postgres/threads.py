"""Blocking database calls, made by a few threads and awaited by the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

from penstock_adapters.postgres.datastore import Datastore, PgConnection, StoreLimits
from penstock_adapters.postgres.faults import as_faults
from penstock_adapters.postgres.server_in_use import ServerInUse
from penstock_runtime.faults import TransientFault

CALLS_WAITING_MAX = 256  # calls that wait for one pool of threads

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads:
    """A pool of threads, each using one of as many connections.

    A cancelled call goes on in its thread: a write that was cancelled may have landed.

    Args:
        url: connection URL.
        threads: how many; 1 makes the calls run one after the other, in order.
        limits: bounds of its waits.
        label: shown in the server's list of sessions.
        server: shared by the pools of one store.
    """

    def __init__(
        self,
        url: str,
        *,
        threads: int,
        limits: StoreLimits,
        label: str,
        server: ServerInUse | None = None,
    ) -> None:
        self.datastore = Datastore(
            url, connections=threads, limits=limits, label=label, server=server
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=label)
        self._limits = limits
        self._waiting = 0
        self.threads = threads

    async def write(
        self,
        work: Callable[Concatenate[PgConnection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(connection, ...)` once.

        Raises:
            TransientFault: no answer; it may or may not have been done.
        """
        return await self.call(self._with_connection, work, *args, **kwargs)

    async def read(
        self,
        work: Callable[Concatenate[PgConnection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(connection, ...)`, and once more on a new connection if the first was broken.

        Raises:
            TransientFault: no answer.
        """
        return await self.call(self._again_if_broken, work, *args, **kwargs)

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and await it, for `StoreLimits.call_s` at most.

        Raises:
            TransientFault: no answer in time, or too many calls wait already.
            VersionConflict: a unique key exists already.
            StoreRefused: the database refused it.
        """
        if self._waiting >= CALLS_WAITING_MAX:
            raise TransientFault("too many calls wait for the database")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.call_s):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(
                    self._pool, lambda: _as_faults(work, *args, **kwargs)
                )
        except TimeoutError:
            self.datastore.sever()
            raise TransientFault("the database does not answer") from None
        finally:
            self._waiting -= 1

    @property
    def calls(self) -> int:
        """How many calls run or wait for a thread."""
        return self._waiting

    async def close(self) -> None:
        """Let the calls made so far end, within `StoreLimits.call_s`, then close everything."""
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(None, self._pool.shutdown)
        try:
            async with asyncio.timeout(self._limits.call_s):
                await asyncio.shield(ended)
        except TimeoutError:
            self.datastore.sever()
            await ended
        finally:
            self.datastore.close()

    def _with_connection(
        self,
        work: Callable[Concatenate[PgConnection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        with self.datastore.get_connection() as connection:
            return work(connection, *args, **kwargs)

    def _again_if_broken(
        self,
        work: Callable[Concatenate[PgConnection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        broken = False
        try:
            with self.datastore.get_connection() as connection:
                try:
                    return work(connection, *args, **kwargs)
                finally:
                    broken = connection.closed
        except (OperationalError, InterfaceError):
            if not broken:
                raise
        return self._with_connection(work, *args, **kwargs)


def _as_faults(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with as_faults():
        return work(*args, **kwargs)
