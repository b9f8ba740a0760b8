"""A run rebuilt from the event store: what each event changed, and the state it led to.

The same pure functions as in production fold the stored events; nothing served is trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_cli.access import Access
from penstock_cli.databases import SCHEDULER
from penstock_cli.faults import CliFault, ExitCode
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import ReadEvent, StoredRecord, read_record
from penstock_contracts.registry import name_of, read_event
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_contracts.values import JsonObject
from penstock_core.decision import BrokenInvariant
from penstock_core.run.evolve import evolve
from penstock_core.run.snapshot import header_document, node_document, state_hash
from penstock_core.run.state import RunState
from penstock_runtime.definitions import Definitions
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.ledger import EventReader

WHOLE_ID_CHARS = 36


@dataclass(frozen=True, slots=True)
class Change:
    """One field that an event changed.

    Attributes:
        path: `status`, or `nodes.scan.status`.
        before: None: it was not there.
        after: None: it is gone.
    """

    path: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class Step:
    """One event of the history, and what it did."""

    event: ReadEvent
    name: str
    changes: tuple[Change, ...]
    state: RunState

    @property
    def hash(self) -> str:
        """The hash of the state that it led to."""
        return state_hash(self.state)


class _StoredEvents:
    """Reads aggregates by the auditor role, as `Definitions` asks for them."""

    def __init__(self, auditor: PostgresAuditor) -> None:
        self._auditor = auditor

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        """Give all events of each aggregate."""
        return {
            wanted: await asyncio.to_thread(self._auditor.of_aggregate, wanted)
            for wanted in aggregate_ids
        }


def find_run_id(auditor: PostgresAuditor, wanted: str) -> str:
    """Complete the beginning of a run's id from the triggers that the catalog matched.

    Raises:
        CliFault: none or several begin so.
    """
    if len(wanted) == WHOLE_ID_CHARS:
        return wanted
    found: set[str] = set()
    for record in auditor.of_partition(CATALOG_PARTITION):
        if record.topic == TriggerMatched.TYPE:
            event = read_event(record.topic, read_record(record).data)
            if isinstance(event, TriggerMatched):
                found |= {run.run_id for run in event.runs if run.run_id.startswith(wanted)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise CliFault(f"{wanted!r} begins the ids of {len(found)} runs", "give more of it")
    raise CliFault(f"the store holds no run {wanted!r}", "", ExitCode.NOT_FOUND)


def history_of(access: Access, wanted: str, at: int | None = None) -> list[Step]:
    """Read a run's events from the store and fold them, up to version `at`.

    Raises:
        CliFault: no store, no such run, no such version, or a history that does not fold.
    """
    try:
        with PostgresAuditor(access.auditor_url(SCHEDULER)) as auditor:
            run_id = find_run_id(auditor, wanted)
            records = list(auditor.of_aggregate(run_id))
            steps = list(_folded(auditor, run_id, records)) if records else []
    except BrokenInvariant as broken:
        raise CliFault(f"the stored history does not fold: {broken}", "this is a defect") from None
    except MalformedMessage as malformed:
        raise CliFault(f"a stored event cannot be read: {malformed}", "this is a defect") from None
    except PenstockFault as fault:
        raise CliFault(
            f"the store does not answer: {fault}", "`penstock status`", ExitCode.UNREACHABLE
        ) from None
    if not steps:
        raise CliFault(f"the store holds no run {wanted!r}", "", ExitCode.NOT_FOUND)
    if at is None:
        return steps
    if not 1 <= at <= len(steps):
        raise CliFault(f"--at {at}: the run has events 1 to {len(steps)}", "", ExitCode.USAGE)
    return steps[:at]


def _folded(
    auditor: PostgresAuditor, run_id: str, records: Sequence[StoredRecord]
) -> Iterator[Step]:
    state = RunState(run_id)
    before: dict[str, JsonValue] = {}
    for record in records:
        event = read_record(record)
        body = read_event(event.topic, event.data)
        if isinstance(body, RunStarted):
            # `load` is all that reading a definition needs of the port.
            definitions = Definitions(cast("EventReader", _StoredEvents(auditor)))
            plan = asyncio.run(
                definitions.plan(body.tenant, body.workflow, body.definition_digest, body.agents)
            )
            state = RunState(run_id, plan=plan)
        state = evolve(state, body)
        after = dict(_flat(document_of(state)))
        yield Step(event, name_of(event.topic), changes_between(before, after), state)
        before = after


def document_of(state: RunState) -> JsonObject:
    """Give a state as one document: the header, and the nodes below `nodes`."""
    nodes: JsonObject = {name: node_document(node) for name, node in sorted(state.nodes.items())}
    return {**header_document(state), "nodes": nodes}


def _flat(document: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    """Give fields of the header by name, and of nodes as `nodes.<node>.<field>`."""
    for name, value in document.items():
        if name != "nodes":
            yield name, value
        elif isinstance(value, dict):
            for node, fields in value.items():
                for field, inner in fields.items() if isinstance(fields, dict) else ():
                    yield f"nodes.{node}.{field}", inner


def changes_between(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> tuple[Change, ...]:
    """Give the fields that differ; empty fields of something new say nothing."""
    return tuple(
        Change(path, before.get(path), value)
        for path, value in after.items()
        if path != "version"
        and value != before.get(path)
        and (path in before or value not in (None, "", 0, [], {}, False))
    )
