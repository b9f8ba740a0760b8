"""Which type names which model, and how older shapes become today's.

A stored event keeps the type it was written with. Reading goes through `read_event`, which
applies upcasters until the type is current. A shape is changed only by a new version, an
upcaster from the one before, and a golden sample.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from penstock_contracts.agent import v1 as agent
from penstock_contracts.approval import v1 as approval
from penstock_contracts.envelope import MalformedMessage, first_fault
from penstock_contracts.executor import v1 as executor
from penstock_contracts.partition import v1 as partition
from penstock_contracts.run import v1 as run
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import Wire
from penstock_contracts.workflow import v1 as workflow

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

EVENTS: dict[str, type[Wire]] = {
    model.TYPE: model
    for model in (
        run.RunStarted,
        run.RunRecovered,
        run.TaskScheduled,
        run.TaskStarted,
        run.TaskResultReceived,
        run.NodeSucceeded,
        run.PlanMade,
        run.OutcomeUnknown,
        run.OutcomeSettled,
        run.AttemptFailed,
        run.NodeFailed,
        run.NodeSkipped,
        run.GateOpened,
        run.GatePassed,
        run.GatePushedBack,
        run.RunSucceeded,
        run.RunFailed,
        run.RunCancelled,
        run.CommandRejected,
        approval.ApprovalRequested,
        approval.VoteCast,
        approval.ApprovalReminded,
        approval.ApprovalGranted,
        approval.ApprovalRejected,
        approval.ApprovalPushedBack,
        approval.ApprovalExpired,
        approval.ApprovalWithdrawn,
        approval.CommandRejected,
        agent.AgentRegistered,
        agent.AgentUnchanged,
        agent.AgentRemoved,
        agent.CommandRejected,
        workflow.WorkflowApplied,
        workflow.WorkflowUnchanged,
        workflow.WorkflowRemoved,
        workflow.CommandRejected,
        trigger.TriggerMatched,
        trigger.TriggerIgnored,
        trigger.StartConfirmed,
        trigger.TokenIssued,
        trigger.TokenRevoked,
        trigger.TokenUnchanged,
        trigger.CommandRejected,
        executor.BreakerChanged,
        partition.MessageParked,
        partition.MessageRedriven,
        partition.CommandRejected,
        partition.StoreRecovered,
    )
}
COMMANDS: dict[str, type[Wire]] = {
    model.TYPE: model
    for model in (
        run.StartRun,
        run.ClaimTask,
        run.ReportStarted,
        run.ReportResult,
        run.ConfirmArtifacts,
        run.RestoreArtifact,
        run.CancelRun,
        run.ApplyDecision,
        run.SettleOutcome,
        approval.RequestApproval,
        approval.CastVote,
        approval.WithdrawApproval,
        agent.RegisterAgent,
        agent.RemoveAgent,
        workflow.ApplyWorkflow,
        workflow.RemoveWorkflow,
        trigger.ConfirmStart,
        trigger.IssueToken,
        trigger.RevokeToken,
        executor.ReportBreaker,
        partition.RedriveMessages,
    )
}
UPCASTERS: dict[str, tuple[str, Upcaster]] = {}
"""Old type -> (next type, function from the old data to the new)."""


class UnknownType(MalformedMessage):
    """A type that this version does not know."""


def read_event(
    topic: str, data: dict[str, Any], upcasters: Mapping[str, tuple[str, Upcaster]] = UPCASTERS
) -> Wire:
    """Read a stored or published event's data into today's model.

    Args:
        topic: the type it was written with.
        data: what was written; stays as it is.
        upcasters: how older types become newer ones.

    Raises:
        UnknownType: no model and no upcaster has that type.
        MalformedMessage: the data does not fit.
    """
    while topic in upcasters:
        older = topic
        topic, upcast = upcasters[older]
        try:
            data = upcast(data)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise MalformedMessage(f"{older}: cannot be upcast to {topic}") from None
    return _read(EVENTS, topic, data)


def read_command(topic: str, data: object) -> Wire:
    """Read a command's data into its model.

    Raises:
        UnknownType: no model has that type.
        MalformedMessage: the data does not fit.
    """
    return _read(COMMANDS, topic, data)


def _read(models: dict[str, type[Wire]], topic: str, data: object) -> Wire:
    model = models.get(topic)
    if model is None:
        raise UnknownType(f"unknown type {topic!r}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise MalformedMessage(f"{topic}: {first_fault(error)}") from None


def kind_of(topic: str) -> str:
    """First token of a type: `run` of `run.node_failed.v1`."""
    return topic.partition(".")[0]


def name_of(topic: str) -> str:
    """Middle token of a type: `node_failed` of `run.node_failed.v1`."""
    return topic.split(".")[1]


def type_of(message: Wire) -> str:
    """The type string of a command's or an event's model."""
    name: str = type(message).__dict__["TYPE"]
    return name
