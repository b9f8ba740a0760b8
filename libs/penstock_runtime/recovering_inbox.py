"""The stores read as if they were EVENTS, for whoever folds events and has no stream to read."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from penstock_contracts.records import StoredRecord, published_form
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.inbox import Attachment, Received, Source
from penstock_runtime.ports.ledger import EventReader, Witness
from penstock_runtime.relay import subject_of

NO_STREAM_US = 0  # creation time of no incarnation: whoever goes on from there begins anew


@dataclass(frozen=True, slots=True)
class Part:
    """A partition to read, up to event `n`, beginning behind event `after`."""

    partition: str
    reader: EventReader
    n: int
    after: int = 0


class StoreInbox:
    """`Inbox` over event stores: every event in its published form, a partition after the other.

    The positions that it gives belong to no incarnation of EVENTS.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        """Read `parts` in this order: what others refer to first."""
        self._all = tuple(parts)
        self._end = sum(max(part.n - part.after, 0) for part in parts)
        self._begin()

    def _begin(self) -> None:
        self._parts = iter(self._all)
        self._sequence = 0
        self._next()

    @property
    def done(self) -> int:
        """How many events were given."""
        return self._sequence

    @property
    def end(self) -> int:
        """How many there are."""
        return self._end

    def _next(self) -> None:
        self._part: Part | None = next(self._parts, None)
        self._at = 0 if self._part is None else self._part.after

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        """See the port; whatever the positions say, it begins anew."""
        del positions
        self._begin()
        name = Stream.EVENTS.value
        start = {name: Witness(NO_STREAM_US)}
        return Attachment(start, frozenset({name}), {name: self._end})

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """See the port; behind the end nothing ever comes."""
        while (part := self._part) is not None:
            wanted = min(limit, part.n - self._at)
            records = (
                await part.reader.after(part.partition, self._at, wanted) if wanted > 0 else ()
            )
            if records:
                self._at = records[-1].n
                return list(self._received(records))
            self._next()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.Event().wait()
        return ()

    def _received(self, records: Sequence[StoredRecord]) -> Iterator[Received]:
        for record in records:
            self._sequence += 1
            yield Received(
                Stream.EVENTS.value, subject_of(record), self._sequence, self._sequence,
                published_form(record),
            )  # fmt: skip

    async def verify(self, positions: Mapping[str, Witness]) -> frozenset[str]:
        """See the port: a store is what it is."""
        return frozenset()

    async def confirm_empty(self) -> bool:
        """See the port."""
        return self._part is None

    async def purge(self, source: Source, before_sequence: int) -> None:
        """See the port; nothing is deleted."""

    async def close(self) -> None:
        """See the port; nothing is open."""
