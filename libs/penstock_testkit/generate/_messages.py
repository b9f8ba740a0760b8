"""Every message type with its model, as the generators of contracts see them."""

from __future__ import annotations

from pydantic import BaseModel

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.envelope import Envelope
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.registry import COMMANDS, EVENTS
from penstock_contracts.task import v1 as task
from penstock_contracts.workflow.v1 import WorkflowDefinition

ENVELOPE = "envelope.v1"
DEFINITION = "workflow.definition.v1"
MANIFEST = "agent.manifest.v1"

TASKS: dict[str, type[BaseModel]] = {
    task.TASK_TYPE: task.TaskMessage,
    task.LOG_TYPE: task.LogLines,
    task.CANCEL_TYPE: task.CancelTask,
    task.CLAIM_ANSWER_TYPE: task.ClaimAnswer,
}
DOCUMENTS: dict[str, type[BaseModel]] = {
    ENVELOPE: Envelope,
    DEFINITION: WorkflowDefinition,
    MANIFEST: AgentManifest,
}


def all_models() -> dict[str, type[BaseModel]]:
    """Gives type -> model of everything that has a schema."""
    return {**EVENTS, **COMMANDS, **TASKS, **DOCUMENTS, Marker.TYPE: Marker}


def summary_of(model: type[BaseModel]) -> str:
    """Gives the first paragraph of a model's docstring as one line."""
    text = (model.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(text.split())
