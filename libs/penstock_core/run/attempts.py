"""Attempts: claims, what executors say of them, and what a person says who has looked."""

from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.ids import task_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    ClaimTask,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    ReportResult,
    ReportStarted,
    SettleOutcome,
    TaskResultReceived,
    TaskStarted,
)
from penstock_contracts.task.v1 import Outcome as TaskOutcome
from penstock_contracts.values import MICROSECONDS, Failure, JsonObject, Phase
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.run.draft import Draft
from penstock_core.run.effects import claim_answer
from penstock_core.run.gates import planned
from penstock_core.run.retry import retry_wait_us
from penstock_core.run.state import NodeState, NodeStatus, RunState, RunStatus
from penstock_core.workflow.plan import PlanNode

_IN_FLIGHT = (NodeStatus.QUEUED, NodeStatus.RUNNING)
_AWAITED = (*_IN_FLIGHT, NodeStatus.UNKNOWN)
_DID_NOT_HAPPEN = frozenset(
    {Code.AGENT_FAILED, Code.BASE_CHANGED, Code.EFFECT_DIFFERS, Code.DID_NOT_HAPPEN}
)
"""Failures of a claimed attempt of which it is known that nothing happened: again is safe."""

LAST_WORD_S = 4.0
"""Seconds beyond a claimed attempt's running time in which its executor, which ends the program
(with 2 s of grace), may still say how it ended; silence longer than that is an unknown outcome."""


def _current(
    state: RunState,
    name: str,
    attempt: int,
    statuses: tuple[NodeStatus, ...] = _IN_FLIGHT,
) -> NodeState | None:
    """Give the node if an answer to just this attempt is awaited."""
    node = state.nodes.get(name)
    if node is None or node.attempt != attempt or node.status not in statuses:
        return None
    return node


def _is_of(state: RunState, node: NodeState, command: ClaimTask | ReportStarted) -> bool:
    """Tell whether a command is about the phase that the attempt is in now."""
    return command.task_id == task_id(state.run_id, command.node, node.attempt, node.phase)


def _plan_node(state: RunState, name: str) -> PlanNode:
    if state.plan is None:
        raise BrokenInvariant(f"run {state.run_id} has no plan")
    return state.plan.nodes[name]


def claim(state: RunState, command: ClaimTask, context: Context) -> Outcome:
    """Give the right to begin to one nonce; answer the same one again and refuse every other."""
    node = _current(state, command.node, command.attempt)
    if node is not None and node.nonce == command.nonce:
        return Stale(Code.STALE, (claim_answer(state, command, granted=True),))
    refused = Stale(Code.CLAIMED, (claim_answer(state, command, granted=False),))
    if node is None or node.status is not NodeStatus.QUEUED or not _is_of(state, node, command):
        return refused
    if node.phase is Phase.PLAN:  # has no effect to claim
        return refused
    if node.ends_by_us is not None and context.now_us >= node.ends_by_us:
        return refused
    plan_node = _plan_node(state, command.node)
    running_until = context.now_us + int((plan_node.running_s + LAST_WORD_S) * MICROSECONDS)
    started = TaskStarted(
        node=command.node,
        attempt=command.attempt,
        executor=command.executor,
        nonce=command.nonce,
        running_until_us=running_until,
    )
    return Decision((started,))


def report_started(state: RunState, command: ReportStarted) -> Outcome:
    """Note that a task that may be repeated has begun."""
    node = _current(state, command.node, command.attempt)
    if node is None or node.status is not NodeStatus.QUEUED or not _is_of(state, node, command):
        return Stale(Code.STALE)
    if not _repeats(state, command.node, node):
        return Stale(Code.CLAIMED)
    started = TaskStarted(node=command.node, attempt=command.attempt, executor=command.executor)
    return Decision((started,))


def _repeats(state: RunState, name: str, node: NodeState) -> bool:
    """Tell whether what runs now may run again after a doubt: a plan has no side effects."""
    return _plan_node(state, name).repeats or node.phase is Phase.PLAN


def report_result(state: RunState, command: ReportResult, context: Context) -> Outcome:
    """Settle an attempt as its executor says; whoever claimed it may say so late."""
    node = _current(state, command.node, command.attempt, _AWAITED)
    if node is None or node.phase is not command.phase:
        return Stale(Code.STALE)
    if node.nonce is not None and node.nonce != command.nonce:
        return Stale(Code.CLAIMED)
    if node.nonce is None and node.status is NodeStatus.UNKNOWN and command.nonce is None:
        return Stale(Code.CLAIMED)  # the word of who has not claimed says nothing of who has
    draft = Draft(state, context)
    if command.outcome is not TaskOutcome.SUCCEEDED:
        error = command.error or Failure(code=Code.AGENT_CRASHED, message="no reason was given")
        if node.status is NodeStatus.UNKNOWN and error.code == Code.UNKNOWN_OUTCOME:
            return Stale(Code.STALE)
        end_attempt(draft, command.node, error, command)
        return draft.decision()
    lost = node.status is NodeStatus.UNKNOWN  # its claim was, if it has none: once it was granted
    if node.nonce is None and not lost and not _repeats(state, command.node, node):
        return Stale(Code.CLAIMED)
    if command.artifacts and state.status is RunStatus.RUNNING:
        _receive(draft, command)
    else:  # behind the end of the run nobody takes its artifacts any more
        conclude(draft, command.model_copy(update={"artifacts": ()}))
    return draft.decision()


def _receive(draft: Draft, command: ReportResult) -> None:
    """Keep a success until what it left is durable."""
    draft.add(
        TaskResultReceived(
            node=command.node,
            attempt=command.attempt,
            output=command.output,
            plan=command.plan,
            artifacts=command.artifacts,
            executor=command.executor,
            usage=command.usage,
            received_us=draft.context.now_us,
        )
    )


def conclude(draft: Draft, command: ReportResult) -> None:
    """Settle a success: the node has its output, or people are asked about its plan."""
    if command.phase is Phase.PLAN and command.output is None:
        fault = planned(draft, command)
    else:
        fault = _succeed(draft, command)
    if fault is not None:
        end_attempt(draft, command.node, fault, command)


def _succeed(draft: Draft, command: ReportResult) -> Failure | None:
    output = command.output or {}
    if is_too_large(output):
        return _too_large()
    draft.add(
        NodeSucceeded(
            node=command.node,
            attempt=command.attempt,
            output=output,
            executor=command.executor,
            usage=command.usage,
            artifacts=command.artifacts,
        )
    )
    draft.advance(draft.plan.nodes[command.node].dependents)
    return None


def end_attempt(
    draft: Draft, name: str, error: Failure, report: ReportResult | None = None
) -> None:
    """End the attempt in flight: another follows, the node fails, or nobody knows."""
    node, plan_node = draft.state.nodes[name], draft.plan.nodes[name]
    claimed = node.nonce is not None or node.status is NodeStatus.UNKNOWN
    if claimed and error.code == Code.UNKNOWN_OUTCOME:
        draft.add(OutcomeUnknown(node=name, attempt=node.attempt, error=error))
        return
    may_repeat = error.retryable and (not claimed or error.code in _DID_NOT_HAPPEN)
    goes_on = draft.state.status is RunStatus.RUNNING
    extra = {} if report is None else {"usage": report.usage}
    if may_repeat and goes_on and node.tries < plan_node.retry.attempts:
        wait = retry_wait_us(plan_node.retry, draft.state.run_id, name, node.attempt, node.tries)
        at = draft.context.now_us + wait
        draft.add(
            AttemptFailed(node=name, attempt=node.attempt, error=error, retry_at_us=at, **extra)
        )
        return
    draft.fail_node(name, node.attempt, error, **extra)
    draft.advance(plan_node.dependents)


def settle(state: RunState, command: SettleOutcome, context: Context) -> Outcome:
    """Take an operator's word on an attempt whose outcome nobody knows."""
    if context.command_id in state.rejected:
        return Stale(Code.STALE)
    node = _current(state, command.node, command.attempt, (NodeStatus.UNKNOWN,))
    if node is None:
        return Rejection(Code.NOT_UNKNOWN, _why_not_unknown(state, command))
    if _is_overtaken(state, command, context):
        return Stale(Code.STALE)
    if is_too_large(command.output):
        return Rejection(Code.TOO_LARGE, _too_large().message)
    draft = Draft(state, context)
    draft.add(
        OutcomeSettled(
            node=command.node,
            attempt=command.attempt,
            happened=command.happened,
            by=context.actor,
            reason=command.reason,
            output=command.output,
        )
    )
    if command.happened:
        draft.add(NodeSucceeded(node=command.node, attempt=command.attempt, output=command.output))
        draft.advance(draft.plan.nodes[command.node].dependents)
    else:
        message = f"{context.actor or 'an operator'} found that it did not happen: {command.reason}"
        failure = Failure(code=Code.DID_NOT_HAPPEN, message=message, retryable=True)
        end_attempt(draft, command.node, failure)
    return draft.decision()


def _is_overtaken(state: RunState, command: SettleOutcome, context: Context) -> bool:
    """Tell whether it was said before the store was put back that nothing had happened.

    That was true then, and what it allowed may have happened since, in what is forgotten.
    """
    doubted = command.node in state.doubts and context.library.was_lost(context.now_us)
    return doubted and not command.happened


def _why_not_unknown(state: RunState, command: SettleOutcome) -> str:
    node = state.nodes.get(command.node)
    if node is None:
        return f"the run has no node {command.node!r}"
    if node.attempt != command.attempt:
        return f"{command.node!r} is in attempt {node.attempt}, not {command.attempt}"
    return f"the outcome of {command.node!r} is known: it is {node.status}"


def is_too_large(value: JsonObject) -> bool:
    """Tell whether a value is over what a message may carry."""
    return len(to_json(value)) > MAX_INLINE_BYTES


def _too_large() -> Failure:
    limit = f"the output is larger than {MAX_INLINE_BYTES // 1024} KiB"
    return Failure(code=Code.OUTPUT_TOO_LARGE, message=limit)
