"""Which event leads from which status to which: the tables that `evolve` obeys.

The state diagrams in the documentation are generated from them.
"""

from penstock_contracts.run.v1 import (
    AttemptFailed,
    GateOpened,
    GatePassed,
    GatePushedBack,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    PlanMade,
    RunCancelled,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunSucceeded,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.values import Wire
from penstock_core.run.state import SETTLED, NodeStatus, RunStatus

_N = NodeStatus
_R = RunStatus
_CANCELLABLE = tuple(
    status for status in NodeStatus if status not in SETTLED and status is not _N.UNKNOWN
)

NODE_TRANSITIONS: dict[type[Wire], dict[NodeStatus, NodeStatus]] = {
    GateOpened: {_N.WAITING: _N.GATED},
    GatePassed: {_N.GATED: _N.WAITING},
    GatePushedBack: {
        _N.GATED: _N.WAITING,
        _N.SUCCEEDED: _N.WAITING,  # between the node that works again and the gate
        _N.FAILED: _N.WAITING,
        _N.SKIPPED: _N.WAITING,
    },
    PlanMade: {_N.QUEUED: _N.WAITING, _N.RUNNING: _N.WAITING, _N.STORING: _N.WAITING},
    TaskScheduled: {_N.WAITING: _N.QUEUED, _N.RETRYING: _N.QUEUED},
    TaskStarted: {_N.QUEUED: _N.RUNNING},
    TaskResultReceived: {
        _N.QUEUED: _N.STORING,
        _N.RUNNING: _N.STORING,
        _N.UNKNOWN: _N.STORING,
    },
    NodeSucceeded: {
        _N.WAITING: _N.SUCCEEDED,  # a pure gate that was passed
        _N.QUEUED: _N.SUCCEEDED,
        _N.RUNNING: _N.SUCCEEDED,
        _N.STORING: _N.SUCCEEDED,
        _N.UNKNOWN: _N.SUCCEEDED,
    },
    OutcomeUnknown: {
        _N.QUEUED: _N.UNKNOWN,  # only after the store was put back: it may have been claimed
        _N.RUNNING: _N.UNKNOWN,
    },
    OutcomeSettled: {_N.UNKNOWN: _N.UNKNOWN},  # what follows from it is said by the next event
    AttemptFailed: {
        _N.QUEUED: _N.RETRYING,
        _N.RUNNING: _N.RETRYING,
        _N.STORING: _N.RETRYING,
        _N.UNKNOWN: _N.RETRYING,
    },
    NodeFailed: {
        _N.WAITING: _N.FAILED,
        _N.GATED: _N.FAILED,
        _N.QUEUED: _N.FAILED,
        _N.RUNNING: _N.FAILED,
        _N.STORING: _N.FAILED,
        _N.UNKNOWN: _N.FAILED,
        _N.RETRYING: _N.FAILED,
    },
    NodeSkipped: {_N.WAITING: _N.SKIPPED},
    RunFailed: dict.fromkeys(_CANCELLABLE, _N.CANCELLED),
    RunCancelled: dict.fromkeys(_CANCELLABLE, _N.CANCELLED),
}
"""The end of a run before its time cancels every node that is not settled; an unknown outcome
stays unknown until somebody has found out."""

RUN_TRANSITIONS: dict[type[Wire], dict[RunStatus, RunStatus]] = {
    RunStarted: {_R.ABSENT: _R.RUNNING},
    RunRecovered: {_R.RUNNING: _R.RUNNING},
    RunSucceeded: {_R.RUNNING: _R.SUCCEEDED},
    RunFailed: {_R.RUNNING: _R.FAILED},
    RunCancelled: {_R.RUNNING: _R.CANCELLED},
}
