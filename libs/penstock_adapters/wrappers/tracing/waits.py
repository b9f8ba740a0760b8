"""Spans of what lasts: a run, a wait for people. Both ends are events, so a restart loses none."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from penstock_adapters.wrappers.tracing.places import place_in
from penstock_contracts.approval import v1 as approval
from penstock_contracts.records import NewRecord, StoredRecord, decode_state
from penstock_contracts.registry import name_of
from penstock_contracts.run import v1 as run
from penstock_runtime.faults import TransientFault
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import AttributeValue, Span, Spans
from penstock_runtime.telemetry.trace import TraceContext, parse_traceparent

REMEMBERED_MAX: Final = 10_000  # beginnings; beyond, the oldest are read again when they end
_RUN_ENDS: Final = frozenset({run.RunSucceeded.TYPE, run.RunFailed.TYPE, run.RunCancelled.TYPE})
_APPROVAL_ENDS: Final = frozenset(
    {
        approval.ApprovalGranted.TYPE,
        approval.ApprovalRejected.TYPE,
        approval.ApprovalPushedBack.TYPE,
        approval.ApprovalExpired.TYPE,
        approval.ApprovalWithdrawn.TYPE,
    }
)
_FAULTY: Final = frozenset({run.RunFailed.TYPE})
_BEGINNINGS: Final = frozenset({run.RunStarted.TYPE, approval.ApprovalRequested.TYPE})
_ENDS: Final = _RUN_ENDS | _APPROVAL_ENDS
MARKS: Final = _BEGINNINGS | _ENDS


class _Reader(Protocol):
    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]: ...


@dataclass(frozen=True, slots=True)
class _Beginning:
    name: str
    parent: TraceContext
    at_us: int
    about: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])


class LongWaits:
    """Reports runs and waits for people once the event that ends them is committed."""

    def __init__(self, reader: _Reader, spans: Spans) -> None:
        """Read from `reader` what began before this process did."""
        self._reader = reader
        self._spans = spans
        self._begun: OrderedDict[str, _Beginning] = OrderedDict()

    async def see(self, record: NewRecord) -> None:
        """Take note of a committed event; only `MARKS` matter."""
        if record.topic in _BEGINNINGS:
            begun = _beginning(record.aggregate_id, record.topic, record.state)
            if begun is not None and self._spans.wants(begun.parent):
                self._begun[record.aggregate_id] = begun
                if len(self._begun) > REMEMBERED_MAX:
                    _ = self._begun.popitem(last=False)
        elif record.topic in _ENDS:
            begun = self._begun.pop(record.aggregate_id, None) or await self._find(record)
            if begun is not None:
                self._spans.report(_lasted(record, begun))

    async def _find(self, record: NewRecord) -> _Beginning | None:
        ends_at = place_in(record.state)
        if ends_at is None or not self._spans.wants(ends_at):
            return None
        try:
            history = await self._reader.load((record.aggregate_id,))
        except TransientFault:  # the event is committed; only its span is lost
            return None
        for stored in history.get(record.aggregate_id, ())[:1]:
            begun = _beginning(stored.aggregate_id, stored.topic, stored.state)
            if begun is not None and self._spans.wants(begun.parent):
                return begun
        return None


def _beginning(aggregate_id: str, topic: str, state: bytes) -> _Beginning | None:
    meta, _, data = decode_state(state)
    if topic == run.RunStarted.TYPE:
        parent = parse_traceparent(data.get("traceparent"))
        about: dict[str, AttributeValue] = {
            s.RUN_ID: aggregate_id,
            s.WORKFLOW: str(data["workflow"]),
            s.TENANT: meta.tenant,
        }
        name, at_us = "run", int(data["started_us"])
    elif topic == approval.ApprovalRequested.TYPE:
        parent = parse_traceparent(meta.traceparent)
        about = {
            s.RUN_ID: str(data["run_id"]),
            s.APPROVAL_ID: aggregate_id,
            s.NODE: str(data["node"]),
            s.ATTEMPT: int(data["attempt"]),
            s.TENANT: meta.tenant,
        }
        name, at_us = "approval wait", int(data["requested_us"])
    else:
        return None
    return None if parent is None else _Beginning(name, parent, at_us, about)


def _lasted(record: NewRecord, begun: _Beginning) -> Span:
    meta, _, _ = decode_state(record.state)
    settled = parse_traceparent(meta.traceparent)
    outcome = name_of(record.topic)
    return Span(
        begun.name,
        begun.parent.child(begun.name, record.aggregate_id),
        begun.at_us,
        meta.time_us,
        begun.parent.span_id,
        attributes={**begun.about, "penstock.outcome": outcome},
        links=() if settled is None else (settled,),
        fault=outcome if record.topic in _FAULTY else "",
    )
