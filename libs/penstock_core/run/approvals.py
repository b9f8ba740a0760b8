"""What people are asked: the proposal, and the commands to the approval that they vote on."""

from pydantic import JsonValue

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Policy, Proposal, RequestApproval, WithdrawApproval
from penstock_contracts.ids import derive
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import PlannedChange
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import SendCommand
from penstock_core.run.scope import begun_scope, render_input
from penstock_core.run.state import PUSH_BACKS_MAX, NodeState, RunState
from penstock_core.workflow.plan import PlanNode
from penstock_core.workflow.templating import Template, TemplateError


def proposal_of(
    state: RunState,
    node: PlanNode,
    plan: PlannedChange | None = None,
    feedback: str | None = None,
) -> Proposal:
    """Give what will execute once it is approved; of a pure gate: what is shown.

    Args:
        state: whose values the input is rendered from.
        node: that has the gate.
        plan: of an agent that plans.
        feedback: of a node that is just about to begin.

    Raises:
        TemplateError: a reference has no value.
    """
    if node.agent is None:
        shown = _rendered(state, node, node.gate_show, feedback)
        return Proposal(input=shown if isinstance(shown, dict) else {})
    return Proposal(
        agent=node.agent,
        agent_digest=node.agent_digest,
        input=render_input(state, node, feedback),
        plan=plan,
        atomic=node.atomic,
    )


def targets_of(node: PlanNode, state: NodeState) -> tuple[str, ...]:
    """Give the nodes that may still be sent back to work from a gate."""
    return tuple(node.resets) if state.reviewed.push_backs < PUSH_BACKS_MAX else ()


def request_approval(state: RunState, node: PlanNode) -> SendCommand:
    """Ask for a decision on an open gate."""
    at = state.nodes[node.name]
    review = at.reviewed
    if at.approval_id is None or at.gate_expires_us is None or review.binding is None:
        raise BrokenInvariant(f"node {node.name} has no open gate")
    shown = _shown(state, node, node.gate_show)
    body = RequestApproval(
        approval_id=at.approval_id,
        tenant=state.tenant,
        run_id=state.run_id,
        partition=state.partition,
        workflow=state.workflow,
        node=node.name,
        attempt=review.gate_attempt,
        title=str(_shown(state, node, node.gate_title) or f"{state.workflow}: {node.name}"),
        context=shown if isinstance(shown, dict) else {},
        proposal=proposal_of(state, node, review.plan),
        binding=review.binding,
        policy=_policy(node, at),
        requested_by=state.requested_by,
        because=review.because,
        expires_us=at.gate_expires_us,
        traceparent=state.traceparent,
    )
    return _command(state, at.approval_id, body)


def _policy(node: PlanNode, at: NodeState) -> Policy:
    gate = node.gate
    if gate is None:
        raise BrokenInvariant(f"node {node.name} has no gate")
    return Policy(
        approvers=gate.approvers,
        quorum=gate.quorum,
        separation=gate.separation,
        reason_required=gate.reason_required,
        form=gate.form,
        remind_every_s=gate.remind_every,
        push_back=targets_of(node, at),
        grant_s=gate.grant_for,
    )


def withdraw_approval(state: RunState, approval: str) -> SendCommand:
    """Say that nobody waits for a decision any more."""
    body = WithdrawApproval(approval_id=approval, reason="the run has ended")
    return _command(state, approval, body)


def _rendered(
    state: RunState, node: PlanNode, template: Template | None, feedback: str | None = None
) -> JsonValue:
    if template is None:
        return None
    return template.render(begun_scope(state, node, template.references, feedback))


def _shown(state: RunState, node: PlanNode, template: Template | None) -> JsonValue:
    """Render for people; what cannot be rendered says so instead of failing the gate."""
    try:
        return _rendered(state, node, template)
    except TemplateError as error:
        return {"not_shown": str(error)}


def _command(
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
