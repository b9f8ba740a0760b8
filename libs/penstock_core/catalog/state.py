"""The state of one catalog entry: an agent, a workflow, a token or a trigger."""

from dataclasses import dataclass

from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.trigger.v1 import MatchedRun


@dataclass(frozen=True, slots=True)
class EntryState:
    """One aggregate of the catalog.

    Attributes:
        kind: agent, workflow, token or trigger; '' before the first event.
        digest: of the agent's manifest or the workflow's document; a token's hash and roles.
        in_use: False before registration and after removal.
        waiting: a trigger's runs whose start is not confirmed yet.
        asked_us: when their start was asked for.
    """

    aggregate_id: str
    version: int = 0
    kind: str = ""
    tenant: str = ""
    digest: str = ""
    in_use: bool = False
    trigger_id: str = ""
    requested_by: str = ""
    traceparent: str | None = None
    waiting: tuple[MatchedRun, ...] = ()
    asked_us: int = 0
    rejected: tuple[str, ...] = ()
    frozen: tuple[MessageParked, ...] = ()
