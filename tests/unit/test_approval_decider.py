"""People's decisions: who may, when, with what reason, and what is answered again."""

import pytest

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalWithdrawn,
    Approvers,
    CastVote,
    Choice,
    CommandRejected,
    FireTimers,
    Proposal,
    RequestApproval,
    VoteCast,
    WithdrawApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.ids import approval_id, derive
from penstock_contracts.partition.v1 import MessageParked, MessageRedriven
from penstock_contracts.run.v1 import ApplyDecision, CancelRun, Verdict
from penstock_contracts.values import MICROSECONDS
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import REMINDERS_MAX, ApprovalState
from penstock_core.approval.voting import ANSWERS_MAX_BYTES, allowed
from penstock_core.binding import bind
from penstock_core.decision import BrokenInvariant, Context
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


# --- the digest that was shown ------------------------------------------------------------------


def test_a_vote_on_what_is_proposed_counts_and_on_anything_else_does_not():
    story = asked().when(vote(digest=OTHER.digest))
    story.rejected(Code.NOT_PROPOSED, OTHER.digest.removeprefix("sha256:")[:12])
    story.rejected(Code.NOT_PROPOSED, BINDING.digest.removeprefix("sha256:")[:12])
    story.when(vote(Choice.REJECT, "no", digest=OTHER.digest)).rejected(Code.NOT_PROPOSED)
    story.when(vote(digest=BINDING.digest)).then(VoteCast, ApprovalGranted)
    assert story.last(VoteCast).digest == BINDING.digest


def test_a_grant_names_what_was_approved_who_approved_it_and_how_long_it_stands():
    story = asked(quorum=2, grant_s=90.5).when(vote()).later(10).when(vote(user="user:eve"))
    (effect,) = story.effects
    assert isinstance(effect, SendCommand)
    grant = effect.seal
    assert grant is not None
    assert (grant.tenant, grant.run_id, grant.node, grant.attempt) == ("default", RUN, "gate", 1)
    assert (grant.approval_id, grant.binding) == (ID, BINDING)
    assert grant.principals == ("user:bob", "user:eve")
    assert grant.granted_us == START_US + 10 * MICROSECONDS
    assert grant.expires_us == grant.granted_us + 90_500_000


@pytest.mark.parametrize("choice", [Choice.REJECT, Choice.PUSH_BACK])
def test_only_an_approval_leads_to_a_grant(choice: Choice):
    story = asked(push_back=["plan"]).when(vote(choice, "no"))
    (effect,) = story.effects
    assert isinstance(effect, SendCommand)
    assert effect.seal is None
    expired = asked().fires(FireTimers(), EXPIRES_US).effects
    assert [one.seal for one in expired if isinstance(one, SendCommand)] == [None]


# --- quorum -------------------------------------------------------------------------------------


def test_a_quorum_is_of_different_people():
    story = asked(quorum=3).when(vote()).then(VoteCast)
    story.when(vote()).rejected(Code.ALREADY_VOTED, "user:bob")
    story.when(vote(Choice.REJECT, "changed my mind")).rejected(Code.ALREADY_VOTED)
    story.when(vote(user="user:eve")).then(VoteCast)
    assert story.effects == []
    story.when(vote(user="user:kim", reason="third")).then(VoteCast, ApprovalGranted)
    granted = story.last(ApprovalGranted)
    assert granted.by == ("user:bob", "user:eve", "user:kim")
    assert granted.reason == "third"
    assert answers(story.effects)[0].by == "user:bob, user:eve, user:kim"


def test_one_rejection_denies_whatever_the_quorum():
    story = asked(quorum=3).when(vote()).when(vote(user="user:eve"))
    story.when(vote(Choice.REJECT, "no", "user:kim")).then(VoteCast, ApprovalRejected)
    assert story.last(ApprovalRejected).by == ("user:kim",)
    story.when(vote(user="user:joe")).rejected(Code.ALREADY_DECIDED, "rejected")


def test_who_is_no_approver_any_more_does_not_count():
    """Approver removed while the approval is pending."""
    now = {"user:kim": {"roles": ["approver"]}, "user:eve": {"roles": ["viewer"]}}
    story = asked(quorum=2).when(vote(user="user:eve"))
    story.when(vote(user="user:joe", standing={"user:eve": {"roles": ["viewer"]}})).then(VoteCast)
    story.when(vote(user="user:kim", standing={})).then(VoteCast)  # both are gone by now
    story.when(vote(user="user:bob", standing=now)).then(VoteCast, ApprovalGranted)
    assert story.last(ApprovalGranted).by == ("user:kim", "user:bob")


def test_standing_is_measured_by_the_gate_itself():
    policy = {"approvers": {"groups": ["core"]}, "quorum": 2}
    story = asked(**policy).when(vote(user="user:eve", groups=("core",)))
    moved = {"user:eve": {"roles": ["admin", "approver"], "groups": ["sales"]}}
    story.when(vote(user="user:bob", groups=("core",), standing=moved)).then(VoteCast)
    still = {"user:eve": {"groups": ["core"]}}
    story.when(vote(user="user:kim", groups=("core",), standing=still))
    assert story.last(ApprovalGranted).by == ("user:eve", "user:kim")


# --- separation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("requester", ["token:ann", "ann"])
def test_who_asked_may_not_decide_where_that_is_separated(requester: str):
    asking = request({"separation": True}, requested_by=requester)
    story = Story(ApprovalDecider(), ApprovalState(ID)).when(asking)
    for choice in Choice:
        story.when(vote(choice, "mine", "ann", ("admin",))).rejected(Code.SELF_APPROVAL, "ann")
    story.when(vote(user="bob")).then(VoteCast, ApprovalGranted)


def test_who_asked_may_decide_where_nothing_says_otherwise():
    asked().when(vote(user="ann")).then(VoteCast, ApprovalGranted)


# --- form ---------------------------------------------------------------------------------------

FORM = {
    "type": "object",
    "required": ["ticket"],
    "additionalProperties": False,
    "properties": {
        "ticket": {"type": "string", "pattern": "^T-[0-9]+$"},
        "window": {"enum": ["day", "night"], "default": "night"},
    },
}


def test_an_approval_answers_the_form():
    story = asked(form=FORM).when(vote()).rejected(Code.INVALID_ANSWERS, "'ticket' is required")
    story.when(vote(answers={"ticket": 5})).rejected(Code.INVALID_ANSWERS, "ticket: must be")
    story.when(vote(answers={"ticket": "T-1", "x": 1})).rejected(Code.INVALID_ANSWERS, "'x'")
    story.when(vote(answers={"ticket": "T-1"})).then(VoteCast, ApprovalGranted)
    filled = {"ticket": "T-1", "window": "night"}
    assert story.last(ApprovalGranted).answers == filled
    assert answers(story.effects)[0].answers == filled


def test_the_answers_of_the_vote_that_completes_the_quorum_are_given():
    story = asked(form=FORM, quorum=2).when(vote(answers={"ticket": "T-1"}))
    story.when(vote(user="user:eve", answers={"ticket": "T-2", "window": "day"}))
    assert story.last(ApprovalGranted).answers == {"ticket": "T-2", "window": "day"}


def test_who_does_not_approve_needs_no_answers():
    asked(form=FORM).when(vote(Choice.REJECT, "no")).then(VoteCast, ApprovalRejected)


def test_answers_that_nobody_asked_for_or_that_are_too_large_are_refused():
    asked().when(vote(answers={"a": 1})).rejected(Code.INVALID_ANSWERS, "asks for no answers")
    long = {"ticket": "T-" + "1" * ANSWERS_MAX_BYTES}
    asked(form=FORM).when(vote(answers=long)).rejected(Code.INVALID_ANSWERS, "16 KiB")


def test_a_reason_of_blanks_is_none():
    asked().when(vote(Choice.REJECT, "  \n")).rejected(Code.REASON_REQUIRED)


# --- push back ----------------------------------------------------------------------------------


def test_a_push_back_names_the_node_and_tells_it_why():
    story = asked(push_back=["plan"], quorum=2).when(vote())
    story.when(vote(Choice.PUSH_BACK, user="user:eve")).rejected(Code.REASON_REQUIRED)
    story.when(vote(Choice.PUSH_BACK, "smaller, please", "user:eve"))
    story.then(VoteCast, ApprovalPushedBack)
    (decision,) = answers(story.effects)
    assert (decision.verdict, decision.to) == (Verdict.PUSHED_BACK, "plan")
    assert (decision.by, decision.reason) == ("user:eve", "smaller, please")
    story.when(vote(user="user:kim")).rejected(Code.ALREADY_DECIDED, "pushed_back")


def test_nothing_is_pushed_back_where_nothing_may_be():
    story = asked().when(vote(Choice.PUSH_BACK, "again"))
    story.rejected(Code.NO_PUSH_BACK, "approve or reject")


def test_of_several_nodes_one_has_to_be_named():
    story = asked(push_back=["scan", "plan"]).when(vote(Choice.PUSH_BACK, "again"))
    story.rejected(Code.NO_PUSH_BACK, "scan, plan")
    story.when(vote(Choice.PUSH_BACK, "again", to="deploy")).rejected(Code.NO_PUSH_BACK, "deploy")
    story.when(vote(Choice.PUSH_BACK, "again", to="scan")).then(VoteCast, ApprovalPushedBack)
    assert story.last(ApprovalPushedBack).to == "scan"


# --- reminders ----------------------------------------------------------------------------------


def test_reminders_come_until_the_expiry_and_say_how_many_are_missing():
    story = asked(remind_every_s=250, quorum=2)
    assert story.bound == START_US + 250 * MICROSECONDS
    story.fires(FireTimers(), START_US + 250 * MICROSECONDS)
    assert story.last(ApprovalReminded).missing == 2
    story.when(vote()).fires(FireTimers(), EXPIRES_US)
    reminders = [event for event in story.events if isinstance(event, ApprovalReminded)]
    assert [(one.number, one.missing) for one in reminders] == [(1, 2), (2, 1)]
    assert reminders[1].at_us == START_US + 500 * MICROSECONDS
    assert isinstance(story.events[-1], ApprovalExpired)


def test_a_reminder_comes_neither_early_nor_to_what_is_settled():
    story = asked(remind_every_s=250).later(249).when(FireTimers()).stale(Code.STALE)
    story.when(vote()).later(1).when(FireTimers()).stale(Code.STALE)


def test_a_reminder_at_the_expiry_is_none():
    story = asked(remind_every_s=600).fires(FireTimers(), EXPIRES_US)
    assert [type(event) for event in story.events] == [ApprovalRequested, ApprovalExpired]


def test_reminders_are_bounded_however_short_their_interval():
    story = asked(remind_every_s=1e-9).fires(FireTimers(), EXPIRES_US)
    reminders = [event for event in story.events if isinstance(event, ApprovalReminded)]
    assert len(reminders) == REMINDERS_MAX
    assert isinstance(story.events[-1], ApprovalExpired)


def test_who_still_counts_is_not_known_between_votes_so_one_approval_is_missing_at_least():
    story = (
        asked(remind_every_s=250, quorum=2).when(vote()).when(vote(user="user:eve", standing={}))
    )
    story.fires(FireTimers(), START_US + 250 * MICROSECONDS)
    assert story.last(ApprovalReminded).missing == 1


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
