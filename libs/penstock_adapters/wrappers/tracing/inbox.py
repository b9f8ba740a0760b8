"""An inbox that remembers when the batch in work was taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Attachment, Inbox, Received, Source
from penstock_runtime.ports.ledger import Witness


@dataclass(slots=True)
class Taken:
    """The batch in work of one owner: when it was taken, and how many messages it has."""

    at_us: int = 0
    messages: int = 0


class TracedInbox:
    """Fulfils the port `Inbox`; tells `taken` of each batch."""

    def __init__(self, inner: Inbox, clock: Clock, taken: Taken) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._taken = taken

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        """Pass on."""
        return await self._inner.attach(positions)

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """Pass on, and note the moment."""
        messages = await self._inner.take(limit, timeout_s)
        if messages:
            self._taken.at_us, self._taken.messages = self._clock.now_us(), len(messages)
        return messages

    async def verify(self, positions: Mapping[str, Witness]) -> frozenset[str]:
        """Pass on."""
        return await self._inner.verify(positions)

    async def confirm_empty(self) -> bool:
        """Pass on."""
        return await self._inner.confirm_empty()

    async def purge(self, source: Source, before_sequence: int) -> None:
        """Pass on."""
        await self._inner.purge(source, before_sequence)

    async def close(self) -> None:
        """Pass on."""
        await self._inner.close()
