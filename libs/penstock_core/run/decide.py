"""Decide on a command to a run."""

from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.run.v1 import (
    ApplyDecision,
    AttemptFailed,
    CancelRun,
    ClaimTask,
    FireTimers,
    GatePassed,
    NodeSucceeded,
    ReportResult,
    ReportStarted,
    RunCancelled,
    RunCause,
    RunStarted,
    StartRun,
    TaskStarted,
    Verdict,
)
from penstock_contracts.task.v1 import Outcome as TaskOutcome
from penstock_contracts.values import MICROSECONDS, Failure, Wire
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.run.draft import Draft
from penstock_core.run.effects import claim_answer, confirm_start
from penstock_core.run.retry import retry_wait_us
from penstock_core.run.state import ENDED, NodeState, NodeStatus, RunState, RunStatus
from penstock_core.workflow.plan import PlanNode

_IN_FLIGHT = (NodeStatus.QUEUED, NodeStatus.RUNNING)


def decide(state: RunState, command: Wire, context: Context) -> Outcome:
    """Answer a command to a run.

    Raises:
        BrokenInvariant: the command is of another kind.
    """
    if isinstance(command, StartRun):
        return _start(state, command, context)
    if state.status is RunStatus.ABSENT:
        if isinstance(command, CancelRun):
            return Rejection(Code.UNKNOWN_RUN, f"there is no run {state.run_id}")
        return Stale(Code.UNKNOWN_RUN)
    match command:
        case ClaimTask():
            return _claim(state, command, context)
        case ReportStarted():
            return _report_started(state, command)
        case ReportResult():
            return _report_result(state, command, context)
        case ApplyDecision():
            return _apply_decision(state, command, context)
        case CancelRun():
            return _cancel(state, command, context)
        case FireTimers():
            return fire_timers(state, context)
        case _:
            raise BrokenInvariant(f"{type(command).__name__} is no command to a run")


def _start(state: RunState, command: StartRun, context: Context) -> Outcome:
    if state.status is not RunStatus.ABSENT:
        return Stale(Code.STALE, (confirm_start(state),))
    draft = Draft(state, context)
    plan = draft.plan
    draft.add(
        RunStarted(
            tenant=command.tenant,
            workflow=command.workflow,
            definition_digest=command.definition_digest,
            agents=command.agents,
            trigger_id=command.trigger_id,
            trigger_aggregate=command.trigger_aggregate,
            partition=command.partition,
            inputs=command.inputs,
            requested_by=command.requested_by,
            traceparent=command.traceparent,
            started_us=context.now_us,
            ends_by_us=context.now_us + int(plan.timeout_s * MICROSECONDS),
        )
    )
    draft.advance(tuple(name for name in plan.order if not plan.nodes[name].needs))
    return draft.decision()


def _current(state: RunState, name: str, attempt: int) -> NodeState | None:
    """Give the node if it is in flight in just this attempt."""
    node = state.nodes.get(name)
    if node is None or node.attempt != attempt or node.status not in _IN_FLIGHT:
        return None
    return node


def _claim(state: RunState, command: ClaimTask, context: Context) -> Outcome:
    node = _current(state, command.node, command.attempt)
    if node is not None and node.nonce == command.nonce:
        return Stale(Code.STALE, (claim_answer(state, command, granted=True),))
    refused = Stale(Code.CLAIMED, (claim_answer(state, command, granted=False),))
    if node is None or node.status is not NodeStatus.QUEUED:
        return refused
    if node.ends_by_us is not None and context.now_us >= node.ends_by_us:
        return refused
    plan_node = _plan_node(state, command.node)
    running_until = context.now_us + int(plan_node.running_s * MICROSECONDS)
    started = TaskStarted(
        node=command.node,
        attempt=command.attempt,
        executor=command.executor,
        nonce=command.nonce,
        running_until_us=running_until,
    )
    return Decision((started,))


def _plan_node(state: RunState, name: str) -> PlanNode:
    if state.plan is None:
        raise BrokenInvariant(f"run {state.run_id} has no plan")
    return state.plan.nodes[name]


def _report_started(state: RunState, command: ReportStarted) -> Outcome:
    node = _current(state, command.node, command.attempt)
    if node is None or node.status is not NodeStatus.QUEUED:
        return Stale(Code.STALE)
    if not _plan_node(state, command.node).repeats:
        return Stale(Code.CLAIMED)
    started = TaskStarted(node=command.node, attempt=command.attempt, executor=command.executor)
    return Decision((started,))


def _report_result(state: RunState, command: ReportResult, context: Context) -> Outcome:
    node = _current(state, command.node, command.attempt)
    if node is None or node.phase is not command.phase:
        return Stale(Code.STALE)
    if node.nonce is not None and node.nonce != command.nonce:
        return Stale(Code.CLAIMED)
    plan_node = _plan_node(state, command.node)
    draft = Draft(state, context)
    if command.outcome is TaskOutcome.SUCCEEDED:
        if not plan_node.repeats and node.nonce is None:
            return Stale(Code.CLAIMED)
        if len(to_json(command.output or {})) > MAX_INLINE_BYTES:
            _end_attempt(draft, command.node, _too_large(), command)
            return draft.decision()
        draft.add(
            NodeSucceeded(
                node=command.node,
                attempt=command.attempt,
                output=command.output or {},
                executor=command.executor,
                usage=command.usage,
            )
        )
        draft.advance(plan_node.dependents)
    else:
        error = command.error or Failure(code=Code.AGENT_CRASHED, message="no reason was given")
        _end_attempt(draft, command.node, error, command)
    return draft.decision()


def _too_large() -> Failure:
    limit = f"the output is larger than {MAX_INLINE_BYTES // 1024} KiB"
    return Failure(code=Code.OUTPUT_TOO_LARGE, message=limit)


def _end_attempt(
    draft: Draft, name: str, error: Failure, report: ReportResult | None = None
) -> None:
    """Settle the attempt in flight: another follows, or the node fails."""
    node, plan_node = draft.state.nodes[name], _plan_node(draft.state, name)
    claimed = node.nonce is not None
    may_repeat = error.retryable and (not claimed or error.code == Code.AGENT_FAILED)
    extra = {} if report is None else {"usage": report.usage}
    if may_repeat and node.attempt < plan_node.retry.attempts:
        wait = retry_wait_us(plan_node.retry, draft.state.run_id, name, node.attempt)
        at = draft.context.now_us + wait
        draft.add(
            AttemptFailed(node=name, attempt=node.attempt, error=error, retry_at_us=at, **extra)
        )
        return
    draft.fail_node(name, node.attempt, error, **extra)
    draft.advance(plan_node.dependents)


def _apply_decision(state: RunState, command: ApplyDecision, context: Context) -> Outcome:
    node = state.nodes.get(command.node)
    if node is None or node.status is not NodeStatus.GATED:
        return Stale(Code.STALE)
    if node.approval_id != command.approval_id:
        return Stale(Code.STALE)
    plan_node = _plan_node(state, command.node)
    draft = Draft(state, context)
    if command.verdict is Verdict.APPROVED:
        draft.add(
            GatePassed(
                node=command.node,
                attempt=command.attempt,
                approval_id=command.approval_id,
                by=command.by,
                reason=command.reason,
            )
        )
        draft.pass_gate(plan_node, command.by, command.reason)
    else:
        draft.fail_node(command.node, command.attempt, _denial(command))
    draft.advance(plan_node.dependents)
    return draft.decision()


def _denial(command: ApplyDecision) -> Failure:
    if command.verdict is Verdict.EXPIRED:
        return Failure(code=Code.EXPIRED, message="nobody decided before the approval expired")
    because = f": {command.reason}" if command.reason else ""
    return Failure(code=Code.DENIED, message=f"rejected by {command.by}{because}")


def _cancel(state: RunState, command: CancelRun, context: Context) -> Outcome:
    if context.command_id in state.rejected:
        return Stale(Code.STALE)
    if state.status in ENDED:
        return Rejection(Code.ALREADY_ENDED, f"the run has ended already: {state.status}")
    event = RunCancelled(by=context.actor, reason=command.reason, ended_us=context.now_us)
    return Decision((event,))


def fire_timers(state: RunState, context: Context) -> Outcome:
    """Act on every due time of the run that is not later than now."""
    if state.status is not RunStatus.RUNNING:
        return Stale(Code.STALE)
    now = context.now_us
    draft = Draft(state, context)
    if state.ends_by_us <= now:
        failure = Failure(code=Code.TIMEOUT_RUN, message="the run's time is over")
        draft.fail_run(RunCause(error=failure))
        return draft.decision()
    for name, node in sorted(state.nodes.items()):
        due = node.due_us
        if due is None or due > now or draft.state.status is not RunStatus.RUNNING:
            continue
        if node.status is NodeStatus.RETRYING:
            draft.schedule(_plan_node(state, name))
            draft.advance(_plan_node(state, name).dependents)
        else:
            _end_attempt(draft, name, _timeout(node, now))
    return draft.decision()


def _timeout(node: NodeState, now_us: int) -> Failure:
    """Say which of the attempt's times is over; after a claim nobody knows what happened."""
    if node.nonce is not None:
        message = f"no result from {node.executor} after its claim; the effect may have happened"
        return Failure(code=Code.UNKNOWN_OUTCOME, message=message)
    over_in_all = node.ends_by_us is not None and node.ends_by_us <= now_us
    if over_in_all:
        message = "the attempt's total time is over"
        return Failure(code=Code.TIMEOUT_TOTAL, message=message, retryable=True)
    message = "no executor took the task in time"
    return Failure(code=Code.TIMEOUT_QUEUED, message=message, retryable=True)
