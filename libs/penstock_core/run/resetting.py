"""What a push back does to a run: nodes that were done begin anew."""

from penstock_contracts.run.v1 import GatePushedBack
from penstock_core.decision import BrokenInvariant
from penstock_core.run.because import pushed_back_because
from penstock_core.run.state import SETTLED, NodeState, NodeStatus, Review, RunState
from penstock_core.run.transitions import NODE_TRANSITIONS


def push_back(state: RunState, event: GatePushedBack) -> RunState:
    """Let the nodes of `event.reset` begin anew; whatever is behind them waits for them again.

    Raises:
        BrokenInvariant: a node of it is not done yet, and is not the gate's own.
    """
    plan, moves = state.plan, NODE_TRANSITIONS[GatePushedBack]
    gate = state.nodes.get(event.node)
    if plan is None or gate is None or gate.status is not NodeStatus.GATED:
        raise BrokenInvariant(f"{event.node} has no open gate to push back from")
    reset, reopened, after = frozenset(event.reset), 0, state.nodes
    with after.mutate() as nodes:
        for name in event.reset:
            node = state.nodes.get(name)
            if node is None or node.status not in moves:
                raise BrokenInvariant(f"{name} cannot be sent back to work")
            needs, dependents = plan.nodes[name].needs, plan.nodes[name].dependents
            nodes[name] = NodeState(
                status=moves[node.status],
                pending=sum(parent in reset for parent in needs),
                attempt=_last_attempt(node),
                review=_sent_back(node, name, event),
            )
            if node.status not in SETTLED:
                continue
            reopened += 1
            for dependent in dependents:
                if dependent not in reset:
                    waiting = nodes[dependent]
                    nodes[dependent] = waiting._replace(pending=waiting.pending + 1)
        after = nodes.finish()
    return state._replace(
        nodes=after, unsettled=state.unsettled + reopened, feedback=event.feedback
    )


def _last_attempt(node: NodeState) -> int:
    """Give the number that was used last: a gate in front of the first task counts as well."""
    return max(node.attempt, node.reviewed.gate_attempt)


def _sent_back(node: NodeState, name: str, event: GatePushedBack) -> Review:
    before = node.reviewed
    return Review(
        feedback=event.feedback if name == event.to else before.feedback,
        push_backs=before.push_backs + (name == event.node),
        attempts_before=_last_attempt(node),
        because=pushed_back_because(event) if before.gate_attempt or before.because else "",
    )
