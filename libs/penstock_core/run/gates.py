"""Gates: plans that people are asked about, and what they decide."""

from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.run.v1 import (
    ApplyDecision,
    GatePassed,
    GatePushedBack,
    PlanMade,
    ReportResult,
    Verdict,
)
from penstock_contracts.values import Failure
from penstock_core.binding import bind
from penstock_core.decision import BrokenInvariant, Context, Outcome, Stale
from penstock_core.run.approvals import proposal_of, targets_of
from penstock_core.run.draft import Draft
from penstock_core.run.state import NodeState, NodeStatus, RunState
from penstock_core.workflow.canonical import uncanonical
from penstock_core.workflow.plan import PlanNode


def planned(draft: Draft, command: ReportResult) -> Failure | None:
    """Take a plan and ask people about it; gives what makes it no plan."""
    node = draft.plan.nodes[command.node]
    plan = command.plan
    if plan is None or node.gate is None:
        message = "the plan phase gave neither a plan nor an output"
        return Failure(code=Code.INVALID_OUTPUT, message=message)
    if len(to_json(plan.to_data())) > MAX_INLINE_BYTES:
        message = f"the plan is larger than {MAX_INLINE_BYTES // 1024} KiB"
        return Failure(code=Code.OUTPUT_TOO_LARGE, message=message)
    odd = next(uncanonical({"effect": plan.effect, "base": plan.base}), None)
    if odd is not None:
        message = f"the plan has no digest: {odd[0]}: {odd[1]}"
        return Failure(code=Code.INVALID_OUTPUT, message=message)
    try:
        binding = bind(proposal_of(draft.state, node, plan))
    except ValueError as error:
        return Failure(code=Code.INVALID_INPUTS, message=f"the input has no digest: {error}")
    draft.add(
        PlanMade(
            node=command.node,
            attempt=command.attempt,
            plan=plan,
            binding=binding,
            executor=command.executor,
            usage=command.usage,
            artifacts=command.artifacts,
        )
    )
    draft.open_gate(node, node.gate, command.attempt, binding)
    return None


def apply_decision(state: RunState, command: ApplyDecision, context: Context) -> Outcome:
    """Go on as the approval service says; each approval is decided once."""
    node = state.nodes.get(command.node)
    if node is None or node.status is not NodeStatus.GATED:
        return Stale(Code.STALE)
    if node.approval_id != command.approval_id:
        return Stale(Code.STALE)
    draft = Draft(state, context)
    plan_node, attempt = draft.plan.nodes[command.node], node.reviewed.gate_attempt
    match command.verdict:
        case Verdict.APPROVED:
            draft.add(
                GatePassed(
                    node=command.node,
                    attempt=attempt,
                    approval_id=command.approval_id,
                    by=command.by,
                    reason=command.reason,
                    answers=command.answers,
                    grant=command.grant,
                )
            )
            draft.pass_gate(plan_node, command)
            draft.advance(plan_node.dependents)
        case Verdict.PUSHED_BACK:
            _push_back(draft, plan_node, node, command)
        case Verdict.REJECTED | Verdict.EXPIRED:
            draft.fail_node(command.node, attempt, _denial(command))
            draft.advance(plan_node.dependents)
    return draft.decision()


def _push_back(draft: Draft, plan_node: PlanNode, node: NodeState, command: ApplyDecision) -> None:
    to = command.to or plan_node.name
    if to not in targets_of(plan_node, node):
        raise BrokenInvariant(f"the gate of {plan_node.name} cannot send {to} back to work")
    draft.add(
        GatePushedBack(
            node=plan_node.name,
            attempt=node.reviewed.gate_attempt,
            approval_id=command.approval_id,
            to=to,
            by=command.by,
            feedback=command.reason,
            reset=plan_node.resets[to],
        )
    )
    draft.advance((to,))


def _denial(command: ApplyDecision) -> Failure:
    if command.verdict is Verdict.EXPIRED:
        return Failure(code=Code.EXPIRED, message="nobody decided before the approval expired")
    because = f": {command.reason}" if command.reason else ""
    return Failure(code=Code.DENIED, message=f"rejected by {command.by}{because}")
