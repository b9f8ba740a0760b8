"""Where artifacts lie: the bus's object store, which is transport and cache, and what is durable.

Content is named by its digest, and both sides hold it to that name: nothing is put that has
another digest than it is put by, and nothing is read to its end that has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import NamedTuple, Protocol

CHUNK_BYTES = 256 * 1024
"""Most bytes of one piece; also all that a transfer holds in memory at a time, times a few."""


class ArtifactKey(NamedTuple):
    """What names content: its digest (`sha256:` and 64 hex digits), for each tenant apart."""

    tenant: str
    digest: str


class ArtifactMissing(Exception):
    """It is not here, or not as a whole any more."""


class ArtifactGone(ArtifactMissing):
    """Its retention time was over, and it was pruned."""


class ArtifactDamaged(ArtifactMissing):
    """What is here, or what was to be put, does not have the digest that it is named by."""


class ArtifactTooLarge(Exception):
    """It does not fit where it was to be put; the message names the setting."""


class ArtifactShelf(Protocol):
    """Holds content by its key. Every call may raise TransientFault."""

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """Store content; it is to be seen only once it is there as a whole. Gives its size.

        Putting again what is there is harmless; what was pruned is there again.

        Raises:
            ArtifactDamaged: the content has another digest; nothing was stored.
            ArtifactTooLarge: it does not fit here.
        """
        ...

    def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """Give the content in pieces of at most `CHUNK_BYTES`.

        The last piece is given only once the whole was found to have its digest.

        Raises:
            ArtifactMissing: it is not here, was pruned (`ArtifactGone`), or is not what it is
                named by (`ArtifactDamaged`); before the first piece or behind any.
        """
        ...

    async def bury(self, key: ArtifactKey) -> None:
        """Note that it was pruned, so that readers need not wait for it."""
        ...


class ArtifactVault(ArtifactShelf, Protocol):
    """Holds content durably, until its retention time is over."""

    async def renew(self, key: ArtifactKey) -> bool:
        """Let the retention time begin anew; False: it is not here."""
        ...

    async def prune(self, older_than_s: float, most: int) -> Sequence[ArtifactKey]:
        """Bury up to `most` that were put or renewed longer ago, and what half-done puts left."""
        ...


class NoArtifacts:
    """A shelf with nothing on it, which takes nothing."""

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """Refuse."""
        del chunks
        raise ArtifactTooLarge(f"there is no room for {key.digest}")

    async def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """Have nothing."""
        raise ArtifactMissing(f"{key.digest} is not here")
        yield b""

    async def bury(self, key: ArtifactKey) -> None:
        """Do nothing."""
