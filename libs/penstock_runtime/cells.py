"""States in memory: a bounded cache, filled from the event table."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import StoredRecord, read_record
from penstock_contracts.registry import kind_of, read_event
from penstock_contracts.values import Wire
from penstock_core.decider import Decider
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import ParkedDecider, ParkedState
from penstock_runtime.domain import Aggregate, Domain
from penstock_runtime.ports.ledger import EventReader

CACHE_MAX = 20_000  # states kept; what falls out is folded again when needed
UNKNOWN = -1  # `bound`: the index may or may not hold an entry
_PARKED = ParkedDecider()


@dataclass(slots=True)
class Cell:
    """One aggregate in memory.

    Attributes:
        state: after all its committed events (inside a batch: and the batch's).
        bound: due time that the index holds; None: it holds none; UNKNOWN: not known.
        broken: why its history cannot be folded; '' if it can.
    """

    decider: Decider[Any]
    state: Aggregate
    bound: int | None = None
    broken: str = ""


class Cells:
    """The cache of one partition's owner."""

    def __init__(self, domain: Domain[Any], reader: EventReader, size: int = CACHE_MAX) -> None:
        """Hold at most `size` states."""
        self._domain = domain
        self._reader = reader
        self._size = size
        self._kept: OrderedDict[str, Cell] = OrderedDict()

    def drop(self) -> None:
        """Forget everything: a commit has failed."""
        self._kept.clear()

    def keep(self, cells: Mapping[str, Cell]) -> None:
        """Take over what a committed batch has made of its states.

        What has no event yet is not kept: what its first command refers to may be read only
        once that command has come.
        """
        for aggregate_id, cell in cells.items():
            if cell.state.version == 0:
                continue
            self._kept[aggregate_id] = cell
            self._kept.move_to_end(aggregate_id)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def unknown(self, aggregate_ids: Iterable[str]) -> frozenset[str]:
        """Give those of which nothing is in memory."""
        return frozenset(one for one in aggregate_ids if one not in self._kept)

    async def load(
        self, wanted: Mapping[str, Wire | None], presumed_new: Collection[str] = ()
    ) -> dict[str, Cell]:
        """Give copies of the states of `wanted` (id -> a first command, if one is at hand).

        Args:
            wanted: whose states.
            presumed_new: of these, what is not in memory is taken to have no event, unread.

        Raises:
            TransientFault: the store does not answer.
        """
        missing = [one for one in self.unknown(wanted) if one not in presumed_new]
        records: Mapping[str, Sequence[StoredRecord]] = {}
        if missing:
            records = await self._reader.load(missing)
        found: dict[str, Cell] = {}
        for aggregate_id, hint in wanted.items():
            kept = self._kept.get(aggregate_id)
            if kept is not None:
                found[aggregate_id] = Cell(kept.decider, kept.state, kept.bound, kept.broken)
            else:
                history = records.get(aggregate_id, ())
                found[aggregate_id] = await self.folded(aggregate_id, history, hint)
        return found

    async def folded(
        self, aggregate_id: str, history: Sequence[StoredRecord], hint: Wire | None = None
    ) -> Cell:
        """Fold a history from its beginning."""
        try:
            cell = await self.blank(aggregate_id, history[0] if history else None, hint)
            for record in history:
                cell.state = cell.decider.evolve(cell.state, event_of(record))
        except (BrokenInvariant, MalformedMessage) as error:
            return Cell(_PARKED, ParkedState(aggregate_id, version=len(history)), None, str(error))
        cell.bound = UNKNOWN if history else None
        return cell

    async def blank(
        self, aggregate_id: str, first: StoredRecord | None, hint: Wire | None = None
    ) -> Cell:
        """Make the state before the first event."""
        if first is not None and kind_of(first.topic) == "partition":
            return Cell(_PARKED, ParkedState(aggregate_id))
        known = hint if first is None else event_of(first)
        return Cell(self._domain.decider, await self._domain.blank(aggregate_id, known))

    @staticmethod
    def parked(aggregate_id: str) -> Cell:
        """Make the empty state of a message that belongs to no other aggregate."""
        return Cell(_PARKED, ParkedState(aggregate_id))


def event_of(record: StoredRecord) -> Wire:
    """Read a stored event.

    Raises:
        MalformedMessage: it is damaged or of an unknown type.
    """
    return read_event(record.topic, read_record(record).data)
