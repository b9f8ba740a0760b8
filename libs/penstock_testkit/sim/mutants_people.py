"""Without a rule of approvals: expiry, what a decision is about, and leave before effects."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ApplyDecision
from penstock_core.approval import voting
from penstock_core.decision import Context, Outcome, Rejection
from penstock_core.run import decide as run_decide
from penstock_core.run.draft import Draft
from penstock_core.run.state import RunState
from penstock_core.workflow.plan import PlanNode
from penstock_testkit.sim.mutants import Mutant, swapped

# What is replaced is not public; that is the point.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false


def _late_votes_counted() -> AbstractContextManager[None]:
    not_open = voting._not_open

    def open_for_ever(
        state: Any,  # noqa: ANN401 - of the approval
        request: Any,  # noqa: ANN401
        command: Any,  # noqa: ANN401
        context: Context,
    ) -> Rejection | None:
        refusal = not_open(state, request, command, context)
        return None if refusal is not None and refusal.code == Code.LATE else refusal

    return swapped((voting, "_not_open", open_for_ever))


def _votes_counted_twice() -> AbstractContextManager[None]:
    return swapped((voting, "_voted", lambda _state, _user: False))


def _any_decision_applied() -> AbstractContextManager[None]:
    apply = run_decide.apply_decision

    def to_any_gate(state: RunState, command: ApplyDecision, context: Context) -> Outcome:
        node = state.nodes.get(command.node)
        if node is not None and node.approval_id is not None:
            command = command.model_copy(update={"approval_id": node.approval_id})
        return apply(state, command, context)

    return swapped((run_decide, "apply_decision", to_any_gate))


def _gate_left_out() -> AbstractContextManager[None]:
    ask_first = Draft._ask_first

    def go_on(self: Draft, node: PlanNode, gate: Any) -> None:  # noqa: ANN401 - of the workflow
        if node.agent is None:
            ask_first(self, node, gate)
        else:
            self.schedule(node)

    return swapped((Draft, "_ask_first", go_on))


MUTANTS = (
    Mutant(
        "late-vote-counted",
        "a vote sent after the expiry is late, whether or not the timer has been decided",
        "an expiry depends on who was up",
        _late_votes_counted,
    ),
    Mutant(
        "vote-counted-twice",
        "a vote of any age counts once",
        "a copy of one person's vote completes the quorum",
        _votes_counted_twice,
    ),
    Mutant(
        "gate-ignored",
        "a decision states the gate that it is about",
        "a decision on what was sent back to work passes what came of it",
        _any_decision_applied,
    ),
    Mutant(
        "gate-left-out",
        "an effect that needs leave waits for it",
        "it happens without",
        _gate_left_out,
    ),
)
