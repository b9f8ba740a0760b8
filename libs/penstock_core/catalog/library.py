"""All agents and workflows as they stand: a fold over the catalog's own events."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from immutables import Map

from penstock_contracts.agent.v1 import AgentManifest, AgentRegistered, AgentRemoved
from penstock_contracts.partition.v1 import StoreRecovered
from penstock_contracts.values import Wire
from penstock_contracts.workflow.v1 import WorkflowApplied, WorkflowDefinition, WorkflowRemoved

Key = tuple[str, str]
"""(tenant, name)."""
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """An agent in use."""

    digest: str
    manifest: AgentManifest


@dataclass(frozen=True, slots=True)
class WorkflowEntry:
    """A workflow in use."""

    digest: str
    definition: WorkflowDefinition


@dataclass(frozen=True, slots=True)
class Library:
    """Agents and workflows by (tenant, name), and what was lost when the store was put back.

    Attributes:
        lost_until_us: what came until then may have been at work, and may be forgotten.
        lost_runs: runs that are known to have begun before.
    """

    agents: Map[Key, AgentEntry] = field(default_factory=lambda: Map[Key, AgentEntry]())
    workflows: Map[Key, WorkflowEntry] = field(default_factory=lambda: Map[Key, WorkflowEntry]())
    lost_until_us: int = 0
    lost_runs: frozenset[str] = frozenset()

    def apply(self, event: Wire) -> "Library":
        """Give the library after an event; events of other kinds change nothing."""
        match event:
            case AgentRegistered():
                entry = AgentEntry(event.digest, event.manifest)
                key = (event.tenant, event.manifest.name)
                return replace(self, agents=self.agents.set(key, entry))
            case AgentRemoved():
                return replace(self, agents=_without(self.agents, (event.tenant, event.name)))
            case WorkflowApplied():
                definition = WorkflowDefinition.model_validate(event.document)
                entry = WorkflowEntry(event.digest, definition)
                key = (event.tenant, definition.name)
                return replace(self, workflows=self.workflows.set(key, entry))
            case WorkflowRemoved():
                key = (event.tenant, event.name)
                return replace(self, workflows=_without(self.workflows, key))
            case StoreRecovered():
                return replace(
                    self,
                    lost_until_us=max(self.lost_until_us, event.recovered_us),
                    lost_runs=self.lost_runs.union(event.lost_runs),
                )
            case _:
                return self

    def has_lost(self, run_id: str, matched_us: int) -> bool:
        """Tell whether a run may have begun before, in what was lost."""
        return self.was_lost(matched_us) or run_id in self.lost_runs

    def was_lost(self, at_us: int) -> bool:
        """Tell whether what was said then may be about what was lost."""
        return at_us <= self.lost_until_us > 0

    def agents_of(self, tenant: str) -> dict[str, AgentManifest]:
        """Give a tenant's agents by name."""
        return {
            name: entry.manifest for (owner, name), entry in self.agents.items() if owner == tenant
        }

    def digests_of(self, tenant: str, names: frozenset[str]) -> dict[str, str]:
        """Give the current digests of those of `names` that exist."""
        found = {name: self.agents.get((tenant, name)) for name in sorted(names)}
        return {name: entry.digest for name, entry in found.items() if entry is not None}


def _without(entries: Map[Key, V], key: Key) -> Map[Key, V]:
    return entries.delete(key) if key in entries else entries


LIBRARY_EVENTS = (
    AgentRegistered.TYPE,
    AgentRemoved.TYPE,
    WorkflowApplied.TYPE,
    WorkflowRemoved.TYPE,
    StoreRecovered.TYPE,
)
"""Types of the events that `Library.apply` folds."""
