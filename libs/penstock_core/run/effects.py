"""What a run asks of others, and how it answers."""

from pydantic import JsonValue

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import RequestApproval, WithdrawApproval
from penstock_contracts.ids import derive, idempotency_key, task_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    ClaimTask,
    GateOpened,
    NodeFailed,
    RunCancelled,
    RunFailed,
    RunStarted,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import ClaimAnswer, TaskMessage
from penstock_contracts.trigger.v1 import ConfirmStart
from penstock_contracts.values import JsonObject, Wire
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import (
    REASK_FIRST_US,
    Answer,
    Effect,
    Outstanding,
    QueueTask,
    SendCommand,
    StopTask,
)
from penstock_core.run.scope import render_input, scope_of
from penstock_core.run.state import NodeState, NodeStatus, RunState, RunStatus
from penstock_core.workflow.plan import PlanNode
from penstock_core.workflow.templating import Template, TemplateError

_IN_FLIGHT = (NodeStatus.QUEUED, NodeStatus.RUNNING)


def effects(before: RunState, event: Wire, after: RunState) -> tuple[Effect, ...]:
    """Give the messages that `event` calls for."""
    match event:
        case RunStarted():
            return (confirm_start(after),)
        case TaskScheduled():
            return (_queue_task(after, event.node),)
        case TaskStarted(nonce=str()):
            return (_granted(after, event),)
        case GateOpened():
            return (_request_approval(after, event.node),)
        case AttemptFailed() | NodeFailed():
            node = before.nodes[event.node]
            return (_stop_task(before, event.node, node),) if _abandoned(node, event) else ()
        case RunFailed() | RunCancelled():
            return _let_go(before)
        case _:
            return ()


def _abandoned(node: NodeState, event: AttemptFailed | NodeFailed) -> bool:
    """Tell whether the attempt ended without its executor's word: something may still run."""
    return node.status in _IN_FLIGHT and event.error.code.startswith(("timeout_", "unknown_"))


def outstanding(state: RunState) -> tuple[Outstanding, ...]:
    """Give everything a run still waits for: its tasks and its approvals."""
    if state.status is not RunStatus.RUNNING:
        return ()
    items: list[Outstanding] = []
    for name, node in state.nodes.items():
        if node.status in _IN_FLIGHT and node.nonce is None:
            items.append(Outstanding(_queue_task(state, name), node.asked_us))
        elif node.status is NodeStatus.GATED:
            items.append(Outstanding(_request_approval(state, name), node.asked_us))
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
    )
    subject = subjects.task(state.tenant, plan_node.pool, plan_node.agent, task.task_id)
    return QueueTask(subject, task, state.tenant, state.traceparent)


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
    for name, node in before.nodes.items():
        if node.status in _IN_FLIGHT:
            gone.append(_stop_task(before, name, node))
        elif node.status is NodeStatus.GATED and node.approval_id is not None:
            gone.append(_approval_command(before, node.approval_id, _withdraw(node.approval_id)))
    return tuple(gone)


def _withdraw(approval: str) -> WithdrawApproval:
    return WithdrawApproval(approval_id=approval, reason="the run has ended")


def _request_approval(state: RunState, name: str) -> SendCommand:
    node, plan_node = state.nodes[name], _plan_node(state, name)
    gate = plan_node.gate
    if gate is None or node.approval_id is None or node.gate_expires_us is None:
        raise BrokenInvariant(f"node {name} has no gate")
    body = RequestApproval(
        approval_id=node.approval_id,
        tenant=state.tenant,
        run_id=state.run_id,
        partition=state.partition,
        workflow=state.workflow,
        node=name,
        attempt=node.attempt + 1,
        title=str(_shown(state, plan_node.gate_title) or f"{state.workflow}: {name}"),
        context=_gate_context(state, plan_node),
        approvers=gate.approvers,
        requested_by=state.requested_by,
        reason_required=gate.reason_required,
        expires_us=node.gate_expires_us,
        traceparent=state.traceparent,
    )
    return _approval_command(state, node.approval_id, body)


def _gate_context(state: RunState, node: PlanNode) -> JsonObject:
    """Give what approvers see: the gate's own `show`, the agent and its resolved input."""
    context: JsonObject = {}
    shown = _shown(state, node.gate_show)
    if isinstance(shown, dict):
        context.update(shown)
    if node.agent is not None:
        context["agent"] = node.agent
        context["agent_digest"] = node.agent_digest
        context["input"] = _shown(state, node.with_)
    return context


def _shown(state: RunState, template: Template | None) -> JsonValue:
    """Render for people; what cannot be rendered says so instead of failing the gate."""
    if template is None:
        return None
    names = tuple({ref.root for ref in template.references if ref.root in state.nodes})
    try:
        return template.render(scope_of(state, names))
    except TemplateError as error:
        return {"not_shown": str(error)}


def _approval_command(
    state: RunState, approval: str, body: RequestApproval | WithdrawApproval
) -> SendCommand:
    verb = "request_approval" if isinstance(body, RequestApproval) else "withdraw_approval"
    return SendCommand(
        stream=Stream.APPROVALS,
        subject=subjects.approval(state.tenant, approval, verb),
        about=approval,
        key=derive(verb, approval),
        body=body,
        tenant=state.tenant,
        correlation_id=state.run_id,
        traceparent=state.traceparent,
    )
