"""What a run asks of others, and how it answers."""

from penstock_contracts import subjects
from penstock_contracts.ids import derive, idempotency_key, task_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    ClaimTask,
    ConfirmArtifacts,
    GateOpened,
    NodeFailed,
    OutcomeUnknown,
    RunCancelled,
    RunFailed,
    RunStarted,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import ClaimAnswer, TaskMessage
from penstock_contracts.trigger.v1 import ConfirmStart
from penstock_contracts.values import Phase, Wire
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import (
    REASK_FIRST_US,
    Answer,
    Effect,
    Outstanding,
    QueueTask,
    SendCommand,
    StopTask,
    StoreArtifacts,
)
from penstock_core.run.approvals import request_approval, withdraw_approval
from penstock_core.run.scope import artifacts_of, render_input
from penstock_core.run.state import NodeState, NodeStatus, RunState, RunStatus
from penstock_core.workflow.plan import PlanNode

_IN_FLIGHT = (NodeStatus.QUEUED, NodeStatus.RUNNING)


def effects(before: RunState, event: Wire, after: RunState) -> tuple[Effect, ...]:
    """Give the messages that `event` calls for."""
    match event:
        case RunStarted():
            return (confirm_start(after),)
        case TaskScheduled():
            if event.node in after.doubts and event.phase is not Phase.PLAN:
                return ()  # its outcome is unknown from the beginning
            return (_queue_task(after, event.node),)
        case TaskStarted(nonce=str()):
            return (_granted(after, event),)
        case TaskResultReceived():
            return (_store_artifacts(after, event.node),)
        case GateOpened():
            return (request_approval(after, _plan_node(after, event.node)),)
        case AttemptFailed() | NodeFailed() | OutcomeUnknown():
            node = before.nodes[event.node]
            return (_stop_task(before, event.node, node),) if _abandoned(node, event) else ()
        case RunFailed() | RunCancelled():
            return _let_go(before)
        case _:
            return ()


def _abandoned(node: NodeState, event: AttemptFailed | NodeFailed | OutcomeUnknown) -> bool:
    """Tell whether the attempt ended without its executor's word: something may still run."""
    return node.status in _IN_FLIGHT and event.error.code.startswith(("timeout_", "unknown_"))


def outstanding(state: RunState) -> tuple[Outstanding, ...]:
    """Give everything a run still waits for: its tasks, their artifacts and its approvals."""
    if state.status is not RunStatus.RUNNING:
        return ()
    items: list[Outstanding] = []
    for name, node in sorted(state.nodes.items()):  # the map's own order is another in each process
        if node.status in _IN_FLIGHT and node.nonce is None:
            items.append(Outstanding(_queue_task(state, name), node.asked_us))
        elif node.received is not None and node.status is NodeStatus.STORING:
            items.append(Outstanding(_store_artifacts(state, name), node.received.received_us))
        elif node.status is NodeStatus.GATED:
            request = request_approval(state, _plan_node(state, name))
            items.append(Outstanding(request, node.asked_us))
    return tuple(items)


def due_of(event: Wire) -> int | None:
    """Give the earliest time at which `event` may need attention."""
    match event:
        case RunStarted():
            return event.ends_by_us
        case TaskScheduled():
            times = (event.queued_until_us, event.ends_by_us, event.scheduled_us + REASK_FIRST_US)
            return min(time for time in times if time is not None)
        case TaskStarted():
            return event.running_until_us
        case TaskResultReceived():
            return event.received_us + REASK_FIRST_US
        case AttemptFailed():
            return event.retry_at_us
        case GateOpened():
            return event.opened_us + REASK_FIRST_US
        case _:
            return None


def own_due(state: RunState) -> int | None:
    """Give the earliest of the run's own timers."""
    if state.status is not RunStatus.RUNNING:
        return None
    times = [state.ends_by_us]
    times += [due for node in state.nodes.values() if (due := node.due_us) is not None]
    return min(times)


def confirm_start(state: RunState) -> SendCommand:
    """Tell the catalog that the run exists."""
    aggregate = state.trigger_aggregate
    return SendCommand(
        stream=Stream.CATALOG,
        subject=subjects.catalog(state.tenant, "trigger", aggregate, "confirm_start"),
        about=aggregate,
        key=derive("confirm_start", state.run_id),
        body=ConfirmStart(run_id=state.run_id, trigger_aggregate=aggregate),
        tenant=state.tenant,
        correlation_id=state.run_id,
        traceparent=state.traceparent,
    )


def claim_answer(state: RunState, command: ClaimTask, *, granted: bool) -> Answer:
    """Answer a claim."""
    return Answer(
        subject=subjects.control(state.tenant, command.task_id, "claim"),
        body=ClaimAnswer(task_id=command.task_id, nonce=command.nonce, granted=granted),
    )


def _granted(state: RunState, event: TaskStarted) -> Answer:
    task = task_id(state.run_id, event.node, event.attempt, state.nodes[event.node].phase)
    return Answer(
        subject=subjects.control(state.tenant, task, "claim"),
        body=ClaimAnswer(task_id=task, nonce=event.nonce or "", granted=True),
    )


def _queue_task(state: RunState, name: str) -> QueueTask:
    node, plan_node = state.nodes[name], _plan_node(state, name)
    if plan_node.agent is None or plan_node.agent_digest is None or node.ends_by_us is None:
        raise BrokenInvariant(f"node {name} has no agent to run")
    review = node.reviewed
    task = TaskMessage(
        task_id=task_id(state.run_id, name, node.attempt, node.phase),
        run_id=state.run_id,
        partition=state.partition,
        workflow=state.workflow,
        node=name,
        attempt=node.attempt,
        phase=node.phase,
        agent=plan_node.agent,
        agent_digest=plan_node.agent_digest,
        idempotency_key=idempotency_key(state.run_id, name),
        ends_by_us=node.ends_by_us,
        running_s=plan_node.running_s,
        input=render_input(state, plan_node),
        plan=review.plan,
        grant=review.grant,
        feedback=review.feedback,
        artifacts=artifacts_of(state, plan_node),
    )
    subject = subjects.task(state.tenant, plan_node.pool, plan_node.agent, task.task_id)
    return QueueTask(subject, task, state.tenant, state.traceparent)


def _store_artifacts(state: RunState, name: str) -> StoreArtifacts:
    node = state.nodes[name]
    if node.received is None:
        raise BrokenInvariant(f"node {name} has no artifacts to store")
    task = task_id(state.run_id, name, node.attempt, node.phase)
    answer = SendCommand(
        stream=Stream.RUNS,
        subject=subjects.run(state.tenant, state.partition, state.run_id, "confirm_artifacts"),
        about=state.run_id,
        key=derive("confirm_artifacts", task),
        body=ConfirmArtifacts(
            run_id=state.run_id, node=name, attempt=node.attempt, phase=node.phase
        ),
        tenant=state.tenant,
        correlation_id=state.run_id,
        traceparent=state.traceparent,
    )
    return StoreArtifacts(node.received.artifacts, answer)


def _plan_node(state: RunState, name: str) -> PlanNode:
    if state.plan is None:
        raise BrokenInvariant(f"run {state.run_id} has no plan")
    return state.plan.nodes[name]


def _stop_task(state: RunState, name: str, node: NodeState) -> StopTask:
    plan_node = _plan_node(state, name)
    task = task_id(state.run_id, name, node.attempt, node.phase)
    return StopTask(
        task_subject=subjects.task(state.tenant, plan_node.pool, plan_node.agent or "-", task),
        control_subject=subjects.control(state.tenant, task, "cancel"),
        task_id=task,
        tenant=state.tenant,
        reason="the attempt is settled",
    )


def _let_go(before: RunState) -> tuple[Effect, ...]:
    """Stop tasks and withdraw approvals that the end of the run leaves behind."""
    gone: list[Effect] = []
    for name, node in sorted(before.nodes.items()):
        if node.status in _IN_FLIGHT:
            gone.append(_stop_task(before, name, node))
        elif node.status is NodeStatus.GATED and node.approval_id is not None:
            gone.append(withdraw_approval(before, node.approval_id))
    return tuple(gone)
