"""What templates and conditions of a run see."""

from penstock_contracts.artifact.v1 import TaskArtifact
from penstock_contracts.values import JsonObject
from penstock_core.run.state import RunState
from penstock_core.workflow.plan import PlanNode
from penstock_core.workflow.references import ARTIFACTS
from penstock_core.workflow.templating import Reference


def scope_of(state: RunState, names: tuple[str, ...], feedback: str | None = None) -> JsonObject:
    """Give `inputs`, `run` and, for each of `names`, its status, output and approval.

    Args:
        state: whose values.
        names: of the nodes that are read.
        feedback: that `run.feedback` gives; None: of the last push back.
    """
    scope: JsonObject = {
        "inputs": state.inputs,
        "run": {
            "id": state.run_id,
            "workflow": state.workflow,
            "trigger": state.trigger_id,
            "feedback": state.feedback if feedback is None else feedback,
        },
    }
    for name in names:
        node = state.nodes[name]
        entry: JsonObject = {"status": node.status.value}
        if node.output is not None:
            entry["output"] = node.output
        if node.artifacts:
            entry[ARTIFACTS] = {one.name: one.reference for one in node.artifacts}
        if node.error is not None:
            entry["error"] = {"code": node.error.code, "message": node.error.message}
        if node.review is not None and node.review.decision is not None:
            entry["approval"] = node.review.decision
        scope[name] = entry
    return scope


def begun_scope(
    state: RunState, node: PlanNode, references: tuple[Reference, ...], feedback: str | None = None
) -> JsonObject:
    """Give what a node saw when it began: what it asks for again must be what it asked for.

    Args:
        state: whose values.
        node: that reads.
        references: what is read.
        feedback: of a node that is just about to begin.
    """
    if not references:
        return {}
    if feedback is None:
        review = state.nodes[node.name].review
        feedback = "" if review is None else review.run_feedback
    names = tuple(sorted({ref.root for ref in references if ref.root in state.nodes}))
    return scope_of(state, names, feedback)


def render_input(state: RunState, node: PlanNode, feedback: str | None = None) -> JsonObject:
    """Render a node's `with` block; the arguments are those of `begun_scope`.

    Raises:
        TemplateError: a reference has no value.
    """
    value = node.with_.render(begun_scope(state, node, node.with_.references, feedback))
    if not isinstance(value, dict):
        raise TypeError("a `with` block renders to an object")
    return value


def artifacts_of(state: RunState, node: PlanNode) -> tuple[TaskArtifact, ...]:
    """Give the artifacts that a node's `with` block refers to, each once, by node and name."""
    found: dict[tuple[str, str], TaskArtifact] = {}
    for reference in node.with_.references:
        if reference.path[:1] != (ARTIFACTS,) or len(reference.path) < 2:
            continue
        producer = state.nodes.get(reference.root)
        for artifact in () if producer is None else producer.artifacts:
            if artifact.name == reference.path[1]:
                named = TaskArtifact(node=reference.root, artifact=artifact)
                found[reference.root, artifact.name] = named
    return tuple(found[key] for key in sorted(found))
