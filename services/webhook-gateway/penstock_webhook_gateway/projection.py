"""The gateway's read model: event n = seen + 1 of each partition, in batches, exactly once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock_contracts.agent.v1 import AgentRegistered
from penstock_contracts.envelope import Envelope
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import kind_of, read_event
from penstock_contracts.subjects import GATEWAY_PARTITION, ROOT, Stream
from penstock_contracts.values import MICROSECONDS, Wire
from penstock_contracts.workflow.v1 import WorkflowApplied
from penstock_core.decision import BrokenInvariant
from penstock_runtime.cancelling import apart
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.host import (
    LEASE_S,
    LEAVE_S,
    OTHERS_LEASE_S,
    RENEW_S,
    RENEWAL_PATIENCE_S,
)
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Inbox, Received, Source
from penstock_runtime.ports.ledger import PartitionRow, Witness
from penstock_runtime.ports.projection import FollowedStore, ProjectionCommit, ViewReader
from penstock_runtime.telemetry.metrics import PROJECTED_NUMBER, PROJECTION_LAG, Metrics
from penstock_webhook_gateway.answers import put_answer
from penstock_webhook_gateway.approval_views import apply_approval
from penstock_webhook_gateway.catalog_views import apply_catalog, apply_parking
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.following import Follower, OnApplied, Wants, everything
from penstock_webhook_gateway.reading import event_in, is_marker
from penstock_webhook_gateway.run_views import NotYet, RunViews
from penstock_webhook_gateway.waiting import may_be_repeated

log = logging.getLogger(__name__)

SOURCES = (Source(Stream.EVENTS.value, f"{ROOT}.>"),)
BATCH_MAX = 1_000
LOOK_S = 10.0
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 1.0  # a server that has come back is found at once
LATE_US = 60 * MICROSECONDS  # a marker beyond what was applied for so long is an alert
_AWAITED = (AgentRegistered, WorkflowApplied)  # what runs refer to
_CATALOG_KINDS = frozenset({"agent", "workflow", "token", "trigger", "executor"})


@dataclass(slots=True)
class _Late:
    """A marker that says more than was applied."""

    last: int
    since_us: int


class Projection:
    """Applies EVENTS to the read model, or stands by while another gateway does.

    Attributes:
        keeping: whether the read model is kept here.
        fault: why it is not ready.
    """

    def __init__(
        self,
        instance: str,
        store: FollowedStore,
        reader: ViewReader,
        inbox: Callable[[], Inbox],
        clock: Clock,
        metrics: Metrics,
        on_applied: OnApplied,
        wants: Wants = everything,
    ) -> None:
        """Call `on_applied` with events once the rows contain them, whoever wrote these.

        Of what another gateway applies only the events are given that somebody `wants`.
        """
        self._instance = instance
        self._store = store
        self._reader = reader
        self._make_inbox = inbox
        self._clock = clock
        self._metrics = metrics
        self._on_applied = on_applied
        self._follower = Follower(store, inbox, on_applied, wants)
        self._runs = RunViews()
        self._seen: dict[str, int] = {}
        self._held: set[str] = set()  # partitions with a run whose definition is not here yet
        self._late: dict[str, _Late] = {}
        self._caught_up = False
        self.keeping = False
        self.fault = "not started"

    @property
    def ready(self) -> bool:
        """Whether the rows are up to date, as far as can be seen here."""
        return self._caught_up or self._follower.attached

    @property
    def seen(self) -> Mapping[str, int]:
        """Event partition -> n of the last event applied."""
        return self._seen

    async def run(self) -> None:
        """Apply or stand by until cancelled; every fault is followed by another try."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await apart(self._stint())
            except* (TransientFault, Fenced, _Moved) as faults:
                self.fault = str(_first(faults))
                log.warning("the projection has to begin again", extra={"reason": self.fault})
            if self._caught_up:
                wait_s = RETRY_FIRST_S
            self._caught_up = self.keeping = False
            self._runs.forget()
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _stint(self) -> None:
        """Wait for a turn, and keep the read model as long as it lasts."""
        await self._epoch(await self._turn())

    async def _turn(self) -> PartitionRow:
        """Wait until nobody else keeps the read model, and answer by it meanwhile."""
        row = await self._acquired()
        if row is not None:
            return row
        log.info("another gateway keeps the read model")
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follower.run())
            while row is None:
                self._seen = dict(await self._store.seen())
                await self._clock.sleep(OTHERS_LEASE_S)
                row = await self._acquired()
            following.cancel()
        return row

    async def _acquired(self) -> PartitionRow | None:
        return await self._store.acquire(GATEWAY_PARTITION, self._instance, LEASE_S)

    async def _epoch(self, row: PartitionRow) -> None:
        self.keeping = True
        inbox = self._make_inbox()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_lease(row.epoch))
                tasks.create_task(self._keep(row, inbox))
        finally:
            # The lease first: others wait for it, and nobody for the inbox.
            for end in (lambda: self._store.release(GATEWAY_PARTITION, row.epoch), inbox.close):
                await _quietly(end())

    async def _keep(self, row: PartitionRow, inbox: Inbox) -> None:
        self._seen = dict(await self._store.seen())
        self._follower.tell(self._seen)
        self._held.clear()
        attachment = await inbox.attach(row.positions)
        if attachment.lost:
            log.error("events have aged out before they were read", extra={"stream": "EVENTS"})
        if attachment.positions != row.positions:
            row = await self._commit(row, attachment.positions, {}, Changes(self._reader))
        self.fault = ""
        log.info("the read model is kept here", extra={"epoch": row.epoch})
        await self._follow(row, inbox, attachment.ends)

    async def _keep_lease(self, epoch: int) -> None:
        renewed_us = self._clock.now_us()
        while True:
            await self._clock.sleep(RENEW_S)
            try:
                held = await self._store.renew(GATEWAY_PARTITION, epoch, LEASE_S)
            except TransientFault:
                if self._clock.now_us() - renewed_us > RENEWAL_PATIENCE_S * MICROSECONDS:
                    raise
                continue
            if not held:
                raise Fenced("another gateway keeps the read model")
            renewed_us = self._clock.now_us()

    async def _follow(self, row: PartitionRow, inbox: Inbox, ends: Mapping[str, int]) -> None:
        while True:
            messages = await inbox.take(BATCH_MAX, LOOK_S if self._caught_up else 0.05)
            if await inbox.verify(row.positions):
                raise _Moved("EVENTS is another incarnation")
            if messages:
                row = await self._apply(row, messages)
                # A busy stream is never seen empty: its end at the start is what counts.
                last = messages[-1]
                self._caught_up = self._caught_up or last.sequence >= ends.get(last.stream, 0)
            elif not self._caught_up:
                self._caught_up = await inbox.confirm_empty()
            self._watch()

    async def _apply(self, row: PartitionRow, messages: Sequence[Received]) -> PartitionRow:
        changes, seen = Changes(self._reader), dict(self._seen)
        events, markers = _apart(messages)
        events = [event for event in events if event.n > seen.get(event.partition, 0)]
        await self._runs.read_ahead(self._reader, changes, events)
        applied: list[tuple[ReadEvent, Wire]] = []
        for event in events:
            if event.n != seen.get(event.partition, 0) + 1:
                continue
            try:
                body = await self._apply_one(changes, event)
            except NotYet as reason:
                self._hold(event, reason)
                continue
            seen[event.partition] = event.n
            if body is not None:
                applied.append((event, body))
        for marker in markers:
            self._note_marker(marker, seen)
        self._runs.flush(changes)
        row = await self._commit(row, self._positions_after(row, messages[-1]), seen, changes)
        self._on_applied(applied)
        if self._held and any(isinstance(body, _AWAITED) for _, body in applied):
            raise _Moved("what a run waited for has come; reading it again")
        return row

    def _hold(self, event: ReadEvent, reason: NotYet) -> None:
        """Leave a run's event for later: its definition stands further on in the stream.

        Until then the position stays in front of it, and everything else goes on.
        """
        if event.partition not in self._held:
            self._held.add(event.partition)
            log.warning("a run precedes its definition", extra={"reason": str(reason)})

    def _positions_after(self, row: PartitionRow, last: Received) -> Mapping[str, Witness]:
        if self._held:
            return row.positions
        before = row.positions[last.stream]
        return {last.stream: Witness(before.created_us, last.sequence, last.time_us)}

    async def _apply_one(self, changes: Changes, event: ReadEvent) -> Wire | None:
        """Apply one event; what cannot be applied is left out of the view, loudly."""
        try:
            body = read_event(event.topic, event.data)
            kind = kind_of(event.topic)
            if kind == "run":
                await self._runs.apply(changes, event, body)
            elif kind == "approval":
                await apply_approval(changes, event, body)
            elif kind in _CATALOG_KINDS:
                await apply_catalog(changes, event, body)
            elif kind == "partition":
                await apply_parking(changes, event, body)
                if await self._runs.knows(changes, event):
                    await self._runs.apply(changes, event, body)
            if may_be_repeated(event):
                await put_answer(changes, event)
        except (BrokenInvariant, ValueError, KeyError, TypeError):  # one event, not the fleet
            log.exception(
                "an event cannot be shown", extra={"event": f"{event.partition}/{event.n}"}
            )
            return None
        return body

    async def _commit(
        self,
        row: PartitionRow,
        positions: Mapping[str, Witness],
        seen: dict[str, int],
        changes: Changes,
    ) -> PartitionRow:
        await self._store.commit(
            ProjectionCommit(
                partition=row.partition,
                epoch=row.epoch,
                commit_number=row.commit_number,
                positions=positions,
                seen=seen,
                upserts=changes.upserts,
                deletes=changes.deletes,
            )
        )
        self._seen.update(seen)
        self._follower.begin_behind(positions)
        for partition, n in seen.items():
            self._metrics.set(PROJECTED_NUMBER, n, partition)
        return PartitionRow(
            row.partition, row.owner, row.epoch, row.commit_number + 1, row.n, row.chain_head,
            positions,
        )  # fmt: skip

    def _note_marker(self, message: Received, seen: Mapping[str, int]) -> None:
        try:
            marker = Marker.model_validate(Envelope.decode(message.payload).data)
        except ValueError:
            log.exception("not a marker", extra={"sequence": message.sequence})
            return
        if marker.last > seen.get(marker.partition, 0):
            self._late.setdefault(marker.partition, _Late(marker.last, message.time_us))

    def _watch(self) -> None:
        """Tell of partitions whose markers are ahead of what was applied for too long."""
        for partition, late in list(self._late.items()):
            if self._seen.get(partition, 0) >= late.last:
                del self._late[partition]
                self._metrics.set(PROJECTION_LAG, 0, partition)
                continue
            age_us = self._clock.now_us() - late.since_us
            self._metrics.set(PROJECTION_LAG, age_us / MICROSECONDS, partition)
            if age_us > LATE_US:
                log.error("events are missing in EVENTS", extra={"partition": partition})


class _Moved(Exception):
    """The stream is no longer the one our position is in."""


async def _quietly(ending: Awaitable[None]) -> None:
    """End something as far as that is possible."""
    try:
        async with asyncio.timeout(LEAVE_S):
            await ending
    except (TransientFault, TimeoutError):
        log.info("the lease runs out by itself")


def _apart(messages: Sequence[Received]) -> tuple[list[ReadEvent], list[Received]]:
    """Give the events among messages, and the markers."""
    events, markers = list[ReadEvent](), list[Received]()
    for message in messages:
        if is_marker(message):
            markers.append(message)
        elif (event := event_in(message)) is not None:
            events.append(event)
    return events, markers


def _first(fault: BaseException) -> BaseException:
    """Give the first fault inside a group, however deep."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
