"""People's decisions: who may, when, with what reason, and what is answered again."""

import pytest

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
    Approvers,
    CastVote,
    Choice,
    CommandRejected,
    FireTimers,
    RequestApproval,
    VoteCast,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.ids import approval_id, derive
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.run.v1 import ApplyDecision, CancelRun, Verdict
from penstock_contracts.values import MICROSECONDS
from penstock_core.approval.decide import allowed
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import Effect, SendCommand
from penstock_testkit.given import START_US, Story

RUN = derive("run", "r")
ID = approval_id(RUN, "gate", 1)
EXPIRES_US = START_US + 600 * MICROSECONDS


def asked(**fields: object) -> Story[ApprovalState]:
    request = RequestApproval.model_validate(
        {
            "approval_id": ID, "tenant": "default", "run_id": RUN, "partition": "run-0",
            "workflow": "flow", "node": "gate", "attempt": 1, "title": "Go?",
            "requested_by": "user:ann", "expires_us": EXPIRES_US, **fields,
        }
    )  # fmt: skip
    return Story(ApprovalDecider(), ApprovalState(ID)).when(request)


def vote(
    choice: Choice = Choice.APPROVE,
    reason: str = "",
    user: str = "user:bob",
    roles: tuple[str, ...] = ("approver",),
):
    return CastVote(approval_id=ID, choice=choice, reason=reason, user=user, roles=roles)


def answers(effects: tuple[Effect, ...] | list[Effect]) -> list[ApplyDecision]:
    bodies = [effect.body for effect in effects if isinstance(effect, SendCommand)]
    return [body for body in bodies if isinstance(body, ApplyDecision)]


def test_a_request_opens_an_approval_until_its_expiry():
    story = asked().then(ApprovalRequested)
    assert story.bound == EXPIRES_US
    assert story.effects == []


def test_an_approval_is_answered_to_the_run():
    story = asked().when(vote(reason="fine")).then(VoteCast, ApprovalGranted)
    (decision,) = answers(story.effects)
    assert decision == ApplyDecision(
        approval_id=ID, node="gate", attempt=1, verdict=Verdict.APPROVED,
        by="user:bob", reason="fine",
    )  # fmt: skip
    (effect,) = story.effects
    assert isinstance(effect, SendCommand)
    assert effect.subject == f"penstock.default.run.run-0.{RUN}.apply_decision"


def test_a_rejection_needs_a_reason():
    story = asked().when(vote(Choice.REJECT)).rejected(Code.REASON_REQUIRED)
    story.when(vote(Choice.REJECT, "no")).then(VoteCast, ApprovalRejected)
    assert answers(story.effects)[0].verdict is Verdict.REJECTED


def test_a_gate_may_ask_a_reason_for_approval_too():
    story = asked(reason_required=True).when(vote()).rejected(Code.REASON_REQUIRED)
    story.when(vote(reason="checked")).then(VoteCast, ApprovalGranted)


@pytest.mark.parametrize(
    ("approvers", "user", "roles", "may"),
    [
        (Approvers(), "user:x", ("approver",), True),
        (Approvers(), "user:x", ("admin",), True),
        (Approvers(), "user:x", ("viewer", "operator"), False),
        (Approvers(users=("user:x",)), "user:x", (), True),
        (Approvers(users=("user:x",)), "user:y", ("approver", "admin"), False),
        (Approvers(roles=("ops",)), "user:y", ("ops",), True),
        (Approvers(roles=("ops",)), "user:y", ("approver",), False),
    ],
)
def test_who_may_decide(approvers: Approvers, user: str, roles: tuple[str, ...], may: bool):
    assert allowed(approvers, user, roles) is may
    story = asked(approvers=approvers.to_data()).when(vote(user=user, roles=roles))
    if may:
        story.then(VoteCast, ApprovalGranted)
    else:
        story.rejected(Code.NOT_ALLOWED, user)


@pytest.mark.parametrize(("seconds", "late"), [(599.999999, False), (600, True), (9_000, True)])
def test_a_late_vote_is_late_though_no_timer_has_fired(seconds: float, late: bool):
    story = asked().later(seconds).when(vote())
    if late:
        story.rejected(Code.LATE)
    else:
        story.then(VoteCast, ApprovalGranted)


def test_expiry_denies_and_is_answered():
    story = asked().fires(FireTimers(), EXPIRES_US)
    assert [type(event) for event in story.events] == [ApprovalRequested, ApprovalExpired]
    assert answers(story.effects)[0].verdict is Verdict.EXPIRED
    story.when(FireTimers()).stale(Code.STALE)
    story.when(vote()).rejected(Code.ALREADY_DECIDED, "expired")


def test_a_timer_before_its_time_changes_nothing():
    asked().later(599).when(FireTimers()).stale(Code.STALE)
    Story(ApprovalDecider(), ApprovalState(ID)).when(FireTimers()).stale(Code.STALE)


def test_what_is_decided_stays_decided():
    story = asked().when(vote())
    story.when(vote(Choice.REJECT, "no", "user:eve")).rejected(Code.ALREADY_DECIDED)
    story.when(vote(Choice.REJECT, "no")).rejected(Code.ALREADY_DECIDED, "with your vote")
    story.when(WithdrawApproval(approval_id=ID)).stale(Code.STALE)


@pytest.mark.parametrize("choice", list(Choice))
def test_asked_again_it_answers_again(choice: Choice):
    story = asked()
    request = RequestApproval(
        approval_id=ID, **story.last(ApprovalRequested).model_dump(exclude={"requested_us"})
    )
    story.when(request).stale(Code.STALE)
    assert story.replies == ()
    story.when(vote(choice, "so"))
    first = answers(story.effects)
    story.later(10_000).when(request).stale(Code.STALE)
    assert answers(story.replies) == first


def test_a_withdrawn_approval_takes_no_vote_and_answers_nothing():
    story = asked().when(WithdrawApproval(approval_id=ID, reason="over")).then(ApprovalWithdrawn)
    assert story.effects == []
    story.when(vote()).rejected(Code.ALREADY_DECIDED, "withdrawn")
    story.later(9_000).when(FireTimers()).stale()


def test_what_was_never_asked_is_unknown():
    story = Story(ApprovalDecider(), ApprovalState(ID))
    story.when(vote()).rejected(Code.UNKNOWN_APPROVAL)
    story.when(WithdrawApproval(approval_id=ID)).stale(Code.UNKNOWN_APPROVAL)


def test_a_refusal_is_told_once():
    story = asked().when(vote(roles=()), "vote-1").rejected(Code.NOT_ALLOWED)
    story.given(CommandRejected(command_id="vote-1", command=CastVote.TYPE, code="not_allowed"))
    story.when(vote(roles=()), "vote-1").stale(Code.STALE)


def test_what_is_no_command_or_event_of_an_approval_is_a_defect():
    story = asked()
    with pytest.raises(BrokenInvariant, match="no command to an approval"):
        story.when(CancelRun(run_id=RUN))
    with pytest.raises(BrokenInvariant, match="while the approval is pending"):
        story.given(story.last(ApprovalRequested))


def test_the_state_is_the_fold_of_its_events():
    story = asked().when(vote())
    assert story.refold() == story.state


def test_a_parked_message_freezes_an_approval_until_it_is_redriven():
    parked = MessageParked(stream="APPROVALS", sequence=7, subject="x.default.y", code="z")
    story = asked().given(parked)
    assert story.state.frozen == (parked,)
    story.given(MessageRedriven(stream="APPROVALS", sequence=8))
    assert story.state.frozen == (parked,)
    story.given(MessageRedriven(stream="APPROVALS", sequence=7))
    assert story.state.frozen == ()
