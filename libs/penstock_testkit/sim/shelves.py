"""Where artifacts lie in a simulated world: away when their server is, and behind a link."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterable, Sequence

from penstock_adapters.memory.artifacts import MemoryShelf, MemoryVault
from penstock_adapters.memory.streams import MemoryServer
from penstock_runtime.ports.artifacts import ArtifactKey
from penstock_runtime.ports.clock import Clock
from penstock_testkit.sim.links import Link
from penstock_testkit.sim.stores import SimLedger


class SimShelf(MemoryShelf):
    """The bus's own object store."""

    def __init__(self, bus: MemoryServer) -> None:
        """Begin empty, on `bus`."""
        super().__init__()
        self._bus = bus

    def _expect_up(self) -> None:
        self._bus.expect_up()


class SimVault(MemoryVault):
    """What is durable of artifacts: it lies in the schedulers' store, and is put back with it."""

    def __init__(self, clock: Clock, ledger: SimLedger) -> None:
        """Begin empty, in the database of `ledger`."""
        super().__init__(clock)
        self._ledger = ledger

    def _expect_up(self) -> None:
        self._ledger.expect_up()

    def keep_copy(self) -> SimVault:
        """Give a copy of everything that is stored."""
        kept = SimVault(self._clock, self._ledger)
        kept.put_back(self)
        return kept

    def put_back(self, other: SimVault) -> None:
        """Hold what `other` holds."""
        self.content = copy.copy(other.content)
        self._stored = copy.copy(other._stored)


class LinkedShelf:
    """`ArtifactShelf` behind a link."""

    def __init__(self, inner: MemoryShelf, link: Link) -> None:
        """Reach `inner`."""
        self._inner = inner
        self._link = link

    async def put(self, key: ArtifactKey, chunks: AsyncIterable[bytes]) -> int:
        """See the port."""
        await self._link.there()
        size = await self._inner.put(key, chunks)
        await self._link.back()
        return size

    async def read(self, key: ArtifactKey) -> AsyncGenerator[bytes]:
        """See the port."""
        await self._link.there()
        async for chunk in self._inner.read(key):
            await self._link.back()
            yield chunk

    async def bury(self, key: ArtifactKey) -> None:
        """See the port."""
        await self._link.there()
        await self._inner.bury(key)
        await self._link.back()


class LinkedVault(LinkedShelf):
    """`ArtifactVault` behind a link."""

    def __init__(self, inner: SimVault, link: Link) -> None:
        """Reach `inner`."""
        super().__init__(inner, link)
        self._vault = inner

    async def renew(self, key: ArtifactKey) -> bool:
        """See the port."""
        await self._link.there()
        renewed = await self._vault.renew(key)
        await self._link.back()
        return renewed

    async def prune(self, older_than_s: float, most: int) -> Sequence[ArtifactKey]:
        """See the port."""
        await self._link.there()
        pruned = await self._vault.prune(older_than_s, most)
        await self._link.back()
        return pruned
