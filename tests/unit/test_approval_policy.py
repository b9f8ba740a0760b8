"""What a gate's policy asks for: digest, quorum, separation, form, push back, reminders."""

import pytest

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalReminded,
    ApprovalRequested,
    Choice,
    FireTimers,
    VoteCast,
)
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import Verdict
from penstock_contracts.values import MICROSECONDS
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.state import REMINDERS_MAX, ApprovalState
from penstock_core.approval.voting import ANSWERS_MAX_BYTES
from penstock_core.effects import SendCommand
from penstock_testkit.given import START_US, Story
from tests.unit.asked_approvals import (
    BINDING,
    EXPIRES_US,
    ID,
    OTHER,
    RUN,
    answers,
    asked,
    request,
    vote,
)

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
