"""The durable artifacts: content in pieces in two tables, for each digest once."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from datetime import timedelta
from typing import Any

from penstock_adapters.postgres.datastore import StoreLimits
from penstock_adapters.postgres.migrate import Schema, require_schema
from penstock_adapters.postgres.opening import Opening
from penstock_adapters.postgres.rows import Row, fetch
from penstock_adapters.postgres.statements import load_statements
from penstock_adapters.postgres.threads import DatabaseThreads
from penstock_runtime.artifacts import digest_bytes, digest_text, verified
from penstock_runtime.ports.artifacts import ArtifactGone, ArtifactKey, ArtifactMissing

THREADS = 2  # and connections: apart from those that commit events
DROPPED_AT_ONCE = 64  # pieces in one statement: 16 MiB
UNFINISHED_S = 6 * 3_600  # nobody is at work on one copy for so long
_SQL = load_statements("artifacts.sql")


class PostgresVault(Opening):
    """`ArtifactVault` over the service role of the scheduler's database.

    Args:
        url: connection URL of the service role.
        limits: bounds of its waits.
        unfinished_s: after which a copy that was never completed is dropped.
    """

    def __init__(
        self, url: str, *, limits: StoreLimits | None = None, unfinished_s: float = UNFINISHED_S
    ) -> None:
        bounds = limits or StoreLimits()
        self._calls = DatabaseThreads(
            url, threads=THREADS, limits=bounds, label="penstock-artifacts"
        )
        self._unfinished = timedelta(seconds=unfinished_s)

    async def open(self) -> None:
        """Check server and tables (see `Opening`)."""
        await self._calls.write(require_schema, Schema.ARTIFACTS)

    async def close(self) -> None:
        """End threads and connections."""
        await self._calls.close()

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """See the port."""
        ((copy,),) = await self._write("begin")
        size = count = 0
        stands = None
        try:
            async for chunk in verified(chunks, key.digest):
                await self._write("add", copy=copy, place=count, data=chunk)
                size, count = size + len(chunk), count + 1
            ((stands,),) = await self._write(
                "complete", copy=copy, size=size, chunks=count, **_named(key)
            )
        finally:
            if stands != copy:
                await self._drop(copy)
        return size

    async def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """See the port."""
        async for chunk in verified(self._chunks(key), key.digest):
            yield chunk

    async def _chunks(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        found = await self._read("find", **_named(key))
        if not found:
            raise ArtifactMissing(f"{key.digest} was never stored")
        ((copy, chunks),) = found
        if copy is None:
            raise ArtifactGone(f"{key.digest} was pruned")
        for place in range(chunks):
            rows = await self._read("chunk", copy=copy, place=place)
            if not rows:  # pruned while it was read
                raise ArtifactGone(f"{key.digest} was pruned")
            yield bytes(rows[0][0])

    async def bury(self, key: ArtifactKey) -> None:
        """See the port."""
        await self._write("bury", **_named(key))

    async def renew(self, key: ArtifactKey) -> bool:
        """See the port."""
        return bool(await self._write("renew", **_named(key)))

    async def prune(self, older_than_s: float, most: int) -> Sequence[ArtifactKey]:
        """See the port."""
        expired = await self._write("expire", older_than=timedelta(seconds=older_than_s), most=most)
        for (copy,) in await self._write("useless", older_than=self._unfinished, most=most):
            await self._drop(copy)
        return [ArtifactKey(tenant, digest_text(bytes(digest))) for tenant, digest in expired]

    async def _drop(self, copy: int) -> None:
        while await self._write("drop_chunks", copy=copy, most=DROPPED_AT_ONCE):
            pass
        await self._write("drop_copy", copy=copy)

    async def _write(self, statement: str, **params: Any) -> list[Row]:  # noqa: ANN401 - of the statement
        return await self._calls.write(fetch, _SQL[statement], params)

    async def _read(self, statement: str, **params: Any) -> list[Row]:  # noqa: ANN401 - of the statement
        return await self._calls.read(fetch, _SQL[statement], params)


def _named(key: ArtifactKey) -> dict[str, object]:
    return {"tenant": key.tenant, "digest": digest_bytes(key.digest)}
