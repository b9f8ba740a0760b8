"""What every `ArtifactShelf` and `ArtifactVault` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from penstock_runtime.artifacts import digest_text
from penstock_runtime.ports.artifacts import (
    CHUNK_BYTES,
    ArtifactDamaged,
    ArtifactGone,
    ArtifactKey,
    ArtifactMissing,
    ArtifactShelf,
    ArtifactVault,
)

SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES + 7)


def content_of(size: int, seed: str = "a") -> bytes:
    """Give bytes that repeat nowhere at the size of a chunk."""
    block = b"".join(hashlib.sha256(f"{seed}{n}".encode()).digest() for n in range(1_000))
    return (block * (size // len(block) + 1))[:size]


def key_of(content: bytes, tenant: str = "default") -> ArtifactKey:
    """Name content."""
    return ArtifactKey(tenant, digest_text(hashlib.sha256(content).digest()))


async def pieces(content: bytes, size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
    """Give content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def broken_off(content: bytes) -> AsyncIterator[bytes]:
    """Give content and break off."""
    yield content
    raise OSError("the disk is gone")


async def read_all(shelf: ArtifactShelf, key: ArtifactKey) -> bytes:
    """Read content to its end."""
    return b"".join([chunk async for chunk in shelf.read(key)])


class ShelfSuite:
    """Run with a fixture `shelf`."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_gives_what_was_put(self, shelf: ArtifactShelf, size: int) -> None:
        content = content_of(size)
        assert await shelf.put(key_of(content), pieces(content)) == size
        found = [chunk async for chunk in shelf.read(key_of(content))]
        assert b"".join(found) == content
        assert all(len(chunk) <= CHUNK_BYTES for chunk in found)

    async def test_knows_nothing_of_what_was_never_put(self, shelf: ArtifactShelf) -> None:
        with pytest.raises(ArtifactMissing) as caught:
            await read_all(shelf, key_of(b"never"))
        assert not isinstance(caught.value, ArtifactGone)

    async def test_putting_again_is_harmless(self, shelf: ArtifactShelf) -> None:
        content = content_of(3 * CHUNK_BYTES)
        for _ in range(2):
            await shelf.put(key_of(content), pieces(content))
        assert await read_all(shelf, key_of(content)) == content

    async def test_takes_nothing_under_a_false_name(self, shelf: ArtifactShelf) -> None:
        content = content_of(10 * CHUNK_BYTES)
        wrong = key_of(b"another")
        with pytest.raises(ArtifactDamaged):
            await shelf.put(wrong, pieces(content))
        with pytest.raises(ArtifactMissing):
            await read_all(shelf, wrong)

    async def test_a_put_that_breaks_off_leaves_nothing_to_be_seen(
        self, shelf: ArtifactShelf
    ) -> None:
        content = content_of(CHUNK_BYTES, "b")
        with pytest.raises(OSError, match="disk"):
            await shelf.put(key_of(content), broken_off(content))
        with pytest.raises(ArtifactMissing):
            await read_all(shelf, key_of(content))
        await shelf.put(key_of(content), pieces(content))
        assert await read_all(shelf, key_of(content)) == content

    async def test_tenants_are_apart(self, shelf: ArtifactShelf) -> None:
        content = content_of(100, "c")
        await shelf.put(key_of(content, "acme"), pieces(content))
        with pytest.raises(ArtifactMissing):
            await read_all(shelf, key_of(content, "other"))

    async def test_what_is_buried_is_gone_until_it_is_put_again(self, shelf: ArtifactShelf) -> None:
        content = content_of(100, "d")
        key = key_of(content)
        await shelf.put(key, pieces(content))
        await shelf.bury(key)
        with pytest.raises(ArtifactGone):
            await read_all(shelf, key)
        await shelf.put(key, pieces(content))
        assert await read_all(shelf, key) == content

    async def test_what_was_never_here_can_be_buried(self, shelf: ArtifactShelf) -> None:
        await shelf.bury(key_of(b"long ago"))
        with pytest.raises(ArtifactGone):
            await read_all(shelf, key_of(b"long ago"))

    async def test_several_read_and_write_at_once(self, shelf: ArtifactShelf) -> None:
        one, two = content_of(5 * CHUNK_BYTES, "e"), content_of(5 * CHUNK_BYTES, "f")
        await shelf.put(key_of(one), pieces(one))
        reading = shelf.read(key_of(one))
        first = await anext(reading)
        await shelf.put(key_of(two), pieces(two))
        assert first + b"".join([chunk async for chunk in reading]) == one
        assert await read_all(shelf, key_of(two)) == two


class VaultSuite(ShelfSuite):
    """Run with a fixture `vault`; it is the fixture `shelf` as well."""

    @pytest.fixture
    def shelf(self, vault: ArtifactVault) -> ArtifactShelf:
        return vault

    async def test_prunes_what_is_old(self, vault: ArtifactVault) -> None:
        content = content_of(70 * CHUNK_BYTES)
        await vault.put(key_of(content), pieces(content))
        assert await vault.prune(3_600, 10) == []
        assert await read_all(vault, key_of(content)) == content
        assert await vault.prune(-1, 10) == [key_of(content)]
        with pytest.raises(ArtifactGone):
            await read_all(vault, key_of(content))
        assert await vault.prune(-1, 10) == []

    async def test_prunes_no_more_than_it_may(self, vault: ArtifactVault) -> None:
        for seed in "gh":
            content = content_of(10, seed)
            await vault.put(key_of(content), pieces(content))
        assert len(await vault.prune(-1, 1)) == 1
        assert len(await vault.prune(-1, 1)) == 1

    async def test_renews_what_is_here_and_nothing_else(self, vault: ArtifactVault) -> None:
        content = content_of(10)
        assert not await vault.renew(key_of(content))
        await vault.put(key_of(content), pieces(content))
        assert await vault.renew(key_of(content))
        await vault.bury(key_of(content))
        assert not await vault.renew(key_of(content))
