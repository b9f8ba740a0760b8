"""A run as a story: start it, answer for its executors and approvers, let time pass."""

from __future__ import annotations

from typing import Self

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.grant.v1 import SignedGrant
from penstock_contracts.ids import approval_id, derive, run_id, task_id
from penstock_contracts.run.v1 import (
    ApplyDecision,
    CancelRun,
    ClaimTask,
    ConfirmArtifacts,
    FireTimers,
    ReportResult,
    ReportStarted,
    RestoreArtifact,
    SettleOutcome,
    StartRun,
    Verdict,
)
from penstock_contracts.task.v1 import Outcome, PlannedChange
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, Failure, JsonObject, Phase
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import NodeState, RunState
from penstock_testkit.builders.workflows import plan_of
from penstock_testkit.given import Story

TRIGGER = "trigger-1"
PLAN = PlannedChange(
    effect={"write": "v2"}, base={"etag": "v1"}, summary="v1 becomes v2"
)  # fmt: skip
ARTIFACT = Artifact(
    name="report.sarif", digest=f"sha256:{'5a' * 32}", size=70_000, media_type="application/json"
)
GRANT = SignedGrant(payload="{}", signature="c2lnbmVk", key_id="key-1")  # deciders hand it on
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
        plan: PlannedChange | None = None,
        artifacts: tuple[Artifact, ...] = (),
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
            output=None if error or plan else (output or {}),
            plan=plan,
            error=error,
            artifacts=artifacts,
        )

    def confirmation_of(
        self, node: str, attempt: int = 1, *, lost: str = "", phase: Phase = Phase.RUN
    ) -> ConfirmArtifacts:
        """Give the word of whoever makes artifacts durable."""
        return ConfirmArtifacts(
            run_id=self.run_id, node=node, attempt=attempt, phase=phase, lost=lost
        )

    def restoration_of(self, digest: str) -> RestoreArtifact:
        """Give the question of somebody who misses an artifact."""
        return RestoreArtifact(run_id=self.run_id, digest=digest)

    def claim_of(
        self, node: str, attempt: int = 1, nonce: str = "nonce-1", phase: Phase = Phase.RUN
    ) -> ClaimTask:
        """Give a claim."""
        task = task_id(self.run_id, node, attempt, phase)
        return ClaimTask(
            task_id=task, node=node, attempt=attempt, executor="executor-1", nonce=nonce,
            token=CODE,
        )  # fmt: skip

    def started_of(self, node: str, attempt: int = 1, phase: Phase = Phase.RUN) -> ReportStarted:
        """Give the word that a task still runs."""
        task = task_id(self.run_id, node, attempt, phase)
        return ReportStarted(
            task_id=task, node=node, attempt=attempt, executor="executor-1", token=CODE
        )

    def verdict_of(
        self,
        node: str,
        verdict: Verdict,
        reason: str = "",
        *,
        attempt: int = 1,
        to: str | None = None,
        answers: JsonObject | None = None,
    ) -> ApplyDecision:
        """Give the approval service's answer."""
        return ApplyDecision(
            approval_id=approval_id(self.run_id, node, attempt),
            node=node, attempt=attempt, verdict=verdict, by="user:bob", reason=reason, to=to,
            answers=answers or {}, grant=GRANT if verdict is Verdict.APPROVED else None,
        )  # fmt: skip

    def settlement_of(
        self, node: str, attempt: int = 1, *, happened: bool, output: JsonObject | None = None
    ) -> SettleOutcome:
        """Give an operator's word on an unknown outcome."""
        return SettleOutcome(
            run_id=self.run_id, node=node, attempt=attempt, happened=happened,
            reason="looked it up", output=output or {},
        )  # fmt: skip

    # --- when ---------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the run."""
        return self.when(self.start_command)

    def succeed(self, node: str, attempt: int = 1, **output: object) -> Self:
        """Report success."""
        return self.when(self.result(node, attempt, output=dict(output)))  # type: ignore[arg-type]

    def leave(self, node: str, attempt: int = 1, *artifacts: Artifact, **output: object) -> Self:
        """Report a success that names artifacts."""
        given = artifacts or (ARTIFACT,)
        return self.when(
            self.result(node, attempt, output=dict(output), artifacts=given)  # type: ignore[arg-type]
        )

    def confirm(self, node: str, attempt: int = 1, *, lost: str = "") -> Self:
        """Say that its artifacts are durable, or why they are lost."""
        return self.when(self.confirmation_of(node, attempt, lost=lost))

    def fail(
        self, node: str, attempt: int = 1, *, code: str = "agent_failed", again: bool = False
    ) -> Self:
        """Report failure."""
        error = Failure(code=code, message=f"{node} broke", retryable=again)
        return self.when(self.result(node, attempt, error=error))

    def claim(
        self, node: str, attempt: int = 1, nonce: str = "nonce-1", phase: Phase = Phase.RUN
    ) -> Self:
        """Claim a `once` task."""
        return self.when(self.claim_of(node, attempt, nonce, phase))

    def plans(self, node: str, attempt: int = 1, plan: PlannedChange = PLAN) -> Self:
        """Report a plan."""
        return self.when(self.result(node, attempt, phase=Phase.PLAN, plan=plan))

    def applies(
        self,
        node: str,
        attempt: int = 1,
        *,
        error: Failure | None = None,
        nonce: str = "nonce-1",
    ) -> Self:
        """Report how a claimed apply ended."""
        return self.when(self.result(node, attempt, phase=Phase.APPLY, nonce=nonce, error=error))

    def approve(self, node: str, attempt: int = 1, answers: JsonObject | None = None) -> Self:
        """Approve a gate."""
        verdict = self.verdict_of(
            node, Verdict.APPROVED, "fine", attempt=attempt, answers=answers
        )  # fmt: skip
        return self.when(verdict)

    def push_back(
        self, node: str, attempt: int = 1, feedback: str = "smaller", to: str | None = None
    ) -> Self:
        """Send a node back to work from a gate."""
        return self.when(
            self.verdict_of(node, Verdict.PUSHED_BACK, feedback, attempt=attempt, to=to or node)
        )

    def settle(self, node: str, attempt: int = 1, *, happened: bool) -> Self:
        """Say whether an effect happened."""
        return self.when(self.settlement_of(node, attempt, happened=happened))

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
