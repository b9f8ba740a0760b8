"""A world with a gate whose approval service decides as the core does."""

from __future__ import annotations

from typing import Any

from penstock_contracts.approval.v1 import (
    ApprovalRequested,
    CastVote,
    CommandRejected,
    Policy,
    Proposal,
)
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_core.approval.decide import decide
from penstock_core.approval.evolve import evolve
from penstock_core.approval.state import ApprovalState
from penstock_core.binding import bind
from penstock_core.decision import Context, Decision, Rejection
from tests.integration.gateway_world import RUNS, STARTED_US, Said, World

GATE = derive("approval", "gate")
DIFF = "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-old\n+new\n"
PROPOSAL = Proposal(
    agent="patcher",
    agent_digest=f"sha256:{'a' * 64}",
    input={"repository_path": "/srv/shop", "patch_content": "x" * 500},
    plan=PlannedChange(
        effect={"kind": "git", "diff": DIFF}, base={"commit": "c" * 40}, summary="1 file"
    ),
)
BINDING = bind(PROPOSAL)
FORM = {
    "type": "object",
    "required": ["window"],
    "additionalProperties": False,
    "properties": {"window": {"type": "string"}, "hosts": {"type": "integer"}},
}
Headers = dict[str, str]


class Deciding:
    """The approval service behind the bus: the core's own decisions."""

    def __init__(self, world: World, policy: Policy, gate: str = GATE) -> None:
        self._world = world
        self._gate = gate
        self._state = ApprovalState(gate)
        self.votes: list[CastVote] = []
        asked = ApprovalRequested(
            tenant=DEFAULT_TENANT, run_id=world.start_run(gate), partition=RUNS, workflow="demo",
            node="ask", attempt=1, title="Land it?", proposal=PROPOSAL, binding=BINDING,
            policy=policy, requested_by="token:rita", requested_us=STARTED_US,
            expires_us=world.clock.now_us() + 90_000_000,
        )  # fmt: skip
        self._take(asked)
        world.emit(APPROVAL_PARTITION, gate, asked)
        world.scripts[CastVote.TYPE] = self.answer

    def _take(self, event: Wire) -> Wire:
        self._state = evolve(self._state, event)
        return event

    def answer(self, envelope: Envelope) -> list[Said]:
        command = CastVote.model_validate(envelope.data)
        self.votes.append(command)
        context = Context(
            self._world.clock.now_us(), envelope.id, str(envelope.actor), envelope.tenant
        )
        match decide(self._state, command, context):
            case Decision(events=events):
                said = [self._take(event) for event in events]
            case Rejection(code=code, detail=detail):
                refusal = CommandRejected(
                    command_id=envelope.id, command=envelope.type, code=code, detail=detail
                )
                said = [self._take(refusal)]
            case stale:
                raise AssertionError(stale)
        return [(APPROVAL_PARTITION, self._gate, event) for event in said]


def a_gate(**policy: Any) -> tuple[World, Deciding, dict[str, Headers]]:
    """A world with a gate, and a token each for ada, bob and carl (approvers) and rita."""
    world = World()
    people = {name: world.token(name, "approver") for name in ("ada", "bob", "carl")}
    people["rita"] = world.token("rita", "operator", "approver")
    world.apply_workflow()
    return world, Deciding(world, Policy(**policy)), people
