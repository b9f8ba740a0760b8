"""Content held to the digest that names it."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable

from penstock_runtime.ports.artifacts import ArtifactDamaged

_PREFIX = "sha256:"


def digest_text(raw: bytes) -> str:
    """Give a SHA-256 as artifacts are named by it."""
    return f"{_PREFIX}{raw.hex()}"


def digest_bytes(digest: str) -> bytes:
    """Give the 32 bytes of a digest.

    Raises:
        ValueError: it is none.
    """
    if not digest.startswith(_PREFIX):
        raise ValueError("an artifact is named by its SHA-256")
    return bytes.fromhex(digest.removeprefix(_PREFIX))


async def verified(chunks: AsyncIterable[bytes], digest: str) -> AsyncGenerator[bytes]:
    """Pass content on; its last piece only once the whole has its digest.

    Raises:
        ArtifactDamaged: it has another one.
    """
    hashing, held = hashlib.sha256(), b""
    async for chunk in chunks:
        hashing.update(chunk)
        if held:
            yield held
        held = chunk
    if digest_text(hashing.digest()) != digest:
        raise ArtifactDamaged(f"its content is not {digest}")
    if held:
        yield held
