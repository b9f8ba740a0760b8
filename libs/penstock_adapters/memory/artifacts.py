"""Artifacts in memory: a shelf, and a vault that forgets on demand."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence

from penstock_contracts.values import MICROSECONDS
from penstock_runtime.artifacts import verified
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import (
    CHUNK_BYTES,
    ArtifactGone,
    ArtifactKey,
    ArtifactMissing,
)
from penstock_runtime.ports.clock import Clock


class MemoryShelf:
    """`ArtifactShelf` in memory.

    Attributes:
        content: by key; None: pruned.
        up: while False every call is a TransientFault.
    """

    def __init__(self) -> None:
        self.content: dict[ArtifactKey, bytes | None] = {}
        self.up = True

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """See the port."""
        self._expect_up()
        content = b"".join([chunk async for chunk in verified(chunks, key.digest)])
        self._expect_up()
        self.content[key] = content
        return len(content)

    async def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """See the port."""
        self._expect_up()
        async for chunk in verified(self._pieces(key), key.digest):
            yield chunk

    async def _pieces(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        if key not in self.content:
            raise ArtifactMissing(f"{key.digest} is not here")
        content = self.content[key]
        if content is None:
            raise ArtifactGone(f"{key.digest} was pruned")
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]

    async def bury(self, key: ArtifactKey) -> None:
        """See the port."""
        self._expect_up()
        self.content[key] = None

    def _expect_up(self) -> None:
        if not self.up:
            raise TransientFault("the artifacts' shelf is away")


class MemoryVault(MemoryShelf):
    """`ArtifactVault` in memory."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._stored: dict[ArtifactKey, int] = {}

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """See the port."""
        size = await super().put(key, chunks)
        self._stored[key] = self._clock.now_us()
        return size

    def age(self, seconds: float) -> None:
        """Let everything be so much older."""
        for key in self._stored:
            self._stored[key] -= int(seconds * MICROSECONDS)

    async def renew(self, key: ArtifactKey) -> bool:
        """See the port."""
        self._expect_up()
        if self.content.get(key) is None:
            return False
        self._stored[key] = self._clock.now_us()
        return True

    async def prune(self, older_than_s: float, most: int) -> Sequence[ArtifactKey]:
        """See the port."""
        self._expect_up()
        before = self._clock.now_us() - int(older_than_s * MICROSECONDS)
        found = [
            key
            for key, stored in self._stored.items()
            if stored < before and self.content[key] is not None
        ]
        for key in found[:most]:
            self.content[key] = None
        return found[:most]
