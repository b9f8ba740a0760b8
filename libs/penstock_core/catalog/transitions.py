"""Which event leads a catalog entry from which status to which: the tables that `evolve` obeys.

The state diagrams in the documentation are generated from them.
"""

from penstock_contracts.agent.v1 import AgentRegistered, AgentRemoved, AgentUnchanged
from penstock_contracts.executor.v1 import BreakerChanged
from penstock_contracts.trigger.v1 import (
    StartConfirmed,
    TokenIssued,
    TokenRevoked,
    TokenUnchanged,
    TriggerIgnored,
    TriggerMatched,
)
from penstock_contracts.values import Wire
from penstock_contracts.workflow.v1 import WorkflowApplied, WorkflowRemoved, WorkflowUnchanged
from penstock_core.catalog.state import EntryStatus

_E = EntryStatus
_ENTERED = {_E.ABSENT: _E.IN_USE, _E.IN_USE: _E.IN_USE, _E.REMOVED: _E.IN_USE}
_KEPT = {_E.IN_USE: _E.IN_USE}
_LEFT = {_E.IN_USE: _E.REMOVED}

DEFINITION_TRANSITIONS: dict[type[Wire], dict[EntryStatus, EntryStatus]] = {
    AgentRegistered: _ENTERED,
    WorkflowApplied: _ENTERED,
    TokenIssued: _ENTERED,
    AgentUnchanged: _KEPT,
    WorkflowUnchanged: _KEPT,
    TokenUnchanged: _KEPT,
    AgentRemoved: _LEFT,
    WorkflowRemoved: _LEFT,
    TokenRevoked: _LEFT,
}
TRIGGER_TRANSITIONS: dict[type[Wire], dict[EntryStatus, EntryStatus]] = {
    TriggerMatched: {_E.ABSENT: _E.MATCHED},
    TriggerIgnored: {_E.ABSENT: _E.IGNORED},
    StartConfirmed: {_E.MATCHED: _E.MATCHED},
}
EXECUTOR_TRANSITIONS: dict[type[Wire], dict[EntryStatus, EntryStatus]] = {
    BreakerChanged: {_E.ABSENT: _E.IN_USE, _E.IN_USE: _E.IN_USE},
}
