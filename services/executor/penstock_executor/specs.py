"""What a task's sandbox is told: its input document, its environment, its bounds."""

from dataclasses import replace

from pydantic_core import to_json

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import JsonObject, Phase
from penstock_executor.intake import Delivery
from penstock_runtime.ports.sandbox import Limits

_KB = 1024
_MB = 1024 * 1024


def document_of(task: TaskMessage, shown: JsonObject) -> bytes:
    """Give the input document: of an `apply` the input and the approved plan's own bytes.

    Args:
        task: whose plan it is.
        shown: the input, with workspaces at the places where the agent sees them.
    """
    if task.phase is not Phase.APPLY or task.plan is None:
        return to_json(shown)
    plan = {"effect": task.plan.effect, "base": task.plan.base}
    return to_json({"input": shown, "plan": plan})


def limits_of(manifest: AgentManifest) -> Limits:
    """Give the bounds that a manifest asks for."""
    limits = manifest.limits
    return Limits(
        memory_bytes=limits.memory_mb * _MB,
        processes=limits.processes,
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        output_bytes=limits.output_kb * _KB,
        log_bytes=limits.log_kb * _KB,
        disk_bytes=limits.disk_mb * _MB,
        artifacts_bytes=limits.artifacts_mb * _MB,
    )


def within(limits: Limits, wall_s: float) -> Limits:
    """Apply the task's own time, which may be shorter than the manifest's."""
    return limits if wall_s >= limits.wall_s else replace(limits, wall_s=wall_s)


def environment_of(delivery: Delivery, *, granted: bool, memoised: bool = False) -> dict[str, str]:
    """Give the environment.

    Args:
        delivery: the task and where it came from.
        granted: the task runs under a grant. Feedback is then left out: the approval covers
            all that such a task is told, and does not cover feedback, which is for planning.
        memoised: the agent's results are kept for equal tasks. Whatever tells one task from
            another is then left out, since a result could depend on it.
    """
    task = delivery.task
    env = {"PENSTOCK_PHASE": task.phase.value}
    if task.feedback and not granted:
        env["PENSTOCK_FEEDBACK"] = task.feedback.replace("\0", "")  # no variable can hold it
    if memoised:
        return env
    env |= {
        "PENSTOCK_TASK_ID": task.task_id,
        "PENSTOCK_RUN_ID": task.run_id,
        "PENSTOCK_WORKFLOW": task.workflow,
        "PENSTOCK_NODE": task.node,
        "PENSTOCK_ATTEMPT": str(task.attempt),
        "PENSTOCK_IDEMPOTENCY_KEY": task.idempotency_key,
    }
    if delivery.traceparent is not None:
        env["TRACEPARENT"] = delivery.traceparent
    return env
