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
    VoteCast,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.run.v1 import ApplyDecision, CancelRun, Verdict
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import ApprovalState
from penstock_core.approval.voting import allowed
from penstock_core.decision import BrokenInvariant, Context
from penstock_core.effects import SendCommand
from penstock_testkit.given import START_US, Story
from tests.unit.asked_approvals import EXPIRES_US, ID, RUN, answers, asked, request, vote


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
        (Approvers(), "x", ("approver",), True),
        (Approvers(), "x", ("admin",), True),
        (Approvers(), "x", ("viewer", "operator"), False),
        (Approvers(users=("x",)), "x", (), True),
        (Approvers(users=("x",)), "y", ("approver", "admin"), False),
        (Approvers(roles=("ops",)), "y", ("ops",), True),
        (Approvers(roles=("ops",)), "y", ("approver",), False),
        (Approvers(groups=("core",)), "z", (), True),
        (Approvers(groups=("ops",)), "z", ("approver", "admin", "ops"), False),
        (Approvers(users=("x",), groups=("core",), roles=("ops",)), "z", (), True),
    ],
)
def test_who_may_decide(approvers: Approvers, user: str, roles: tuple[str, ...], may: bool):
    groups = ("core",) if user == "z" else ()
    assert allowed(approvers, user, roles, groups) is may
    said = vote(user=user, roles=roles, groups=groups)
    story = asked(approvers=approvers.to_data()).when(said)
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
    story = asked(push_back=["plan"])
    again = request({"push_back": ["plan"]})
    story.when(again).stale(Code.STALE)
    assert story.replies == ()
    story.when(vote(choice, "so"))
    first = story.effects
    assert len(answers(first)) == 1
    story.later(10_000).when(again).stale(Code.STALE)
    assert story.replies == tuple(first)  # the grant too, to the letter


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


# --- tenants ------------------------------------------------------------------------------------


def test_another_tenant_finds_no_approval():
    story = asked()
    story._context = Context(now_us=START_US, tenant="other")
    story.when(vote(roles=("admin",))).rejected(Code.UNKNOWN_APPROVAL)
    story.when(WithdrawApproval(approval_id=ID)).stale(Code.UNKNOWN_APPROVAL)
    story.when(request({})).stale(Code.UNKNOWN_APPROVAL)
    story._context = Context(now_us=START_US)
    story.when(vote()).then(VoteCast, ApprovalGranted)
    story._context = Context(now_us=START_US, tenant="other")
    story.when(request({})).stale(Code.UNKNOWN_APPROVAL)
    assert story.replies == ()


def test_a_request_for_another_tenant_is_none():
    story = Story(ApprovalDecider(), ApprovalState(ID), Context(now_us=START_US, tenant="other"))
    story.when(request({})).stale(Code.UNKNOWN_APPROVAL)
    assert story.state == ApprovalState(ID)
