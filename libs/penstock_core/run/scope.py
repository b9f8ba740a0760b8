"""What templates and conditions of a run see."""

from penstock_contracts.values import JsonObject
from penstock_core.run.state import RunState
from penstock_core.workflow.plan import PlanNode
from penstock_core.workflow.templating import Reference


def scope_of(state: RunState, names: tuple[str, ...]) -> JsonObject:
    """Give `inputs`, `run` and, for each of `names`, its status and output."""
    scope: JsonObject = {
        "inputs": state.inputs,
        "run": {"id": state.run_id, "workflow": state.workflow, "trigger": state.trigger_id},
    }
    for name in names:
        node = state.nodes[name]
        entry: JsonObject = {"status": node.status.value}
        if node.output is not None:
            entry["output"] = node.output
        if node.error is not None:
            entry["error"] = {"code": node.error.code, "message": node.error.message}
        scope[name] = entry
    return scope


def render_input(state: RunState, node: PlanNode) -> JsonObject:
    """Render a node's `with` block.

    Raises:
        TemplateError: a reference has no value.
    """
    value = node.with_.render(scope_of(state, _referred(state, node.with_.references)))
    if not isinstance(value, dict):
        raise TypeError("a `with` block renders to an object")
    return value


def _referred(state: RunState, references: tuple[Reference, ...]) -> tuple[str, ...]:
    return tuple({ref.root for ref in references if ref.root in state.nodes})
