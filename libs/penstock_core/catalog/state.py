"""The state of one catalog entry: an agent, a workflow, a token, a trigger or an executor."""

from dataclasses import dataclass
from enum import StrEnum

from immutables import Map

from penstock_contracts.executor.v1 import BreakerState
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.trigger.v1 import MatchedRun


class EntryStatus(StrEnum):
    """Where a catalog entry stands."""

    ABSENT = "absent"
    IN_USE = "in_use"
    REMOVED = "removed"
    MATCHED = "matched"  # a trigger that started runs
    IGNORED = "ignored"  # a trigger that started none


@dataclass(frozen=True, slots=True)
class EntryState:
    """One aggregate of the catalog.

    Attributes:
        kind: agent, workflow, token, trigger or executor; '' before the first event.
        digest: of the agent's manifest or the workflow's document; a token's hash, roles and
            groups.
        status: absent before the first event; what is removed may come into use again.
        waiting: a trigger's runs whose start is not confirmed yet.
        asked_us: when their start was asked for.
        breaker: how an executor's breaker stands, and since when.
        done: ids of the commands that have changed it: a copy of one, of whatever age, would bring
            back an older definition, or a token that was revoked.
    """

    aggregate_id: str
    version: int = 0
    kind: str = ""
    tenant: str = ""
    digest: str = ""
    status: EntryStatus = EntryStatus.ABSENT
    trigger_id: str = ""
    requested_by: str = ""
    traceparent: str | None = None
    waiting: tuple[MatchedRun, ...] = ()
    asked_us: int = 0
    breaker: BreakerState = BreakerState.CLOSED
    since_us: int = 0
    done: Map[str, None] = Map()
    rejected: tuple[str, ...] = ()
    frozen: tuple[MessageParked, ...] = ()

    @property
    def in_use(self) -> bool:
        """Whether an agent, a workflow or a token is there to be used."""
        return self.status is EntryStatus.IN_USE
