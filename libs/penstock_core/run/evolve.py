"""Apply events to a run. Total: every event of the kind, in every status the tables allow."""

from immutables import Map

from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.run.v1 import (
    AttemptFailed,
    CommandRejected,
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
from penstock_contracts.values import Phase, Wire
from penstock_core.decision import BrokenInvariant
from penstock_core.parking import without
from penstock_core.run.because import failed_because
from penstock_core.run.resetting import push_back
from penstock_core.run.state import (
    REJECTED_KEPT,
    SETTLED,
    NodeState,
    NodeStatus,
    RunState,
    RunStatus,
)
from penstock_core.run.transitions import NODE_TRANSITIONS, RUN_TRANSITIONS

NodeEvent = (
    TaskScheduled
    | TaskStarted
    | TaskResultReceived
    | NodeSucceeded
    | AttemptFailed
    | NodeFailed
    | NodeSkipped
    | PlanMade
    | GateOpened
    | GatePassed
    | OutcomeUnknown
    | OutcomeSettled
)


def evolve(state: RunState, event: Wire) -> RunState:
    """Give the state after `event`.

    Raises:
        BrokenInvariant: the tables allow no such step: a defect or a damaged history.
    """
    version = state.version + 1
    match event:
        case CommandRejected():
            kept = (*state.rejected, event.command_id)[-REJECTED_KEPT:]
            return state._replace(version=version, rejected=kept)
        case MessageParked():
            return state._replace(version=version, frozen=(*state.frozen, event))
        case MessageRedriven():
            left = without(state.frozen, event)
            return state._replace(version=version, frozen=left)
        case RunStarted():
            return _started(state._replace(version=version), event)
        case RunRecovered():
            status = RUN_TRANSITIONS[RunRecovered][_allowed_run(state, event)]
            return state._replace(version=version, status=status, doubts=once_nodes(state))
        case RunSucceeded() | RunFailed() | RunCancelled():
            return _ended(state._replace(version=version), event)
        case (
            TaskScheduled()
            | TaskStarted()
            | TaskResultReceived()
            | NodeSucceeded()
            | AttemptFailed()
            | NodeFailed()
            | NodeSkipped()
            | PlanMade()
            | GateOpened()
            | GatePassed()
            | OutcomeUnknown()
            | OutcomeSettled()
        ):
            return _node_changed(state, event, version)
        case GatePushedBack():
            return push_back(state._replace(version=version), event)
        case _:
            raise BrokenInvariant(f"{type(event).__name__} is no event of a run")


def _started(state: RunState, event: RunStarted) -> RunState:
    if state.plan is None or state.plan.digest != event.definition_digest:
        raise BrokenInvariant(f"run {state.run_id} needs the plan {event.definition_digest}")
    nodes = Map(
        {name: NodeState(pending=len(node.needs)) for name, node in state.plan.nodes.items()}
    )
    return state._replace(
        status=RUN_TRANSITIONS[RunStarted][_allowed_run(state, event)],
        tenant=event.tenant,
        workflow=event.workflow,
        definition_digest=event.definition_digest,
        agents=event.agents,
        trigger_id=event.trigger_id,
        trigger_aggregate=event.trigger_aggregate,
        partition=event.partition,
        inputs=event.inputs,
        requested_by=event.requested_by,
        traceparent=event.traceparent,
        started_us=event.started_us,
        ends_by_us=event.ends_by_us,
        nodes=nodes,
        unsettled=len(nodes),
        doubts=once_nodes(state) if event.doubtful else frozenset(),
    )


def once_nodes(state: RunState) -> frozenset[str]:
    """Name the nodes whose agents act once, whatever has become of them so far."""
    if state.plan is None:
        return frozenset()
    nodes = state.plan.nodes.items()
    return frozenset(name for name, node in nodes if node.agent and not node.repeats)


def _allowed_run(state: RunState, event: Wire) -> RunStatus:
    if state.status not in RUN_TRANSITIONS[type(event)]:
        raise BrokenInvariant(f"{type(event).__name__} while the run is {state.status}")
    return state.status


def _ended(state: RunState, event: RunSucceeded | RunFailed | RunCancelled) -> RunState:
    status = RUN_TRANSITIONS[type(event)][_allowed_run(state, event)]
    nodes, left = state.nodes, 0
    if state.unsettled:
        moves = NODE_TRANSITIONS.get(type(event))
        if moves is None:
            raise BrokenInvariant(f"{type(event).__name__} while nodes are not settled")
        with nodes.mutate() as changed:
            for name, node in nodes.items():
                if node.status in moves:
                    changed[name] = node._replace(status=moves[node.status])
                elif node.status not in SETTLED:
                    left += 1
            nodes = changed.finish()
    return state._replace(
        status=status,
        nodes=nodes,
        unsettled=left,
        ended_us=event.ended_us,
        cause=event.cause if isinstance(event, RunFailed) else None,
        outputs=event.outputs if isinstance(event, RunSucceeded) else None,
    )


def _node_changed(state: RunState, event: NodeEvent, version: int) -> RunState:
    node = state.nodes.get(event.node)
    allowed = NODE_TRANSITIONS[type(event)]
    if node is None or node.status not in allowed:
        status = "absent" if node is None else node.status
        raise BrokenInvariant(f"{type(event).__name__} for {event.node}, which is {status}")
    after = _changed(node, allowed[node.status], event, state.feedback)
    nodes = state.nodes.set(event.node, after)
    if isinstance(event, OutcomeSettled) and event.node in state.doubts:
        return state._replace(version=version, nodes=nodes, doubts=state.doubts - {event.node})
    if after.status not in SETTLED:
        return state._replace(version=version, nodes=nodes)
    return state._replace(
        version=version,
        nodes=_tell_dependents(state, event.node, nodes),
        unsettled=state.unsettled - 1,
    )


def _changed(node: NodeState, status: NodeStatus, event: NodeEvent, run_feedback: str) -> NodeState:
    match event:
        case TaskScheduled():
            scheduled = node._replace(
                status=status,
                attempt=event.attempt,
                phase=event.phase,
                asked_us=event.scheduled_us,
                queued_until_us=event.queued_until_us,
                ends_by_us=event.ends_by_us,
                running_until_us=None,
                retry_at_us=None,
                nonce=None,
                executor="",
                error=None,
            )
            if node.review is None and not run_feedback and event.phase is Phase.RUN:
                return scheduled
            return _begun(scheduled, run_feedback)
        case TaskStarted():
            return node._replace(
                status=status,
                executor=event.executor,
                nonce=event.nonce,
                running_until_us=event.running_until_us,
            )
        case TaskResultReceived():
            return node._replace(status=status, received=event, error=None)
        case NodeSucceeded():
            return node._replace(
                status=status,
                output=event.output,
                executor=event.executor or node.executor,
                error=None,
                received=None,
                artifacts=event.artifacts,
            )
        case AttemptFailed():
            failed = node._replace(
                status=status,
                error=event.error,
                retry_at_us=event.retry_at_us,
                received=None,
                losses=node.losses + (node.received is not None),
            )
            if node.phase is not Phase.APPLY:  # nobody approved it: nobody is asked again
                return failed
            review = node.reviewed._replace(because=failed_because(event))
            return failed._replace(review=review)
        case NodeFailed() | OutcomeUnknown():
            return node._replace(status=status, error=event.error, received=None)
        case NodeSkipped() | OutcomeSettled():
            return node._replace(status=status)
        case PlanMade() | GateOpened() | GatePassed():
            return _reviewed(node._replace(status=status), event, run_feedback)


def _begun(node: NodeState, run_feedback: str) -> NodeState:
    """Note what an attempt begins with; what was approved goes on with what it began with."""
    review = node.reviewed
    if node.phase is Phase.PLAN:
        review = review._replace(
            plan=None, binding=None, grant=None, decision=None, run_feedback=run_feedback
        )
        return node._replace(approved=False, approval_id=None, gate_expires_us=None, review=review)
    if node.approved:
        return node
    return node._replace(review=review._replace(run_feedback=run_feedback))


def _reviewed(
    node: NodeState, event: PlanMade | GateOpened | GatePassed, run_feedback: str
) -> NodeState:
    review = node.reviewed
    match event:
        case PlanMade():
            review = review._replace(plan=event.plan, binding=event.binding)
            return node._replace(
                executor=event.executor or node.executor,
                review=review,
                received=None,
                artifacts=event.artifacts,
            )
        case GateOpened():
            heard = run_feedback if review.plan is None else review.run_feedback
            return node._replace(
                approval_id=event.approval_id,
                asked_us=event.opened_us,
                gate_expires_us=event.expires_us,
                review=review._replace(
                    gate_attempt=event.attempt, binding=event.binding, run_feedback=heard
                ),
            )
        case GatePassed():
            decision = {"by": event.by, "reason": event.reason, "answers": event.answers}
            review = review._replace(grant=event.grant, decision=decision)
            return node._replace(approved=True, review=review)


def _tell_dependents(state: RunState, name: str, nodes: Map[str, NodeState]) -> Map[str, NodeState]:
    if state.plan is None:
        raise BrokenInvariant(f"run {state.run_id} has no plan")
    for dependent in state.plan.nodes[name].dependents:
        node = nodes[dependent]
        nodes = nodes.set(dependent, node._replace(pending=node.pending - 1))
    return nodes
