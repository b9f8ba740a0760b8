"""Artifacts in the bus's object store, laid out as any client of it expects.

An object is a row of chunks on a subject of its own and, once these are all there, a head that
names them. Chunks are read one by one by the stream's leader: whoever may write here must not be
able to pull, so no consumer is made (see `penstock_contracts.permissions`).
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import (
    STREAM_NOT_FOUND,
    JetStreamApi,
    RefusedError,
    StoredMessage,
)
from penstock_adapters.nats.publisher import outcome_of
from penstock_adapters.nats.replies import Frame
from penstock_contracts.subjects import (
    ARTIFACT_BUCKET,
    ARTIFACT_CHUNKS,
    ARTIFACT_HEADS,
    ARTIFACT_STREAM,
)
from penstock_runtime.artifacts import digest_bytes, verified
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import (
    CHUNK_BYTES,
    ArtifactGone,
    ArtifactKey,
    ArtifactMissing,
    ArtifactTooLarge,
)
from penstock_runtime.ports.bus import Published

WINDOW_CHUNKS: Final = 8  # sent before their acknowledgements are awaited
ACK_TIMEOUT_S: Final = 20.0  # for all of a window
_NUMBER_BYTES: Final = 11


class NatsShelf:
    """`ArtifactShelf` over the bucket that `ensure_artifacts` makes."""

    def __init__(self, connection: NatsConnection, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        """Move content over `connection`."""
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._ack_timeout_s = ack_timeout_s
        self._most_bytes: int | None = None

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """See the port."""
        number = secrets.token_hex(_NUMBER_BYTES)
        subject = f"{ARTIFACT_CHUNKS}{number}"
        size = count = 0
        window: list[Frame] = []
        async for chunk in verified(chunks, key.digest):
            window.append(Frame(subject, chunk))
            size, count = size + len(chunk), count + 1
            if size > WINDOW_CHUNKS * CHUNK_BYTES:
                await self._check_room(size)
            if len(window) == WINDOW_CHUNKS:
                await self._send(window)
                window = []
        await self._send([*window, self._head(key, nuid=number, size=size, chunks=count)])
        return size

    async def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """See the port."""
        async for chunk in verified(self._chunks(key), key.digest):
            yield chunk

    async def _chunks(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        head = await self._read_head(key)
        subject, count = f"{ARTIFACT_CHUNKS}{head['nuid']}", int(head["chunks"])

        def behind(sequence: int) -> asyncio.Future[StoredMessage | None]:
            read = self._api.next_message_on(ARTIFACT_STREAM, subject, sequence + 1)
            return asyncio.ensure_future(read)

        # The next one is on its way while the reader is at work on this one.
        coming = behind(0) if count else None
        try:
            for left in reversed(range(count)):
                chunk = None if coming is None else await coming
                if chunk is None:
                    raise ArtifactMissing(f"of {key.digest} a part is gone from the object store")
                coming = behind(chunk.sequence) if left else None
                yield chunk.payload
        finally:
            if coming is not None:
                _ = coming.cancel()
                _ = await asyncio.gather(coming, return_exceptions=True)

    async def _read_head(self, key: ArtifactKey) -> Mapping[str, Any]:
        try:
            found = await self._api.last_message_on(ARTIFACT_STREAM, _head_subject(key))
        except RefusedError as refused:
            if refused.err_code != STREAM_NOT_FOUND:
                raise
            found = None
        if found is None:
            raise ArtifactMissing(f"{key.digest} is not in the object store")
        head: Mapping[str, Any] = orjson.loads(found.payload)
        if head.get("deleted"):
            raise ArtifactGone(f"{key.digest} was pruned")
        return head

    async def bury(self, key: ArtifactKey) -> None:
        """See the port."""
        await self._send([self._head(key, nuid="", size=0, chunks=0, deleted=True)])

    async def _check_room(self, size: int) -> None:
        """Refuse what would push its own first parts out before anybody has copied them."""
        if self._most_bytes is None:
            info = await self._api.stream_info(ARTIFACT_STREAM)
            self._most_bytes = int(info.config["max_bytes"]) // 2
        if 0 < self._most_bytes < size:
            raise ArtifactTooLarge(
                f"an artifact of over {self._most_bytes // 2**20} MB does not fit the object "
                "store: raise PENSTOCK_ARTIFACT_CACHE_MB of the schedulers"
            )

    @staticmethod
    def _head(key: ArtifactKey, **fields: object) -> Frame:
        digest = base64.urlsafe_b64encode(digest_bytes(key.digest)).decode()
        head = {
            "name": _name(key),
            "bucket": ARTIFACT_BUCKET,
            "mtime": datetime.now(UTC).isoformat(),
            "digest": f"SHA-256={digest}",
            "options": {"max_chunk_size": CHUNK_BYTES},
            **fields,
        }
        return Frame(_head_subject(key), orjson.dumps(head))

    async def _send(self, frames: list[Frame]) -> None:
        replies = await self._connection.exchange(frames, self._ack_timeout_s)
        for reply in replies:
            outcome = outcome_of(reply)
            if outcome is not Published.DONE:
                raise TransientFault(f"the object store does not take it: {outcome.value}")


def _name(key: ArtifactKey) -> str:
    return f"{key.tenant}/{key.digest}"


def _head_subject(key: ArtifactKey) -> str:
    return f"{ARTIFACT_HEADS}{base64.urlsafe_b64encode(_name(key).encode()).decode()}"
