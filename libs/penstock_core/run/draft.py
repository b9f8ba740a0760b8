"""A decision in the making: each event is applied as it is added, so the next sees it."""

from collections import deque

from penstock_contracts.codes import Code
from penstock_contracts.grant.v1 import Binding
from penstock_contracts.ids import approval_id
from penstock_contracts.run.v1 import (
    ApplyDecision,
    GateOpened,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    OutcomeUnknown,
    RunCause,
    RunFailed,
    RunSucceeded,
    SkipReason,
    TaskScheduled,
)
from penstock_contracts.task.v1 import Usage
from penstock_contracts.values import MICROSECONDS, Failure, JsonObject, Phase, Wire
from penstock_contracts.workflow.v1 import Gate, OnFailure
from penstock_core.binding import bind
from penstock_core.decision import BrokenInvariant, Context, Decision
from penstock_core.run.approvals import proposal_of
from penstock_core.run.evolve import evolve
from penstock_core.run.scope import render_input, scope_of
from penstock_core.run.state import SETTLED, NodeState, NodeStatus, RunState, RunStatus
from penstock_core.workflow.conditions import ConditionError
from penstock_core.workflow.plan import Plan, PlanNode
from penstock_core.workflow.templating import TemplateError


def is_acting(node: NodeState) -> bool:
    """Tell whether an attempt is in flight that does more than plan."""
    return node.status in (NodeStatus.QUEUED, NodeStatus.RUNNING) and node.phase is not Phase.PLAN


class Draft:
    """Events so far and the state after them."""

    def __init__(self, state: RunState, context: Context) -> None:
        """Start from `state`."""
        self.state = state
        self.context = context
        self.events: list[Wire] = []
        self._states: list[RunState] = []

    @property
    def plan(self) -> Plan:
        """Give the plan of a run that has started."""
        if self.state.plan is None:
            raise BrokenInvariant(f"run {self.state.run_id} has no plan")
        return self.state.plan

    def add(self, event: Wire) -> None:
        """Append and apply an event."""
        self.state = evolve(self.state, event)
        self.events.append(event)
        self._states.append(self.state)

    def decision(self) -> Decision:
        """Give what was decided."""
        return Decision(tuple(self.events), states=tuple(self._states))

    def advance(self, names: tuple[str, ...]) -> None:
        """Move the nodes of `names` on, and whatever that makes ready, to the end of the run."""
        ready = deque(names)
        while ready and self.state.status is RunStatus.RUNNING:
            name = ready.popleft()
            node = self.state.nodes[name]
            if node.status is not NodeStatus.WAITING or node.pending:
                continue
            self._enter(self.plan.nodes[name])
            # Each node passes on once, when it settles: a ladder of diamonds has as many paths
            # as there are subsets of its rungs.
            if self.state.nodes[name].status in SETTLED:
                ready.extend(self.plan.nodes[name].dependents)
        if self.state.status is RunStatus.RUNNING and self.state.unsettled == 0:
            self._finish()

    def fail_node(
        self, name: str, attempt: int, error: Failure, usage: Usage | None = None
    ) -> None:
        """Settle a node as failed; the run fails with it unless the node says `continue`."""
        self.add(NodeFailed(node=name, attempt=attempt, error=error, usage=usage or Usage()))
        running = self.state.status is RunStatus.RUNNING  # an outcome may be settled after the end
        if running and self.plan.nodes[name].on_failure is OnFailure.FAIL:
            self.fail_run(RunCause(node=name, error=error))

    def fail_run(self, cause: RunCause) -> None:
        """End the run as failed."""
        self.add(RunFailed(cause=cause, ended_us=self.context.now_us))

    def schedule(self, node: PlanNode) -> None:
        """Put the next attempt of an agent's node on its queue, if its input can be rendered."""
        attempt = self.state.nodes[node.name].attempt + 1
        try:
            render_input(self.state, node)
        except TemplateError as error:
            failure = Failure(code=Code.TEMPLATE_FAILED, message=str(error))
            self.fail_node(node.name, attempt, failure)
            return
        self._queue(node, attempt, Phase.PLAN if node.plans else Phase.RUN)

    def _queue(self, node: PlanNode, attempt: int, phase: Phase) -> None:
        now = self.context.now_us
        queued = node.timeout.queued
        self.add(
            TaskScheduled(
                node=node.name,
                attempt=attempt,
                phase=phase,
                scheduled_us=now,
                queued_until_us=None if queued is None else now + int(queued * MICROSECONDS),
                ends_by_us=now + int(node.timeout.total * MICROSECONDS),
            )
        )
        if node.name in self.state.doubts and phase is not Phase.PLAN:
            self.doubt(node.name)

    def doubt(self, name: str) -> None:
        """Say of the attempt in flight that nobody knows what it has done."""
        message = "the store was put back since it may have been claimed; the effect may have "
        error = Failure(code=Code.UNKNOWN_OUTCOME, message=f"{message}happened")
        self.add(OutcomeUnknown(node=name, attempt=self.state.nodes[name].attempt, error=error))

    def _enter(self, node: PlanNode) -> None:
        if not self.state.nodes[node.name].approved:
            try:
                reason = self._why_not(node)
            except ConditionError as error:
                failure = Failure(code=Code.CONDITION_FAILED, message=str(error))
                self.fail_node(node.name, 0, failure)
                return
            if reason is not None:
                self.add(NodeSkipped(node=node.name, reason=reason))
                return
            if node.gate is not None and not node.plans:
                self._ask_first(node, node.gate)
                return
        if node.agent is not None:
            self.schedule(node)

    def _why_not(self, node: PlanNode) -> SkipReason | None:
        for parent in node.needs:
            settled = self.state.nodes[parent].status
            if settled is not NodeStatus.SUCCEEDED and parent not in node.when_reads_status:
                return SkipReason.UPSTREAM
        if node.when is None:
            return None
        names = tuple(name for name in node.when.names if name in self.state.nodes)
        if node.when.evaluate(scope_of(self.state, names)):
            return None
        return SkipReason.CONDITION

    def _ask_first(self, node: PlanNode, gate: Gate) -> None:
        """Open the gate in front of a node that does not plan."""
        try:
            proposal = proposal_of(self.state, node, feedback=self.state.feedback)
        except TemplateError as error:
            failure = Failure(code=Code.TEMPLATE_FAILED, message=str(error))
            self.fail_node(node.name, 0, failure)
            return
        try:
            binding = bind(proposal)
        except ValueError as error:
            failure = Failure(code=Code.INVALID_INPUTS, message=f"the input has no digest: {error}")
            self.fail_node(node.name, 0, failure)
            return
        self.open_gate(node, gate, self.state.nodes[node.name].attempt + 1, binding)

    def open_gate(self, node: PlanNode, gate: Gate, attempt: int, binding: Binding) -> None:
        """Ask people to decide on just what `binding` stands for."""
        now = self.context.now_us
        self.add(
            GateOpened(
                node=node.name,
                attempt=attempt,
                approval_id=approval_id(self.state.run_id, node.name, attempt),
                binding=binding,
                opened_us=now,
                expires_us=now + int(gate.expires * MICROSECONDS),
            )
        )

    def pass_gate(self, node: PlanNode, decision: ApplyDecision) -> None:
        """Go on behind a passed gate; a pure gate is done and its output is the decision."""
        if node.plans:
            self._queue(node, self.state.nodes[node.name].attempt, Phase.APPLY)
            return
        if node.agent is not None:
            self.schedule(node)
            return
        output: JsonObject = {"approved": True, "by": decision.by, "reason": decision.reason}
        if node.gate is not None and node.gate.form:
            output["answers"] = decision.answers
        self.add(NodeSucceeded(node=node.name, attempt=0, output=output))

    def _finish(self) -> None:
        outputs = self.plan.outputs
        names = tuple({ref.root for ref in outputs.references if ref.root in self.state.nodes})
        try:
            rendered = outputs.render(scope_of(self.state, names))
        except TemplateError as error:
            failure = Failure(code=Code.TEMPLATE_FAILED, message=f"outputs: {error}")
            self.fail_run(RunCause(error=failure))
            return
        if not isinstance(rendered, dict):
            raise BrokenInvariant("outputs render to an object")
        self.add(RunSucceeded(outputs=rendered, ended_us=self.context.now_us))
