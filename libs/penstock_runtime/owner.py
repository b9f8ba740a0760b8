"""One owner of one partition, for one epoch: consume, decide, commit, publish, keep time."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.ids import refused_id
from penstock_contracts.records import StoredRecord
from penstock_contracts.values import MICROSECONDS, Wire
from penstock_core.catalog.library import Library
from penstock_core.decision import Rejection
from penstock_runtime.batch import FROZEN_LOOK_US, Batch, apart_of, told_here
from penstock_runtime.cells import Cell, Cells
from penstock_runtime.dispatch import Dispatch, Renderer
from penstock_runtime.domain import Addressed, Domain, Refused
from penstock_runtime.faults import VersionConflict
from penstock_runtime.ports.bus import Publisher, RelayLog
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Inbox, Received, Source
from penstock_runtime.ports.keeping import Keeper, NoKeeper
from penstock_runtime.ports.ledger import (
    DueIndex,
    EventReader,
    Ledger,
    OpenEntry,
    PartitionRow,
)
from penstock_runtime.purge import PurgeMarks
from penstock_runtime.relay import Relay
from penstock_runtime.telemetry.metrics import (
    BATCH_MESSAGES,
    COMMIT_EVENTS,
    COMMIT_SECONDS,
    COMMITTED,
    CONSUMED,
    DECIDE_SECONDS,
    EVENT_NUMBER,
    INBOX_LAG,
    INBOX_OLDEST,
    INCARNATIONS,
    REJECTED,
    TIMERS_FIRED,
    Metrics,
)

log = logging.getLogger(__name__)

BATCH_MAX = 500  # messages of one batch
FIRE_MAX = 200  # due aggregates of one batch
LOOK_S = 10.0  # how often positions are checked when nothing arrives
DAY_US = 86_400 * MICROSECONDS


@dataclass(frozen=True, slots=True)
class Parts:
    """What an owner is wired to."""

    ledger: Ledger
    reader: EventReader
    index: DueIndex
    inbox: Inbox
    sources: Sequence[Source]
    publisher: Publisher
    relay_log: RelayLog
    renderer: Renderer
    clock: Clock
    metrics: Metrics
    run_partitions: int = 1
    keeper: Keeper = field(default_factory=NoKeeper)


class NewIncarnation(Exception):
    """A stream is no longer the one our position is in: attach anew."""


class Owner:
    """Holds one epoch of one partition."""

    def __init__(self, row: PartitionRow, domain: Domain[Any], parts: Parts) -> None:
        """Own `row.partition` in `row.epoch`."""
        self.row = row
        self.domain = domain
        self.parts = parts
        self.cells = Cells(domain, parts.reader)
        self.relay = Relay(row, parts.relay_log, parts.reader, parts.clock, parts.metrics)
        self.dispatch = Dispatch(
            row.partition,
            parts.publisher,
            parts.renderer,
            parts.clock,
            parts.metrics,
            self.relay.allow,
            parts.keeper,
        )
        self._library = Library()
        self._next_due: int | None = None
        self._presuming = True  # that founding commands found something new
        self._ends: Mapping[str, int] = {}
        self._behind: dict[str, int] = {}  # stream -> messages behind the last one decided
        self._purge = PurgeMarks(parts.inbox, parts.sources)
        self.caught_up = asyncio.Event()  # the inbox was consumed to the end seen at attach

    async def open(self) -> bool:
        """Attach to the streams and read what decisions need.

        Returns:
            Whether a stream is a new incarnation, so that a sweep is due.

        Raises:
            Fenced: the epoch is over.
            TransientFault: server or store do not answer.
        """
        parts = self.parts
        self._library = await self.domain.open_library(parts.reader)
        attachment = await parts.inbox.attach(self.row.positions)
        self._ends = attachment.ends
        for stream in sorted(attachment.lost):
            log.error("unread messages have aged out", extra={"stream": stream})
        if attachment.positions != self.row.positions:
            batch = self._batch({})
            batch.positions = dict(attachment.positions)
            await self._commit(batch)
        for stream in sorted(attachment.renewed):
            log.warning("a stream is a new incarnation", extra={"stream": stream})
            parts.metrics.add(INCARNATIONS, stream)
        self._next_due = await parts.index.next_due(self.row.partition)
        return bool(attachment.renewed)

    async def work(self) -> None:
        """Consume and keep time until cancelled.

        Raises:
            Fenced: another owner has taken over.
            NewIncarnation: a stream was put back, recreated or cut.
            TransientFault: server or store do not answer.
        """
        while True:
            messages = await self.parts.inbox.take(BATCH_MAX, self._patience_s())
            if messages:
                self._tell_lag(messages[0].time_us)
                await self._consume(messages)
                self._note_behind(messages)
                self._purge.note(messages)
                self._look_whether_caught_up()
                await self._fire_behind()
            else:
                await self._idle()

    def _patience_s(self) -> float:
        if not self.caught_up.is_set():
            return 0.05
        if self._next_due is None:
            return LOOK_S
        left_s = (self._next_due - self.parts.clock.now_us()) / MICROSECONDS
        return min(max(left_s, 0.0), LOOK_S)

    async def _idle(self) -> None:
        moment = self.parts.clock.now_us()
        empty = await self.parts.inbox.confirm_empty()
        if empty:
            self.caught_up.set()
            self._behind.clear()
            self._tell_lag(0)
        await self._verify()
        if empty and self._next_due is not None and self._next_due <= moment:
            await self._fire(moment)
        await self._purge.run(self.row.positions, moment)

    async def _fire_behind(self) -> None:
        """Act on times that the last messages of all sources have passed.

        Messages come in the order of their server times, so whatever was sent before those is
        decided: a busy inbox, which is never seen empty, must not hold timers up.
        """
        times = [position.time_us or 0 for position in self.row.positions.values()]
        moment = min(times, default=0)
        if self._next_due is not None and self._next_due <= moment:
            await self._verify()
            await self._fire(moment)

    def _note_behind(self, messages: Sequence[Received]) -> None:
        self._behind.update((message.stream, message.pending) for message in messages)
        # What comes next is not older than what was just decided.
        self._tell_lag(messages[-1].time_us if any(self._behind.values()) else 0)

    def _tell_lag(self, oldest_us: int) -> None:
        metrics, partition = self.parts.metrics, self.row.partition
        metrics.set(INBOX_LAG, sum(self._behind.values()), partition)
        metrics.set(INBOX_OLDEST, oldest_us / MICROSECONDS, partition)

    def _look_whether_caught_up(self) -> None:
        positions = self.row.positions
        if all(
            stream in positions and positions[stream].sequence >= end
            for stream, end in self._ends.items()
        ):
            self.caught_up.set()

    # --- messages ---------------------------------------------------------------------------

    async def _consume(self, messages: Sequence[Received]) -> None:
        self.parts.metrics.add(CONSUMED, self.row.partition, amount=len(messages))
        self.parts.metrics.observe(BATCH_MESSAGES, len(messages), self.row.partition)
        try:
            if self._presuming and await self._consume_presuming(messages):
                return
            await self._consume_together(messages)
        except VersionConflict:
            log.exception("an event exists already; redoing one by one")
            self.cells.drop()
            for message in messages:
                await self._consume_alone(message)

    async def _consume_presuming(self, messages: Sequence[Received]) -> bool:
        """Consume without reading what the founding commands found: mostly it is new.

        The store's uniqueness of (aggregate, version) tells where that was wrong, so every
        presumed aggregate must get an event. False, and nothing committed: read first.
        """
        try:
            return await self._consume_together(messages, presuming=True)
        except VersionConflict:
            self._presuming = False
            self.cells.drop()
            return False

    async def _consume_alone(self, message: Received) -> None:
        try:
            await self._consume_together((message,))
        except VersionConflict as error:
            self.cells.drop()
            apart = apart_of(self.row.partition, message)
            batch = self._batch(await self.cells.load({apart: None}))
            batch.park(message, None, Code.INVARIANT_BROKEN, str(error))
            await self._commit(batch)

    async def _consume_together(
        self, messages: Sequence[Received], *, presuming: bool = False
    ) -> bool:
        checked = asyncio.ensure_future(self._verify())
        try:
            batch = await self._decide(messages, presuming=presuming)
            if batch is not None:
                await checked
        finally:
            checked.cancel()
        if batch is None:
            return False
        await self._commit(batch)
        return True

    async def _decide(self, messages: Sequence[Received], *, presuming: bool) -> Batch | None:
        """Decide on all; None if what was presumed to be new cannot be proven by the commit."""
        understood = [(message, self._read(message)) for message in messages]
        wanted: dict[str, Wire | None] = {}
        for _, reading in understood:
            if isinstance(reading, Addressed) and (
                reading.founds or reading.aggregate_id not in wanted
            ):
                wanted[reading.aggregate_id] = reading.command
        founded = self.cells.unknown(
            reading.aggregate_id
            for _, reading in understood
            if isinstance(reading, Addressed) and reading.founds
        )
        batch = self._batch(await self._load(wanted, understood, founded if presuming else ()))
        if founded and not presuming:  # new ones only: presume again
            self._presuming = not any(batch.cells[one].state.version for one in founded)
        started = self.parts.clock.now_us()
        for message, reading in understood:
            match reading:
                case Addressed():
                    batch.handle(message, reading)
                case Refused():
                    self.parts.metrics.add(REJECTED, self.row.partition, reading.code)
                    batch.skip(message)
                case MalformedMessage():
                    batch.park(message, None, reading.code, str(reading))
        seconds = (self.parts.clock.now_us() - started) / MICROSECONDS
        self.parts.metrics.observe(DECIDE_SECONDS, seconds, self.row.partition)
        proven = all(batch.cells[one].state.version for one in founded) or not presuming
        return batch if proven else None

    async def _load(
        self,
        wanted: Mapping[str, Wire | None],
        understood: Sequence[tuple[Received, Addressed | Refused | MalformedMessage]],
        presumed_new: Collection[str],
    ) -> dict[str, Cell]:
        """Load states and, where a command's target is unknown, its earlier refusal.

        Of what cannot be understood, whether it is kept already.
        """
        cells = await self.cells.load(wanted, presumed_new)
        partition = self.row.partition
        apart: dict[str, Wire | None] = {
            refused_id(partition, reading.command_id): None
            for _, reading in understood
            if isinstance(reading, Addressed) and self._may_be_told(reading, cells)
        }
        apart |= {
            apart_of(partition, message): None
            for message, reading in understood
            if isinstance(reading, MalformedMessage)
        }
        return {**await self.cells.load(apart), **cells} if apart else cells

    def _may_be_told(self, reading: Addressed, cells: Mapping[str, Cell]) -> bool:
        if told_here(self.domain, cells[reading.aggregate_id].state, reading.tenant):
            return False
        asked = self.domain.refusal(
            reading.command, reading.command_id, Rejection(Code.STALE, "asked before")
        )
        return asked is not None

    def _read(self, message: Received) -> Addressed | Refused | MalformedMessage:
        try:
            return self.domain.read(message)
        except (Refused, MalformedMessage) as reason:
            return reason

    async def _verify(self) -> None:
        wrong = await self.parts.inbox.verify(self.row.positions)
        if wrong:
            raise NewIncarnation(", ".join(sorted(wrong)))

    # --- time -------------------------------------------------------------------------------

    async def _fire(self, moment_us: int) -> None:
        """Act on due times; the inbox was seen empty at a moment not before `moment_us`."""
        partition = self.row.partition
        entries = await self.parts.index.due(partition, moment_us, FIRE_MAX)
        if entries:
            self.parts.metrics.add(TIMERS_FIRED, partition, amount=len(entries))
            try:
                await self._fire_together(entries, moment_us)
            except VersionConflict:
                log.exception("an event exists already; firing one by one")
                for entry in entries:
                    await self._fire_alone(entry, moment_us)
        self._next_due = await self.parts.index.next_due(partition)

    async def _fire_together(self, entries: Sequence[OpenEntry], moment_us: int) -> None:
        batch = self._batch(await self.cells.load({entry.aggregate_id: None for entry in entries}))
        for entry in entries:
            batch.fire(entry, moment_us)
        await self._commit(batch)

    async def _fire_alone(self, entry: OpenEntry, moment_us: int) -> None:
        try:
            await self._fire_together((entry,), moment_us)
        except VersionConflict:
            log.exception("a timer is put off", extra={"aggregate": entry.aggregate_id})
            batch = self._batch({})
            batch.opened[entry.aggregate_id] = moment_us + FROZEN_LOOK_US
            await self._commit(batch)

    # --- commits ----------------------------------------------------------------------------

    def _batch(self, cells: dict[str, Any]) -> Batch:
        return Batch(
            self.domain,
            self.row,
            cells,
            self._library,
            self.parts.run_partitions,
            self.parts.metrics,
        )

    async def _commit(self, batch: Batch) -> None:
        if not batch.worth_committing:
            await self.dispatch.submit(batch.effects, batch.n)
            return
        started = self.parts.clock.now_us()
        try:
            positions = await self.parts.ledger.commit(batch.commit())
        except BaseException:
            self.cells.drop()
            raise
        seconds = (self.parts.clock.now_us() - started) / MICROSECONDS
        metrics, partition = self.parts.metrics, self.row.partition
        metrics.observe(COMMIT_SECONDS, seconds, partition)
        metrics.observe(COMMIT_EVENTS, len(batch.records), partition)
        metrics.add(COMMITTED, partition, amount=len(batch.records))
        metrics.set(EVENT_NUMBER, batch.n, partition)
        first = batch.n - len(batch.records) + 1
        self.relay.offer(
            [
                StoredRecord(
                    record.aggregate_id, record.version, record.topic, record.state,
                    partition, first + index, position,
                )
                for index, (record, position) in enumerate(
                    zip(batch.records, positions, strict=True)
                )
            ]
        )  # fmt: skip
        batch.tell()
        self.row = batch.row_after()
        self._library = batch.library
        self.cells.keep(batch.cells)
        if batch.opened:
            earliest = min(batch.opened.values())
            if self._next_due is None or earliest < self._next_due:
                self._next_due = earliest
        await self.dispatch.submit(batch.effects, batch.n)
