"""EVENTS compared with the stores: what it holds that they do not."""

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from penstock_contracts.approval.v1 import (
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalRequested,
)
from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import ReadEvent, published_form, read_published
from penstock_contracts.registry import read_event
from penstock_contracts.run.v1 import (
    RunCancelled,
    RunFailed,
    RunStarted,
    RunSucceeded,
    TaskStarted,
)
from penstock_contracts.subjects import parse
from penstock_runtime.ports.inbox import Inbox, Received, Source
from penstock_runtime.ports.ledger import EventReader, PartitionRow, Witness
from penstock_runtime.relay import head_at

BATCH = 1_000  # messages taken at once
PATIENCE_S = 0.2
MARKERS_KEPT = 10_000  # of a partition, the newest: far more than a store falls behind
COMPARED = 1_000  # stored events read at once
LISTED_MAX = 10_000  # ids of one kind in a finding; all are counted

Told = Callable[[str, int, int], None]
"""Hears of progress: what is done, how far it is, of how much (0: nobody knows)."""
Standing = Sequence[tuple[str, EventReader, PartitionRow]]
"""Every partition of every store: the store's name, its events, the row."""


def quietly(what: str, done: int, of: int) -> None:
    """Tell nobody of progress."""


@dataclass(frozen=True, slots=True)
class LostClaim:
    """A `once` attempt whose claim was granted in what was lost: its effect may have happened."""

    run_id: str
    node: str
    attempt: int
    executor: str


@dataclass(slots=True)
class Lost:
    """What EVENTS holds of a partition that the store does not.

    Attributes:
        events: how many events.
        runs_started: ids of runs that began there.
        runs_ended: ids of runs that ended there.
        approvals: ids of approvals that were asked for or decided there.
        claims: of `once` attempts.
    """

    events: int = 0
    runs_started: list[str] = field(default_factory=list[str])
    runs_ended: list[str] = field(default_factory=list[str])
    approvals: list[str] = field(default_factory=list[str])
    claims: list[LostClaim] = field(default_factory=list[LostClaim])


@dataclass(slots=True)
class Finding:
    """One partition, as its store and EVENTS have it.

    Attributes:
        store: name of the store; '': no store knows the partition.
        store_n: n of the store's last event.
        events_n: n of the last event that EVENTS tells of; 0: of none.
        epoch: highest that EVENTS tells of.
        agrees_to: n of the newest marker that the store agrees with.
        contradicts: EVENTS holds, of a number, another event than the store.
    """

    partition: str
    store: str = ""
    store_n: int = 0
    events_n: int = 0
    epoch: int = 0
    agrees_to: int = 0
    contradicts: bool = False
    lost: Lost = field(default_factory=Lost)

    @property
    def ahead(self) -> bool:
        """Whether the store has lost events, as far as EVENTS tells."""
        return self.contradicts or self.events_n > self.store_n


@dataclass(frozen=True, slots=True)
class ReadStream:
    """EVENTS as it was read.

    Attributes:
        events: how many of its messages are events.
        newest_us: server time of its last message; 0: it is empty.
    """

    findings: Sequence[Finding]
    events: int
    newest_us: int


@dataclass(slots=True)
class _Looked:
    """What the first reading finds."""

    created_us: int = 0
    events: int = 0
    newest_us: int = 0
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    markers: defaultdict[str, deque[tuple[Marker, Received]]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=MARKERS_KEPT))
    )


async def read_events(
    events: Callable[[], Inbox], source: Source, standing: Standing, told: Told
) -> ReadStream:
    """Read EVENTS: once for its markers, and what lies behind the last common one again.

    Raises:
        TransientFault: a server does not answer.
    """
    looked = _Looked()
    for store, _, row in standing:
        looked.findings[row.partition] = Finding(row.partition, store, row.n)
    async for message, end in _read(events(), source, {}, looked):
        _look(looked, message)
        if looked.events % BATCH == 0:
            told("reading EVENTS", message.sequence, end)
    start: Received | None = None
    whole = False
    for _, reader, row in standing:
        common = await _last_common(reader, row, looked)
        finding = looked.findings[row.partition]
        if not finding.ahead:
            continue
        whole = whole or common is None
        if common is not None and (start is None or common.sequence < start.sequence):
            start = common
    if any(finding.ahead for finding in looked.findings.values()):
        unknown = any(f.ahead and not f.store for f in looked.findings.values())
        begin = None if whole or unknown else start
        await _list_lost(events(), source, begin, looked, standing)
    found = sorted(looked.findings.values(), key=lambda finding: finding.partition)
    return ReadStream(found, looked.events, looked.newest_us)


async def _read(
    inbox: Inbox, source: Source, positions: Mapping[str, Witness], looked: _Looked
) -> AsyncGenerator[tuple[Received, int]]:
    """Give the messages of a stream to its present end, each with the sequence of the last."""
    try:
        attachment = await inbox.attach(positions)
        looked.created_us = attachment.positions[source.stream].created_us
        end = attachment.ends[source.stream]
        while True:
            messages = await inbox.take(BATCH, PATIENCE_S)
            for message in messages:
                yield message, end
            if not messages and await inbox.confirm_empty():
                return
    finally:
        await inbox.close()


def _look(looked: _Looked, message: Received) -> None:
    looked.newest_us = max(looked.newest_us, message.time_us)
    try:
        if parse(message.subject).kind == "relay":
            marker = Marker.model_validate(Envelope.decode(message.payload).data)
            finding = _finding(looked, marker.partition)
            finding.epoch = max(finding.epoch, marker.epoch)
            finding.events_n = max(finding.events_n, marker.last)
            looked.markers[marker.partition].append((marker, message))
            return
        event = read_published(message.payload)
    except (MalformedMessage, ValidationError, ValueError):
        return  # nothing of ours
    looked.events += 1
    finding = _finding(looked, event.partition)
    finding.events_n = max(finding.events_n, event.n)


def _finding(looked: _Looked, partition: str) -> Finding:
    return looked.findings.setdefault(partition, Finding(partition))


async def _last_common(reader: EventReader, row: PartitionRow, looked: _Looked) -> Received | None:
    """Give the newest marker that the store agrees with; notes whether a newer one contradicts."""
    for marker, message in reversed(looked.markers[row.partition]):
        if marker.last > row.n:
            continue
        head = await head_at(reader, row.partition, marker.last)
        if head.hex() == marker.chain_head:
            looked.findings[row.partition].agrees_to = marker.last
            return message
        looked.findings[row.partition].contradicts = True
    return None


async def _list_lost(
    inbox: Inbox, source: Source, start: Received | None, looked: _Looked, standing: Standing
) -> None:
    positions: dict[str, Witness] = {}
    if start is not None:
        positions[source.stream] = Witness(looked.created_us, start.sequence, start.time_us)
    readers = {row.partition: _Stored(reader, row) for _, reader, row in standing}
    listed: set[tuple[str, int]] = set()
    async for message, _ in _read(inbox, source, positions, looked):
        try:
            event = read_published(message.payload)
        except MalformedMessage:
            continue
        finding = looked.findings.get(event.partition)
        key = (event.partition, event.n)
        if finding is None or not finding.ahead or key in listed:
            continue
        stored = readers.get(event.partition)
        if stored is not None and await stored.holds(event.n, message.payload):
            continue
        listed.add(key)
        _note(finding.lost, event)


class _Stored:
    """Answers whether the store holds just what was published, reading a page at a time."""

    def __init__(self, reader: EventReader, row: PartitionRow) -> None:
        self._reader = reader
        self._row = row
        self._page: dict[int, bytes] = {}

    async def holds(self, n: int, payload: bytes) -> bool:
        if n > self._row.n:
            return False
        if n not in self._page:
            records = await self._reader.after(self._row.partition, n - 1, COMPARED)
            self._page = {record.n: published_form(record) for record in records}
        return self._page.get(n) == payload


def _note(lost: Lost, event: ReadEvent) -> None:
    lost.events += 1
    try:
        body = read_event(event.topic, event.data)
    except MalformedMessage:
        return
    match body:
        case RunStarted():
            _list(lost.runs_started, event.aggregate_id)
        case RunSucceeded() | RunFailed() | RunCancelled():
            _list(lost.runs_ended, event.aggregate_id)
        case ApprovalRequested() | ApprovalGranted() | ApprovalRejected() | ApprovalPushedBack():
            if event.aggregate_id not in lost.approvals[-COMPARED:]:
                _list(lost.approvals, event.aggregate_id)
        case TaskStarted(nonce=str()):
            if len(lost.claims) < LISTED_MAX:
                claim = LostClaim(event.aggregate_id, body.node, body.attempt, body.executor)
                lost.claims.append(claim)
        case _:
            pass


def _list(ids: list[str], one: str) -> None:
    if len(ids) < LISTED_MAX:
        ids.append(one)


def lost_of(findings: Iterable[Finding]) -> Lost:
    """Give what is lost of all partitions together."""
    together = Lost()
    for finding in findings:
        together.events += finding.lost.events
        together.runs_started += finding.lost.runs_started
        together.runs_ended += finding.lost.runs_ended
        together.approvals += finding.lost.approvals
        together.claims += finding.lost.claims
    return together
