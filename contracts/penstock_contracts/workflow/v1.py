"""Workflows: the definition language, the catalog commands about them and their events."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from penstock_contracts.approval.v1 import Approvers
from penstock_contracts.values import Digest, JsonObject, Name, NodeName, Wire

MAX_NODES = 400  # a decision yields at most 1,000 events; see the event-size bound in docs
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
MAX_DURATION_S = 366 * 86_400.0


def parse_duration(value: Any) -> float:  # noqa: ANN401 - whatever stands in the document
    """Read a duration in seconds from a number or a text such as `500ms`, `30s`, `5m`, `1h`, `7d`.

    Raises:
        ValueError: neither form, not positive, or over a year.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is a number of seconds or a text such as 30s, 5m, 1h")
    seconds = float(value) if isinstance(value, int | float) else _from_text(value.strip())
    if not 0 < seconds <= MAX_DURATION_S:
        raise ValueError("a duration is more than 0 and at most 366 days")
    return seconds


def _from_text(text: str) -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(digits) :] or "s"
    if unit not in _UNITS:
        raise ValueError(f"unknown unit {unit!r} in a duration; known: ms, s, m, h, d")
    try:
        return float(digits) * _UNITS[unit]
    except ValueError:
        raise ValueError(f"not a duration: {text!r}; write 30s, 5m, 1h") from None


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=float | str),
]


class Strict(Wire):
    """Part of a definition: unknown fields are faults, so that a typing error is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Retry(Strict):
    """Attempts and the wait between them: min(cap, delay * factor^(n-1)), jittered."""

    attempts: int = Field(default=1, ge=1, le=100, description="tries in all, the first included")
    delay: Duration = 1.0
    factor: float = Field(default=2.0, ge=1, le=100)
    cap: Duration = 300.0
    jitter: float = Field(default=0.2, ge=0, le=1, description="share of the wait that is drawn")


class Timeouts(Strict):
    """Bounds on one attempt of a node."""

    queued: Duration | None = None
    running: Duration | None = None
    total: Duration = 3600.0


class Gate(Strict):
    """A human decision before a node goes on. Expiry denies."""

    title: str = Field(default="", max_length=1_024)
    show: JsonObject = Field(default={}, description="what approvers see; templates allowed")
    approvers: Approvers = Approvers()
    quorum: int = Field(default=1, ge=1, le=100, description="different people who must approve")
    separation: bool = Field(default=False, description="the requester may not decide")
    expires: Duration = 86_400.0
    reason_required: bool = False
    form: JsonObject = Field(default={}, description="JSON Schema of an approval's answers")
    remind_every: Duration | None = None
    push_back: tuple[NodeName, ...] | None = Field(
        default=None,
        description="nodes that may be sent back to work; by default a planning agent's own",
    )
    grant_for: Duration = Field(default=3600.0, description="how long an approval stands")


class OnFailure(StrEnum):
    """What a node's final failure does to the run."""

    FAIL = "fail"
    CONTINUE = "continue"


class Node(Strict):
    """A step. Without an agent it is a pure gate and its output is the decision."""

    agent: Name | None = None
    with_: JsonObject = Field(default={}, alias="with")
    needs: tuple[NodeName, ...] = ()
    when: str | None = Field(default=None, max_length=4_096)
    retry: Retry = Retry()
    timeout: Timeouts = Timeouts()
    approval: Gate | None = None
    on_failure: OnFailure = OnFailure.FAIL
    pool: Name | None = None


class TriggerRule(Strict):
    """Which triggers start the workflow.

    Attributes:
        on: source and further tokens, wildcards allowed: `nats.scan.*`, `alertmanager.>`.
        when: CEL over `trigger` (`trigger.data`, `trigger.type`, `trigger.source`).
        inputs: templates over `trigger` that give the run's inputs.
    """

    on: str = Field(min_length=1, max_length=256)
    when: str | None = Field(default=None, max_length=4_096)
    inputs: JsonObject = {}


class WorkflowDefinition(Strict):
    """A whole workflow document."""

    api_version: Literal["penstock/v1"] = Field(default="penstock/v1", alias="apiVersion")
    kind: Literal["Workflow"] = "Workflow"
    name: Name
    description: str = Field(default="", max_length=2_048)
    labels: dict[str, str] = {}
    inputs: JsonObject = Field(default={}, description="JSON Schema of the inputs object")
    triggers: tuple[TriggerRule, ...] = ()
    timeout: Duration = 86_400.0
    nodes: dict[NodeName, Node] = Field(min_length=1, max_length=MAX_NODES)
    outputs: JsonObject = {}


class ApplyWorkflow(Wire):
    """Store a definition; the same digest again changes nothing."""

    TYPE: ClassVar[str] = "workflow.apply_workflow.v1"
    document: JsonObject


class RemoveWorkflow(Wire):
    """Take a workflow out of use; running runs keep their pinned version."""

    TYPE: ClassVar[str] = "workflow.remove_workflow.v1"
    name: Name


class WorkflowApplied(Wire):
    """A new version of a workflow, with the agents it was validated against.

    Attributes:
        document: the definition as applied, in the form whose canonical JSON gives the digest.
        agents: digest of each agent at the time; runs take the current ones when they start.
    """

    TYPE: ClassVar[str] = "workflow.workflow_applied.v1"
    tenant: str
    digest: Digest
    document: JsonObject
    agents: dict[str, Digest] = {}
    command_id: str = ""


class WorkflowUnchanged(Wire):
    """The same digest was applied again (kept so that its sender has an answer)."""

    TYPE: ClassVar[str] = "workflow.workflow_unchanged.v1"
    digest: Digest
    command_id: str = ""


class WorkflowRemoved(Wire):
    """The workflow is out of use."""

    TYPE: ClassVar[str] = "workflow.workflow_removed.v1"
    tenant: str
    name: str
    command_id: str = ""


class Problem(Wire):
    """One fault of a document.

    Attributes:
        pointer: RFC 6901 JSON pointer to the place.
        message: what is wrong.
        suggestion: how to mend it, where that can be said.
    """

    pointer: str
    code: str
    message: str
    suggestion: str = ""


class CommandRejected(Wire):
    """A command was refused, said once per command id."""

    TYPE: ClassVar[str] = "workflow.command_rejected.v1"
    command_id: str
    command: str
    code: str
    detail: str = Field(default="", max_length=4096)
    problems: tuple[Problem, ...] = ()
