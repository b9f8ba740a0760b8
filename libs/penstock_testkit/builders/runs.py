"""A run as a story: start it, answer for its executors and approvers, let time pass."""

from __future__ import annotations

from typing import Self

from penstock_contracts.ids import approval_id, derive, run_id, task_id
from penstock_contracts.run.v1 import (
    ApplyDecision,
    CancelRun,
    ClaimTask,
    FireTimers,
    ReportResult,
    ReportStarted,
    StartRun,
    Verdict,
)
from penstock_contracts.task.v1 import Outcome
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, Failure, JsonObject, Phase
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import NodeState, RunState
from penstock_testkit.builders.workflows import plan_of
from penstock_testkit.given import Story

TRIGGER = "trigger-1"
CODE = "code"  # deciders believe every code: it is checked before them


class RunStory(Story[RunState]):
    """A run of one document."""

    def __init__(self, document: JsonObject, inputs: JsonObject | None = None) -> None:
        """Prepare the run; nothing has been decided."""
        name = str(document["name"])
        self.run_id = run_id(DEFAULT_TENANT, name, TRIGGER)
        self.plan = plan_of(document)
        super().__init__(RunDecider(), RunState(self.run_id, plan=self.plan))
        self.start_command = StartRun(
            run_id=self.run_id,
            tenant=DEFAULT_TENANT,
            workflow=name,
            definition_digest=self.plan.digest,
            agents=dict(self.plan.agents),
            trigger_id=TRIGGER,
            trigger_aggregate=derive("trigger", TRIGGER),
            partition="run-0",
            inputs=inputs or {},
            requested_by="user:ann",
        )

    # --- what others send ---------------------------------------------------------------------

    def result(
        self,
        node: str,
        attempt: int = 1,
        *,
        output: JsonObject | None = None,
        error: Failure | None = None,
        nonce: str | None = None,
        phase: Phase = Phase.RUN,
    ) -> ReportResult:
        """Give an executor's last word."""
        return ReportResult(
            task_id=task_id(self.run_id, node, attempt, phase),
            node=node,
            attempt=attempt,
            phase=phase,
            executor="executor-1",
            token=CODE,
            nonce=nonce,
            outcome=Outcome.FAILED if error else Outcome.SUCCEEDED,
            output=None if error else (output or {}),
            error=error,
        )

    def claim_of(self, node: str, attempt: int = 1, nonce: str = "nonce-1") -> ClaimTask:
        """Give a claim."""
        task = task_id(self.run_id, node, attempt, Phase.RUN)
        return ClaimTask(
            task_id=task, node=node, attempt=attempt, executor="executor-1", nonce=nonce,
            token=CODE,
        )  # fmt: skip

    def started_of(self, node: str, attempt: int = 1) -> ReportStarted:
        """Give the word that a task still runs."""
        task = task_id(self.run_id, node, attempt, Phase.RUN)
        return ReportStarted(
            task_id=task, node=node, attempt=attempt, executor="executor-1", token=CODE
        )

    def verdict_of(self, node: str, verdict: Verdict, reason: str = "") -> ApplyDecision:
        """Give the approval service's answer."""
        return ApplyDecision(
            approval_id=approval_id(self.run_id, node, 1),
            node=node, attempt=1, verdict=verdict, by="user:bob", reason=reason,
        )  # fmt: skip

    # --- when ---------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the run."""
        return self.when(self.start_command)

    def succeed(self, node: str, attempt: int = 1, **output: object) -> Self:
        """Report success."""
        return self.when(self.result(node, attempt, output=dict(output)))  # type: ignore[arg-type]

    def fail(
        self, node: str, attempt: int = 1, *, code: str = "agent_failed", again: bool = False
    ) -> Self:
        """Report failure."""
        error = Failure(code=code, message=f"{node} broke", retryable=again)
        return self.when(self.result(node, attempt, error=error))

    def claim(self, node: str, attempt: int = 1, nonce: str = "nonce-1") -> Self:
        """Claim a `once` task."""
        return self.when(self.claim_of(node, attempt, nonce))

    def approve(self, node: str) -> Self:
        """Approve a gate."""
        return self.when(self.verdict_of(node, Verdict.APPROVED, "fine"))

    def cancel(self, command_id: str | None = None) -> Self:
        """Cancel the run."""
        return self.when(CancelRun(run_id=self.run_id, reason="enough"), command_id)

    def timers(self, seconds: float = 0.0) -> Self:
        """Let time pass and act on everything that falls due meanwhile."""
        return self.fires(FireTimers(), self.now_us + int(seconds * MICROSECONDS))

    # --- then ---------------------------------------------------------------------------------

    def node(self, name: str) -> NodeState:
        """Give a node as it stands."""
        return self.state.nodes[name]

    def statuses(self) -> dict[str, str]:
        """Give where all nodes stand."""
        return {name: node.status.value for name, node in self.state.nodes.items()}
