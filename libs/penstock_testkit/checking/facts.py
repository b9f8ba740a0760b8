"""Stored records, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock_contracts.agent.v1 import AgentManifest, AgentRegistered, Risk
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.records import EventMeta, StoredRecord, decode_state
from penstock_contracts.registry import read_event
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.values import Wire
from penstock_contracts.workflow.v1 import Node, WorkflowApplied, WorkflowDefinition

TIMER = "timer/"  # how the cause of an event begins that no message has caused
_UNREADABLE = EventMeta(time_us=0)


@dataclass(frozen=True, slots=True)
class Fact:
    """A stored event.

    Attributes:
        event: None if it cannot be read; `fault` then says why.
    """

    record: StoredRecord
    meta: EventMeta
    prev_hash: str
    event: Wire | None
    fault: str = ""

    @property
    def aggregate(self) -> str:
        """Id of its aggregate."""
        return self.record.aggregate_id

    @property
    def topic(self) -> str:
        """Its type."""
        return self.record.topic

    @property
    def where(self) -> str:
        """Its place."""
        return f"{self.record.partition}/{self.record.n}"

    @property
    def by_timer(self) -> bool:
        """Whether a due time has caused it."""
        return self.meta.causation_id.startswith(TIMER)


def read_facts(records: Sequence[StoredRecord]) -> Sequence[Fact]:
    """Read records; what cannot be read says so."""
    return tuple(_read(record) for record in records)


def _read(record: StoredRecord) -> Fact:
    try:
        meta, prev_hash, data = decode_state(record.state)
    except MalformedMessage as fault:
        return Fact(record, _UNREADABLE, "", None, str(fault))
    try:
        return Fact(record, meta, prev_hash, read_event(record.topic, data))
    except MalformedMessage as fault:
        return Fact(record, meta, prev_hash, None, str(fault))


@dataclass(frozen=True, slots=True)
class Definitions:
    """What runs are pinned to.

    Attributes:
        workflows: (tenant, digest) -> definition.
        agents: (tenant, digest) -> manifest.
    """

    workflows: Mapping[tuple[str, str], WorkflowDefinition]
    agents: Mapping[tuple[str, str], AgentManifest]

    def workflow(self, started: RunStarted) -> WorkflowDefinition | None:
        """Give the definition that a run is pinned to."""
        return self.workflows.get((started.tenant, started.definition_digest))

    def manifest(self, started: RunStarted, node: Node) -> AgentManifest | None:
        """Give the manifest that a run is pinned to for a node; None for a pure gate."""
        if node.agent is None:
            return None
        return self.agents.get((started.tenant, started.agents.get(node.agent, "")))

    def is_gated(self, started: RunStarted, node: Node) -> bool:
        """Tell whether people have to allow what a node does."""
        manifest = self.manifest(started, node)
        risky = manifest is not None and manifest.risk is Risk.APPROVAL_REQUIRED
        return risky or node.approval is not None


def definitions_of(facts: Iterable[Fact]) -> Definitions:
    """Collect all definitions of a store."""
    workflows: dict[tuple[str, str], WorkflowDefinition] = {}
    agents: dict[tuple[str, str], AgentManifest] = {}
    for fact in facts:
        match fact.event:
            case WorkflowApplied(tenant=tenant, digest=digest, document=document):
                workflows[tenant, digest] = WorkflowDefinition.model_validate(document)
            case AgentRegistered(tenant=tenant, digest=digest, manifest=manifest):
                agents[tenant, digest] = manifest
            case _:
                pass
    return Definitions(workflows, agents)
