"""What a new owner makes good: effects behind the last marker, and a sweep of all that is open."""

import logging
from collections.abc import Sequence
from typing import Any

from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import Effect, QueueTask
from penstock_core.parking import parking_effects
from penstock_runtime.cells import Cells, event_of
from penstock_runtime.dispatch import Dispatch
from penstock_runtime.ports.ledger import DueIndex, EventReader

log = logging.getLogger(__name__)

PAGE = 500
REPUBLISHED_MAX = 20_000  # events behind the marker whose effects are published again; effects of
# older ones are settled, or asked again by whoever waits for them


class Takeover:
    """Publishes again, in pages, what may have been lost with the owner before us."""

    def __init__(
        self, partition: str, cells: Cells, reader: EventReader, index: DueIndex, out: Dispatch
    ) -> None:
        """Work for `partition`."""
        self._partition = partition
        self._cells = cells
        self._reader = reader
        self._index = index
        self._out = out

    async def republish(self, relayed_n: int, last_n: int) -> None:
        """Publish the effects of events relayed_n+1 .. last_n; tasks only if still outstanding."""
        at = max(relayed_n, last_n - REPUBLISHED_MAX)
        while at < last_n:
            page = await self._reader.after(self._partition, at, min(PAGE, last_n - at))
            if not page:
                break
            await self._out.publish(await self._effects_of(page))
            at = page[-1].n

    async def _effects_of(self, page: Sequence[StoredRecord]) -> list[Effect]:
        histories = await self._reader.load(sorted({record.aggregate_id for record in page}))
        wanted = {record.n for record in page}
        found: list[tuple[int, Effect]] = []
        for aggregate_id, history in histories.items():
            try:
                found.extend(await self._of_aggregate(aggregate_id, history, wanted))
            except (BrokenInvariant, MalformedMessage):  # its messages park; the others go on
                log.exception("a history cannot be read", extra={"aggregate": aggregate_id})
        return [effect for _, effect in sorted(found, key=lambda item: item[0])]

    async def _of_aggregate(
        self, aggregate_id: str, history: Sequence[StoredRecord], wanted: set[int]
    ) -> list[tuple[int, Effect]]:
        cell = await self._cells.blank(aggregate_id, history[0])
        state: Any = cell.state
        found: list[tuple[int, Effect]] = []
        for record in history:
            event = event_of(record)
            after = cell.decider.evolve(state, event)
            if record.n in wanted:
                effects = (
                    *parking_effects(state.frozen, event),
                    *cell.decider.effects(state, event, after),
                )
                found.extend((record.n, effect) for effect in effects)
            state = after
        waiting = {
            item.effect.subject
            for item in cell.decider.outstanding(state)
            if isinstance(item.effect, QueueTask)
        }
        return [
            (n, effect)
            for n, effect in found
            if not isinstance(effect, QueueTask) or effect.subject in waiting
        ]

    async def sweep(self) -> None:
        """Ask again for everything that is outstanding in the partition.

        Tasks that were queued in this very epoch are left out: they cannot have been lost with
        the owner before us, and one that is done already would be done again.
        """
        after_id = ""
        while True:
            entries = await self._index.open_after(self._partition, after_id, PAGE)
            if not entries:
                self._out.end_sweep()
                return
            ids = [entry.aggregate_id for entry in entries]
            cells = await self._cells.load(dict.fromkeys(ids))
            effects = [
                item.effect
                for cell in cells.values()
                if not cell.broken
                for item in cell.decider.outstanding(cell.state)
                if not (isinstance(item.effect, QueueTask) and self._out.has_queued(item.effect))
            ]
            await self._out.publish(effects)
            after_id = ids[-1]
