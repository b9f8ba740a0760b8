"""The relay: committed events go to EVENTS in store order, in units fenced by markers."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import (
    StoredRecord,
    chain_hash,
    decode_state,
    genesis_hash,
    published_form,
)
from penstock_contracts.registry import kind_of, name_of
from penstock_contracts.subjects import event as event_subject
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.faults import Fenced, StoreRolledBack, TransientFault
from penstock_runtime.ports.bus import PlacedMarker, RelayLog
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.ledger import EventReader, PartitionRow
from penstock_runtime.telemetry.metrics import RELAY_OLDEST, RELAY_SECONDS, RELAYED_NUMBER, Metrics

log = logging.getLogger(__name__)

UNIT_MAX = 999  # events of one unit; with its marker an atomic batch's 1,000 messages
OFFERS_MAX = 10_000  # commits whose time is kept to tell how long their events wait
MEMORY_MAX = 20_000  # events kept in memory for the relay; beyond, it reads the store
LOOK_S = 10.0  # how often the last marker is read
IDLE_MARKER_S = 3_600.0
OPEN_TRIES = 5
RETRY_FIRST_S = 0.05
RETRY_CAP_S = 5.0
_TENANT = b'"tenant":'
_TENANT_WITHIN = 64  # bytes: the tenant, if written at all, follows the time


class Relay:
    """Relays one partition's events for one epoch of its owner."""

    def __init__(
        self, row: PartitionRow, log_: RelayLog, reader: EventReader, clock: Clock, metrics: Metrics
    ) -> None:
        """Serve the epoch of `row`."""
        self._partition = row.partition
        self._epoch = row.epoch
        self._log = log_
        self._reader = reader
        self._clock = clock
        self._metrics = metrics
        self._done = 0  # last n that a marker of ours proves
        self._head = genesis_hash(row.partition)  # chain head after it
        self._fence = 0  # sequence of the last message on the marker subject
        self._allowed = 0  # effects up to this n are out
        self._memory: deque[StoredRecord] = deque()
        self._offers: deque[tuple[int, int]] = deque()  # (last n, moment) of commits not relayed
        self._wake = asyncio.Event()
        self._released = asyncio.Event()

    @property
    def done(self) -> int:
        """Last n that has been relayed."""
        return self._done

    async def open(self, row: PartitionRow) -> int:
        """Find the relay position, prove it against the store, and put our marker behind it.

        Returns:
            n of the last relayed event; everything behind it is to be relayed again.

        Raises:
            StoreRolledBack: EVENTS is ahead of the store, or of another history.
            Fenced: a higher epoch has written, or committed.
            TransientFault: server or store do not answer.
        """
        for _ in range(OPEN_TRIES):
            placed = await self._resume()
            if placed is not None and placed.marker.last > row.n:
                raise Fenced(f"{self._partition}: another owner has gone on")
            self._allowed = self._done
            self._offers.clear()
            self._await_relay(row.n)
            try:
                await self._publish_unit(())
            except Fenced:  # the owner before us was still writing; look again
                continue
            return self._done
        raise TransientFault(f"{self._partition}: an earlier owner keeps relaying")

    async def _resume(self) -> PlacedMarker | None:
        # The fence first: of a stream that is lost between the two, what we write is refused. The
        # other way round the old marker would be repeated at the head of an empty stream. And all
        # of it or nothing: a new fence beside an old number would do the same.
        fence = await self._log.last_sequence(self._partition)
        placed = await self._log.last_marker(self._partition)
        if placed is None:
            self._fence, self._done, self._head = fence, 0, genesis_hash(self._partition)
            return None
        # The store's own history first: a store put back to an earlier state has an earlier epoch
        # as well, and would take itself for fenced.
        last = placed.marker.last
        head = await self._head_at(last)
        if not head:
            raise StoreRolledBack(
                f"{self._partition}: EVENTS holds event {last}, which the store does not"
            )
        if head.hex() != placed.marker.chain_head:
            raise StoreRolledBack(f"{self._partition}: event {last} in EVENTS is not the store's")
        if placed.marker.epoch > self._epoch:
            raise Fenced(f"{self._partition}: epoch {placed.marker.epoch} has relayed")
        self._fence, self._done, self._head = fence, last, head
        return placed

    async def _head_at(self, n: int) -> bytes:
        if n == 0:
            return genesis_hash(self._partition)
        records = await self._reader.after(self._partition, n - 1, 1)
        if not records:
            return b""
        record = records[0]
        previous = bytes.fromhex(decode_state(record.state)[1])
        return chain_hash(previous, record.aggregate_id, record.version, record.topic, record.state)

    def offer(self, records: Sequence[StoredRecord]) -> None:
        """Give events just committed, so that they need not be read again."""
        if records:
            self._await_relay(records[-1].n)
        if len(self._memory) + len(records) <= MEMORY_MAX:
            self._memory.extend(records)
        else:
            self._memory.clear()

    def _await_relay(self, last_n: int) -> None:
        # Beyond the bound the oldest are kept: it is their age that counts.
        if last_n > self._done and len(self._offers) < OFFERS_MAX:
            self._offers.append((last_n, self._clock.now_us()))
        self._tell_oldest()

    def _tell_oldest(self) -> None:
        while self._offers and self._offers[0][0] <= self._done:
            self._offers.popleft()
        oldest_us = self._offers[0][1] if self._offers else 0
        self._metrics.set(RELAY_OLDEST, oldest_us / 1e6, self._partition)

    def allow(self, last_n: int) -> None:
        """Say that the effects of all events up to `last_n` are out."""
        if last_n > self._allowed:
            self._allowed = last_n
            self._wake.set()

    def release(self) -> None:
        """Begin: what the owner before us may not have published is out.

        Before that nothing is relayed, or a marker would say of those effects that they are out.
        """
        self._released.set()

    async def run(self) -> None:
        """Relay until cancelled, once released.

        Raises:
            Fenced: another owner has relayed.
            StoreRolledBack: EVENTS and the store contradict each other.
        """
        await self._released.wait()
        last_marker_us = self._clock.now_us()
        while True:
            woken = await self._wait_for_work()
            published = await self._catch_up()
            idle_s = (self._clock.now_us() - last_marker_us) / 1e6
            if published:
                last_marker_us = self._clock.now_us()
            elif idle_s > IDLE_MARKER_S:
                await self._with_retry(())
                last_marker_us = self._clock.now_us()
            elif not woken:
                await self._look()

    async def _wait_for_work(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _catch_up(self) -> bool:
        published = False
        while self._done < self._allowed:
            unit = await self._next_unit()
            await self._with_retry(unit)
            published = True
        return published

    async def _next_unit(self) -> Sequence[StoredRecord]:
        while self._memory and self._memory[0].n <= self._done:
            self._memory.popleft()
        limit = min(UNIT_MAX, self._allowed - self._done)
        if self._memory and self._memory[0].n == self._done + 1:
            return [self._memory[index] for index in range(min(limit, len(self._memory)))]
        wait_s = RETRY_FIRST_S
        while True:
            try:
                records = await self._reader.after(self._partition, self._done, limit)
            except TransientFault:
                records = ()
            if records:
                return records
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _with_retry(self, unit: Sequence[StoredRecord]) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await self._publish_unit(unit)
                return
            except Fenced:
                await self._look(force=True)
                return
            except TransientFault as fault:
                log.warning("relay has to wait", extra={"reason": str(fault)})
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)
            if await self._look(force=True):
                return

    async def _look(self, *, force: bool = False) -> bool:
        """Read the last marker; resume at a smaller position if EVENTS was rolled back.

        Returns:
            Whether the position was read anew.
        """
        try:
            sequence = await self._log.last_sequence(self._partition)
            if sequence == self._fence and not force:
                return False
            expected, head = self._done, self._head
            await self._resume()
        except TransientFault:
            return False
        if self._done < expected:
            log.error("EVENTS was rolled back; relaying again", extra={"from": self._done})
        else:  # the smaller position counts, whatever a late relay wrote
            self._done, self._head = expected, head
        self._wake.set()
        return True

    async def _publish_unit(self, unit: Sequence[StoredRecord]) -> None:
        started = self._clock.now_us()
        head, last = self._head, self._done
        for record in unit:
            last = record.n
            head = chain_hash(head, record.aggregate_id, record.version, record.topic, record.state)
        messages = [(_subject(record), published_form(record)) for record in unit]

        def marker(last_event_sequence: int) -> Marker:
            return Marker(
                partition=self._partition,
                epoch=self._epoch,
                first=self._done + 1,
                last=last,
                chain_head=head.hex(),
                last_event_sequence=last_event_sequence,
                previous_marker_sequence=self._fence,
            )

        fence = await self._log.publish_unit(self._partition, messages, marker, self._fence)
        self._fence, self._done, self._head = fence, last, head
        self._metrics.set(RELAYED_NUMBER, last, self._partition)
        self._tell_oldest()
        self._metrics.observe(
            RELAY_SECONDS, (self._clock.now_us() - started) / 1e6, self._partition
        )


def _subject(record: StoredRecord) -> str:
    tenant = DEFAULT_TENANT
    if _TENANT in record.state[:_TENANT_WITHIN]:
        tenant = decode_state(record.state)[0].tenant
    return event_subject(tenant, kind_of(record.topic), record.aggregate_id, name_of(record.topic))
