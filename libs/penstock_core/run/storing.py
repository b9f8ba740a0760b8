"""Results that name artifacts: kept until these are durable, and settled then."""

from penstock_contracts.codes import Code
from penstock_contracts.ids import task_id
from penstock_contracts.run.v1 import (
    AttemptFailed,
    ConfirmArtifacts,
    ReportResult,
    RestoreArtifact,
    TaskResultReceived,
)
from penstock_contracts.task.v1 import Outcome as TaskOutcome
from penstock_contracts.values import Failure, Phase
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Stale
from penstock_core.effects import BringBack
from penstock_core.run.attempts import conclude
from penstock_core.run.draft import Draft
from penstock_core.run.retry import retry_wait_us
from penstock_core.run.state import LOSSES_MAX, NodeState, NodeStatus, RunState


def confirm(state: RunState, command: ConfirmArtifacts, context: Context) -> Outcome:
    """Settle what was received, once somebody has it safe; or begin again where it was lost."""
    node = state.nodes.get(command.node)
    if node is None or node.received is None or node.status is not NodeStatus.STORING:
        return Stale(Code.STALE)
    if (node.attempt, node.phase) != (command.attempt, command.phase):
        return Stale(Code.STALE)
    draft = Draft(state, context)
    if command.lost:
        lose(draft, command.node, command.lost)
    else:
        conclude(draft, _said(state, node.received, node.phase))
    return draft.decision()


def lose(draft: Draft, name: str, why: str) -> None:
    """Give up what an attempt has left: a task that may run again does, without costing a retry.

    One that may not has had its effect, and only what it left is missing: the node fails.
    """
    node, plan_node = draft.state.nodes[name], draft.plan.nodes[name]
    received = node.received
    if received is None:
        raise BrokenInvariant(f"node {name} has no result whose artifacts could be lost")
    repeats = plan_node.repeats or node.phase is Phase.PLAN
    if repeats and node.losses < LOSSES_MAX:
        wait = retry_wait_us(
            plan_node.retry, draft.state.run_id, name, node.attempt, node.losses + 1
        )
        draft.add(
            AttemptFailed(
                node=name,
                attempt=node.attempt,
                error=Failure(code=Code.ARTIFACT_LOST, message=why, retryable=True),
                retry_at_us=draft.context.now_us + wait,
                usage=received.usage,
            )
        )
        return
    happened = "" if repeats else "; the task itself has succeeded and is not repeated"
    error = Failure(code=Code.ARTIFACT_LOST, message=f"{why}{happened}")
    draft.fail_node(name, node.attempt, error, received.usage)
    draft.advance(plan_node.dependents)


def restore(state: RunState, command: RestoreArtifact) -> Outcome:
    """Have an artifact put back that the run names; it is not told of any other."""
    if any(_names(node, command.digest) for node in state.nodes.values()):
        return Decision(replies=(BringBack(state.tenant, command.digest),))
    return Stale(Code.STALE)


def _names(node: NodeState, digest: str) -> bool:
    return any(artifact.digest == digest for artifact in node.artifacts)


def _said(state: RunState, received: TaskResultReceived, phase: Phase) -> ReportResult:
    """Give the result as it was reported; its code has been checked when it came."""
    return ReportResult(
        task_id=task_id(state.run_id, received.node, received.attempt, phase),
        node=received.node,
        attempt=received.attempt,
        phase=phase,
        executor=received.executor,
        token="",
        outcome=TaskOutcome.SUCCEEDED,
        output=received.output,
        plan=received.plan,
        usage=received.usage,
        artifacts=received.artifacts,
    )
