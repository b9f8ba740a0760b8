"""One batch: from messages and due times to one commit, its effects and its new states."""

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.ids import parked_id, refused_id
from penstock_contracts.partition.v1 import CommandRejected, MessageParked, RedriveMessages
from penstock_contracts.records import EventMeta, NewRecord, chain_hash, encode_state
from penstock_contracts.registry import type_of
from penstock_contracts.values import MICROSECONDS, SYSTEM_TENANT, Wire
from penstock_core.catalog.library import Library
from penstock_core.decider import next_due
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.effects import Effect, reask_after
from penstock_core.parking import ParkedState, parking_effects, redrive
from penstock_runtime.cells import UNKNOWN, Cell, Cells
from penstock_runtime.domain import Addressed, Aggregate, Domain, Labels
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.ledger import Commit, OpenEntry, PartitionRow, Witness
from penstock_runtime.telemetry.metrics import PARKED, REJECTED, Metrics
from penstock_runtime.telemetry.tally import COUNTED, tally

log = logging.getLogger(__name__)
HEADERS_MAX_CHARS = 16_384  # of a parked message; beyond, it is kept without them
FROZEN_LOOK_US = 60 * MICROSECONDS  # a frozen aggregate's timers wait; look again after this long


@dataclass(slots=True)
class Batch:
    """Grows message by message; nothing outside sees it before it is committed.

    Attributes:
        row: the partition's row as it was read.
        cells: states the batch touches; later messages see what earlier ones made of them.
        positions: witnesses after the messages handled so far.
    """

    domain: Domain[Any]
    row: PartitionRow
    cells: dict[str, Cell]
    library: Library
    run_partitions: int
    metrics: Metrics
    n: int = 0
    chain: bytes = b""
    records: list[NewRecord] = field(default_factory=list[NewRecord])
    effects: list[Effect] = field(default_factory=list[Effect])
    positions: dict[str, Witness] = field(default_factory=dict[str, Witness])
    opened: dict[str, int] = field(default_factory=dict[str, int])
    closed: set[str] = field(default_factory=set[str])
    counted: list[tuple[Wire, object, int]] = field(default_factory=list[tuple[Wire, object, int]])

    def __post_init__(self) -> None:
        """Start where the row stands."""
        self.n, self.chain = self.row.n, self.row.chain_head
        self.positions = dict(self.row.positions)

    # --- messages ---------------------------------------------------------------------------

    def handle(self, message: Received, addressed: Addressed) -> None:
        """Decide on one understood message; the position moves on whatever comes of it."""
        self._move(message)
        cell = self.cells[addressed.aggregate_id]
        if cell.broken:
            self._park_apart(message, Code.INVARIANT_BROKEN, cell.broken)
            return
        context = self._context(message, addressed)
        redriving = isinstance(addressed.command, RedriveMessages)
        if cell.state.frozen and not redriving and not isinstance(cell.state, ParkedState):
            self._park_here(message, addressed, cell, Code.FROZEN, "earlier messages are parked")
            return
        try:
            outcome = (
                redrive(cell.state.frozen, cell.state.rejected, context)
                if redriving
                else cell.decider.decide(cell.state, addressed.command, context)
            )
            self._settle(outcome, addressed, cell, context)
        except (
            Exception
        ) as error:  # deciders are pure: whatever they raise is a defect, not a fault
            log.exception("broken invariant", extra={"aggregate": addressed.aggregate_id})
            self.park(message, addressed, Code.INVARIANT_BROKEN, f"{type(error).__name__}: {error}")

    def park(self, message: Received, addressed: Addressed | None, code: Code, detail: str) -> None:
        """Keep a message that cannot be processed; its aggregate, if it has one, freezes."""
        self._move(message)
        cell = self.cells.get(addressed.aggregate_id) if addressed is not None else None
        if addressed is None or cell is None or cell.broken or cell.state.version == 0:
            self._park_apart(message, code, detail)
        else:
            self._park_here(message, addressed, cell, code, detail)

    def skip(self, message: Received) -> None:
        """Consume a message that is worth no event."""
        self._move(message)

    def _move(self, message: Received) -> None:
        before = self.positions[message.stream]
        self.positions[message.stream] = Witness(
            before.created_us, message.sequence, message.time_us
        )

    def _context(self, message: Received, addressed: Addressed) -> Context:
        return Context(
            now_us=message.time_us,
            command_id=addressed.command_id,
            actor=addressed.actor,
            tenant=addressed.tenant,
            traceparent=addressed.traceparent,
            library=self.library,
            run_partitions=self.run_partitions,
        )

    def _settle(self, outcome: Outcome, addressed: Addressed, cell: Cell, context: Context) -> None:
        match outcome:
            case Decision():
                made = cast("Sequence[Aggregate]", outcome.states)
                self._append(addressed.aggregate_id, cell, outcome.events, context, made)
                self.effects.extend(outcome.replies)
            case Stale():
                self.metrics.add(REJECTED, self.row.partition, outcome.code)
                self.effects.extend(outcome.replies)
            case Rejection():
                self.metrics.add(REJECTED, self.row.partition, outcome.code)
                self._refuse(outcome, addressed, cell, context)

    def _refuse(
        self, rejection: Rejection, addressed: Addressed, cell: Cell, context: Context
    ) -> None:
        event = self.domain.refusal(addressed.command, addressed.command_id, rejection)
        if event is None:
            return
        if told_here(self.domain, cell.state, context.tenant):
            self._append(addressed.aggregate_id, cell, (event,), context)
            return
        apart = refused_id(self.row.partition, addressed.command_id)
        if apart not in self.cells or self.cells[apart].state.version == 0:
            self.cells[apart] = Cells.parked(apart)
            told = CommandRejected(
                command_id=addressed.command_id,
                command=type_of(addressed.command),
                target=addressed.aggregate_id,
                code=rejection.code,
                detail=rejection.detail[:4096],
                problems=rejection.problems,
            )
            self._append(apart, self.cells[apart], (told,), context)

    # --- parking ----------------------------------------------------------------------------

    def _parked(
        self, message: Received, code: Code, detail: str, aggregate: str | None
    ) -> MessageParked:
        self.metrics.add(PARKED, self.row.partition, code)
        return MessageParked(
            stream=message.stream,
            sequence=message.sequence,
            subject=message.subject,
            code=code,
            detail=detail[:4096],
            aggregate=aggregate,
            raw=base64.b64encode(message.payload[:MAX_INLINE_BYTES]).decode(),
            size_bytes=len(message.payload),
            headers=_bounded(message.headers),
        )

    def _park_here(
        self, message: Received, addressed: Addressed, cell: Cell, code: Code, detail: str
    ) -> None:
        event = self._parked(message, code, detail, addressed.aggregate_id)
        self._append(addressed.aggregate_id, cell, (event,), self._context(message, addressed))

    def _park_apart(self, message: Received, code: Code, detail: str) -> None:
        apart = apart_of(self.row.partition, message)
        if apart in self.cells and self.cells[apart].state.version:
            return  # its stream was lost and is read again: it is kept already
        self.cells[apart] = Cells.parked(apart)
        event = self._parked(message, code, detail, None)
        context = Context(now_us=message.time_us, tenant=_tenant_of(message.subject))
        self._append(apart, self.cells[apart], (event,), context)

    # --- time -------------------------------------------------------------------------------

    def fire(self, entry: OpenEntry, moment_us: int) -> None:
        """Act on every due time of an open aggregate up to `moment_us`, and re-ask."""
        cell = self.cells[entry.aggregate_id]
        if cell.broken:
            self.closed.add(entry.aggregate_id)
            return
        cell.bound = entry.due_us
        try:
            self._fire_timers(entry.aggregate_id, cell, moment_us)
            following = self._ask_again(entry, cell, moment_us)
        except Exception as error:  # as for messages: a defect freezes its run, never the partition
            log.exception("broken invariant", extra={"aggregate": entry.aggregate_id})
            if not cell.state.frozen:
                self._park_timer(entry.aggregate_id, cell, moment_us, error)
            following = moment_us
        if following is not None and cell.state.frozen:
            following = max(following, moment_us + FROZEN_LOOK_US)
        self._index(entry.aggregate_id, cell, following)

    def _fire_timers(self, aggregate_id: str, cell: Cell, moment_us: int) -> None:
        due = cell.decider.own_due(cell.state)
        while due is not None and due <= moment_us and not cell.state.frozen:
            context = Context(now_us=due, command_id=f"timer/{due}", actor=self._actor())
            outcome = cell.decider.decide(cell.state, self.domain.timer, context)
            if not isinstance(outcome, Decision) or not outcome.events:
                raise BrokenInvariant(f"{aggregate_id} is due at {due} and does nothing")
            self._append(aggregate_id, cell, outcome.events, context)
            due = cell.decider.own_due(cell.state)

    def _ask_again(self, entry: OpenEntry, cell: Cell, moment_us: int) -> int | None:
        """Publish again what is due for it; give the next time that needs attention."""
        following = next_due(cell.decider, cell.state, moment_us)
        for item in cell.decider.outstanding(cell.state):
            if reask_after(item.asked_us, entry.due_us - 1) <= moment_us:
                self.effects.append(item.effect)
        return following

    def _park_timer(self, aggregate_id: str, cell: Cell, moment_us: int, error: Exception) -> None:
        """Freeze an aggregate whose own timer breaks; redriving it lets the timer fire again."""
        context = Context(now_us=moment_us, command_id=f"timer/{moment_us}", actor=self._actor())
        tenant = self._labels(cell.state, cell, context).tenant
        detail = f"{type(error).__name__}: {error}"
        timer = Received(min(self.positions), f"timer.{tenant}.{aggregate_id}", 0, moment_us, b"")
        event = self._parked(timer, Code.INVARIANT_BROKEN, detail, aggregate_id)
        self._append(aggregate_id, cell, (event,), context)

    def _actor(self) -> str:
        return f"service:{self.domain.service}"

    # --- events -----------------------------------------------------------------------------

    def _append(
        self,
        aggregate_id: str,
        cell: Cell,
        events: Sequence[Wire],
        context: Context,
        made: Sequence[Aggregate] = (),
    ) -> None:
        """Apply and record events; whatever a decider raises here leaves no trace.

        `made`: the states after each event, if the decision came with them.
        """
        states = [cell.state]
        effects: list[Effect] = []
        dues: list[int] = []
        library = self.library
        for place, event in enumerate(events):
            before = states[-1]
            after = made[place] if made else cell.decider.evolve(before, event)
            states.append(after)
            effects.extend(parking_effects(before.frozen, event))
            effects.extend(cell.decider.effects(before, event, after))
            library = self.domain.fold_library(library, event)
            due = cell.decider.due_of(event)
            if due is not None:
                dues.append(due)
        is_open = cell.decider.is_open(states[-1])
        for event, after in zip(events, states[1:], strict=True):
            self._record(aggregate_id, cell, event, after, context)
            if type(event) in COUNTED:
                self.counted.append((event, after, context.now_us))
        self.effects.extend(effects)
        self.library = library
        cell.state = states[-1]
        self._reindex(aggregate_id, cell, is_open=is_open, dues=dues, now_us=context.now_us)

    def _record(
        self, aggregate_id: str, cell: Cell, event: Wire, after: Aggregate, context: Context
    ) -> None:
        labels = self._labels(after, cell, context)
        meta = EventMeta(
            time_us=context.now_us,
            tenant=labels.tenant,
            causation_id=context.command_id,
            correlation_id="" if labels.correlation_id == aggregate_id else labels.correlation_id,
            actor=context.actor,
            traceparent=context.traceparent or labels.traceparent,
        )
        topic = type_of(event)
        state = encode_state(meta, self.chain, event.to_data())
        self.n += 1
        self.chain = chain_hash(self.chain, aggregate_id, after.version, topic, state)
        self.records.append(NewRecord(aggregate_id, after.version, topic, state))

    def _labels(self, after: Aggregate, cell: Cell, context: Context) -> Labels:
        if isinstance(after, ParkedState):
            return Labels(tenant=context.tenant, traceparent=context.traceparent)
        return self.domain.labels(after)

    def _reindex(
        self, aggregate_id: str, cell: Cell, *, is_open: bool, dues: list[int], now_us: int
    ) -> None:
        """Keep the index a lower bound of the next due time."""
        if not is_open:
            self._index(aggregate_id, cell, None)
        elif dues:
            due = min(dues)
            if cell.bound == UNKNOWN:  # what the index holds may be earlier: look again at once
                due = min(due, now_us)
            elif cell.bound is not None and cell.bound <= due:
                return
            self._index(aggregate_id, cell, due)

    def _index(self, aggregate_id: str, cell: Cell, due_us: int | None) -> None:
        if due_us is not None:
            self.opened[aggregate_id] = due_us
            self.closed.discard(aggregate_id)
        elif cell.bound is not None or aggregate_id in self.opened:
            self.opened.pop(aggregate_id, None)
            self.closed.add(aggregate_id)
        cell.bound = due_us

    # --- the commit -------------------------------------------------------------------------

    @property
    def worth_committing(self) -> bool:
        """Whether anything has changed: an event, a position, the index."""
        return bool(
            self.records or self.opened or self.closed or self.positions != self.row.positions
        )

    def commit(self) -> Commit:
        """Give what one transaction has to write."""
        return Commit(
            partition=self.row.partition,
            epoch=self.row.epoch,
            commit_number=self.row.commit_number,
            n=self.n,
            chain_head=self.chain,
            events=self.records,
            positions=self.positions,
            opened=self.opened,
            closed=sorted(self.closed),
        )

    def tell(self) -> None:
        """Measure what was done, once it is committed."""
        for event, after, now_us in self.counted:
            tally(self.metrics, event, after, now_us)

    def row_after(self) -> PartitionRow:
        """Give the row as it stands once the commit has landed."""
        return PartitionRow(
            partition=self.row.partition,
            owner=self.row.owner,
            epoch=self.row.epoch,
            commit_number=self.row.commit_number + 1,
            n=self.n,
            chain_head=self.chain,
            positions=self.positions,
        )


def apart_of(partition: str, message: Received) -> str:
    """Give the aggregate that keeps a message which belongs to no other."""
    return parked_id(partition, message.stream, message.sequence, message.time_us)


def told_here(domain: Domain[Any], state: Aggregate, tenant: str) -> bool:
    """Tell whether the refusal of a command is an event of the aggregate that it was for.

    Not if that has no event yet, or belongs to another tenant, who is not to learn of it.
    """
    if state.version == 0 or isinstance(state, ParkedState):
        return False
    return domain.labels(state).tenant == tenant


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """Keep headers only while they are small: an event must fit the bus."""
    size = sum(len(name) + len(value) for name, value in headers.items())
    return dict(headers) if size <= HEADERS_MAX_CHARS else {}


def _tenant_of(subject: str) -> str:
    tokens = subject.split(".")
    return tokens[1] if len(tokens) > 1 else SYSTEM_TENANT
