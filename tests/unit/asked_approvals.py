"""An approval that people are asked for, and votes on it."""

from penstock_contracts.approval.v1 import (
    CastVote,
    Choice,
    Proposal,
    RequestApproval,
)
from penstock_contracts.ids import approval_id, derive
from penstock_contracts.run.v1 import ApplyDecision
from penstock_contracts.values import MICROSECONDS
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.binding import bind
from penstock_core.effects import Effect, SendCommand
from penstock_testkit.given import START_US, Story

RUN = derive("run", "r")
ID = approval_id(RUN, "gate", 1)
EXPIRES_US = START_US + 600 * MICROSECONDS
PROPOSAL = Proposal(agent="patcher", agent_digest=f"sha256:{'a' * 64}", input={"path": "x"})
BINDING = bind(PROPOSAL)
OTHER = bind(PROPOSAL.model_copy(update={"input": {"path": "y"}}))


def request(policy: dict[str, object], **fields: object) -> RequestApproval:
    return RequestApproval.model_validate(
        {
            "approval_id": ID, "tenant": "default", "run_id": RUN, "partition": "run-0",
            "workflow": "flow", "node": "gate", "attempt": 1, "title": "Go?",
            "requested_by": "token:ann", "expires_us": EXPIRES_US, "proposal": PROPOSAL,
            "binding": BINDING, "policy": policy, **fields,
        }
    )  # fmt: skip


def asked(**policy: object) -> Story[ApprovalState]:
    return Story(ApprovalDecider(), ApprovalState(ID)).when(request(policy))


def vote(
    choice: Choice = Choice.APPROVE,
    reason: str = "",
    user: str = "user:bob",
    roles: tuple[str, ...] = ("approver",),
    **more: object,
):
    said = {"approval_id": ID, "choice": choice, "reason": reason, "user": user, "roles": roles}
    return CastVote.model_validate({**said, **more})


def answers(effects: tuple[Effect, ...] | list[Effect]) -> list[ApplyDecision]:
    bodies = [effect.body for effect in effects if isinstance(effect, SendCommand)]
    return [body for body in bodies if isinstance(body, ApplyDecision)]
