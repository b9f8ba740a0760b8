"""Decide on a command to a run."""

from collections.abc import Sequence

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import (
    ApplyDecision,
    CancelRun,
    ClaimTask,
    ConfirmArtifacts,
    FireTimers,
    RecoverRun,
    ReportResult,
    ReportStarted,
    RestoreArtifact,
    RunCancelled,
    RunCause,
    RunRecovered,
    RunStarted,
    SettleOutcome,
    StartRun,
)
from penstock_contracts.values import MICROSECONDS, Failure, Wire
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.run.attempts import claim, end_attempt, report_result, report_started, settle
from penstock_core.run.draft import Draft, is_acting
from penstock_core.run.effects import confirm_start
from penstock_core.run.evolve import once_nodes
from penstock_core.run.gates import apply_decision
from penstock_core.run.state import ENDED, NodeState, NodeStatus, RunState, RunStatus
from penstock_core.run.storing import confirm, lose, restore


def decide(state: RunState, command: Wire, context: Context) -> Outcome:
    """Answer a command to a run.

    Raises:
        BrokenInvariant: the command is of another kind.
    """
    if isinstance(command, StartRun):
        return _start(state, command, context)
    if isinstance(command, FireTimers):
        return fire_timers(state, context)
    if isinstance(command, RecoverRun):
        return _recover(state, context)
    if state.status is RunStatus.ABSENT or context.tenant != state.tenant:
        if isinstance(command, CancelRun | SettleOutcome):
            return Rejection(Code.UNKNOWN_RUN, f"there is no run {state.run_id}")
        return Stale(Code.UNKNOWN_RUN)
    match command:
        case ClaimTask():
            return claim(state, command, context)
        case ReportStarted():
            return report_started(state, command)
        case ReportResult():
            return report_result(state, command, context)
        case ConfirmArtifacts():
            return confirm(state, command, context)
        case RestoreArtifact():
            return restore(state, command)
        case ApplyDecision():
            return apply_decision(state, command, context)
        case CancelRun():
            return _cancel(state, command, context)
        case SettleOutcome():
            return settle(state, command, context)
        case _:
            raise BrokenInvariant(f"{type(command).__name__} is no command to a run")


def _start(state: RunState, command: StartRun, context: Context) -> Outcome:
    if command.tenant != context.tenant:
        return Stale(Code.UNKNOWN_RUN)
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
            doubtful=context.library.has_lost(state.run_id, command.matched_us),
        )
    )
    draft.advance(tuple(name for name in plan.order if not plan.nodes[name].needs))
    return draft.decision()


def once_in_flight(state: RunState) -> Sequence[str]:
    """Name the nodes that may be acting at this moment, and may not act twice."""
    if state.status is not RunStatus.RUNNING:
        return ()
    return [name for name in sorted(once_nodes(state)) if is_acting(state.nodes[name])]


def _recover(state: RunState, context: Context) -> Outcome:
    """Doubt whatever `once` agents may have done in what the store has lost."""
    if state.status is not RunStatus.RUNNING:
        return Stale(Code.STALE)
    in_flight = once_in_flight(state)
    if state.doubts == once_nodes(state) and not in_flight:
        return Stale(Code.STALE)
    draft = Draft(state, context)
    draft.add(RunRecovered(by=context.actor, recovered_us=context.now_us))
    for name in in_flight:
        draft.doubt(name)
    return draft.decision()


def _cancel(state: RunState, command: CancelRun, context: Context) -> Outcome:
    if context.command_id in state.rejected:
        return Stale(Code.STALE)
    if state.status in ENDED:
        return Rejection(Code.ALREADY_ENDED, f"the run has ended already: {state.status}")
    event = RunCancelled(by=context.actor, reason=command.reason, ended_us=context.now_us)
    return Decision((event,))


def fire_timers(state: RunState, context: Context) -> Outcome:
    """Act on every due time of the run that is not later than now."""
    if state.status is RunStatus.ABSENT:
        return Stale(Code.UNKNOWN_RUN)
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
            draft.schedule(draft.plan.nodes[name])
            draft.advance(draft.plan.nodes[name].dependents)
        elif node.status is NodeStatus.STORING:
            lose(draft, name, "nobody has said in time that its artifacts are durable")
        else:
            end_attempt(draft, name, _timeout(node, now))
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
