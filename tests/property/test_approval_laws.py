"""Laws of approvals: whoever votes, in whatever order, however often and however late."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalReminded,
    ApprovalWithdrawn,
    CastVote,
    Choice,
    FireTimers,
    Policy,
    RequestApproval,
    VoteCast,
    WithdrawApproval,
)
from penstock_contracts.records import EventMeta, decode_state, encode_state
from penstock_contracts.registry import read_event, type_of
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, Wire
from penstock_core.approval.decider import ApprovalDecider
from penstock_core.approval.evolve import evolve
from penstock_core.approval.state import ApprovalState, ApprovalStatus
from penstock_core.approval.voting import allowed
from penstock_core.decision import Context
from penstock_core.effects import Effect, SendCommand
from penstock_core.workflow.inputs import check_inputs
from penstock_testkit.given import START_US, Story
from penstock_testkit.strategies.approvals import (
    APPROVAL,
    BINDING,
    OTHER_DIGEST,
    REQUESTER,
    WAITS_S,
    Step,
    policies,
    request,
    steps,
)

SETTLING = (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalPushedBack,
    ApprovalExpired,
    ApprovalWithdrawn,
)
ANSWERED = (ApprovalGranted, ApprovalRejected, ApprovalPushedBack, ApprovalExpired)
EXPIRES_US = START_US + int(WAITS_S * MICROSECONDS)
STEPS_MIN, STEPS_MAX = 6, 25
LAWS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
COPIES = settings(LAWS, max_examples=75)


@dataclass
class Played:
    """An approval's story, with when each event happened and what caused it."""

    story: Story[ApprovalState]
    policy: Policy
    sent: list[tuple[Step, str]] = field(default_factory=list[tuple[Step, str]])
    facts: list[tuple[Wire, int, Wire | None]] = field(
        default_factory=list[tuple[Wire, int, Wire | None]]
    )
    answers: list[Effect] = field(default_factory=list[Effect])

    def note(self, before: int, cause: Wire | None) -> None:
        for event in self.story.events[before:]:
            self.facts.append((event, self.story.now_us, cause))

    def send(self, step: Step, command_id: str) -> None:
        assert step.command is not None
        self.story._context = Context(now_us=self.story.now_us, tenant=step.tenant)
        before = len(self.story.events)
        self.story.when(step.command, command_id)
        self.answers += self.story.effects
        self.note(before, step.command)

    def fire(self, up_to_us: int) -> None:
        self.story._context = Context(now_us=self.story.now_us, tenant=DEFAULT_TENANT)
        story = self.story
        while (due := story.decider.own_due(story.state)) is not None and due <= up_to_us:
            before = len(story.events)
            story.fires(FireTimers(), due)
            self.answers += story.effects
            self.note(before, None)
        story.now_us = max(story.now_us, up_to_us)

    @property
    def settled(self) -> list[Wire]:
        return [event for event in self.story.events if isinstance(event, SETTLING)]


def play(policy: Policy, drawn: list[Step]) -> Played:
    played = Played(Story(ApprovalDecider(), ApprovalState(APPROVAL)), policy)
    played.send(Step(0, timers=False, command=request(policy)), "ask")
    for number, step in enumerate(drawn):
        until_us = played.story.now_us + int(step.seconds * MICROSECONDS)
        if step.timers:
            played.fire(until_us)
        played.story.now_us = until_us
        if step.command is not None:
            played.sent.append((step, f"command-{number}"))
            played.send(step, f"command-{number}")
        played.story.check_bound()
    return played


def lives() -> st.SearchStrategy[Played]:
    return policies().flatmap(
        lambda policy: st.lists(steps(policy), min_size=STEPS_MIN, max_size=STEPS_MAX).map(
            lambda drawn: play(policy, drawn)
        )
    )


def check_it_is_settled_once_and_nothing_follows(played: Played) -> None:
    assert len(played.settled) <= 1
    if played.settled:
        assert played.story.events[-1] is played.settled[0]
        assert played.story.state.status is not ApprovalStatus.PENDING
    else:
        assert played.story.state.status is ApprovalStatus.PENDING


def check_granted_means_that_enough_different_people_allowed_it(played: Played) -> None:
    for event, now_us, cause in played.facts:
        if not isinstance(event, ApprovalGranted):
            continue
        assert isinstance(cause, CastVote)
        policy = played.policy
        assert len(set(event.by)) == len(event.by) >= policy.quorum
        assert now_us < EXPIRES_US
        assert event.expires_us == now_us + int(policy.grant_s * MICROSECONDS)
        assert check_inputs(policy.form, event.answers) is None
        assert not (policy.separation and REQUESTER in event.by)
        approved = {
            vote.user: vote for vote in played.story.state.votes if vote.choice is Choice.APPROVE
        }
        for user in event.by:
            vote = approved[user]
            assert allowed(policy.approvers, user, vote.roles, vote.groups)
            assert vote.digest in (None, BINDING.digest)
            if user != cause.user and cause.standing is not None:
                now = cause.standing[user]
                assert allowed(policy.approvers, user, now.roles, now.groups)


def check_every_vote_is_of_somebody_who_may_and_has_not_yet(played: Played) -> None:
    voters: list[str] = []
    for event, now_us, cause in played.facts:
        if not isinstance(event, VoteCast):
            continue
        assert isinstance(cause, CastVote)
        assert event.user not in voters
        voters.append(event.user)
        assert now_us < EXPIRES_US
        assert allowed(played.policy.approvers, event.user, event.roles, event.groups)
        assert not (played.policy.separation and event.user == REQUESTER)
        assert event.digest != OTHER_DIGEST
        if event.choice is not Choice.APPROVE or played.policy.reason_required:
            assert event.reason.strip()


def check_one_no_is_enough_and_a_push_back_goes_where_it_may(played: Played) -> None:
    kinds = {Choice.REJECT: ApprovalRejected, Choice.PUSH_BACK: ApprovalPushedBack}
    events = played.story.events
    for place, event in enumerate(events):
        if isinstance(event, VoteCast) and event.choice in kinds:
            assert isinstance(events[place + 1], kinds[event.choice])
        if isinstance(event, ApprovalPushedBack):
            assert event.to in played.policy.push_back


def check_time_is_kept(played: Played) -> None:
    numbers: list[int] = []
    for event, now_us, _ in played.facts:
        match event:
            case ApprovalExpired():
                assert now_us >= EXPIRES_US
            case ApprovalReminded():
                assert event.at_us <= now_us < EXPIRES_US
                numbers.append(event.number)
            case _:
                pass
    assert numbers == list(range(1, len(numbers) + 1))


def check_the_run_is_answered_once_and_only_an_approval_gives_a_grant(played: Played) -> None:
    answered = [event for event in played.story.events if isinstance(event, ANSWERED)]
    assert len(played.answers) == len(answered)
    for effect, event in zip(played.answers, answered, strict=True):
        assert isinstance(effect, SendCommand)
        granted = isinstance(event, ApprovalGranted)
        assert (effect.seal is not None) is granted
        if effect.seal is not None and isinstance(event, ApprovalGranted):
            assert effect.seal.binding == BINDING
            assert effect.seal.principals == event.by
            assert effect.seal.expires_us == event.expires_us


@LAWS
@given(lives())
def test_no_sequence_of_commands_breaks_a_law(played: Played):
    check_it_is_settled_once_and_nothing_follows(played)
    check_granted_means_that_enough_different_people_allowed_it(played)
    check_every_vote_is_of_somebody_who_may_and_has_not_yet(played)
    check_one_no_is_enough_and_a_push_back_goes_where_it_may(played)
    check_time_is_kept(played)
    check_the_run_is_answered_once_and_only_an_approval_gives_a_grant(played)


@COPIES
@given(lives())
def test_copies_change_nothing_while_it_waits(played: Played):
    """A copy of a vote that counted is a second vote of that person."""
    story = played.story
    before = story.state
    for step, command_id in played.sent:
        if isinstance(step.command, CastVote) and any(
            vote.user == step.command.user for vote in story.state.votes
        ):
            played.send(step, command_id)
    assert story.state == before


@COPIES
@given(lives())
def test_copies_change_nothing_once_it_is_settled(played: Played):
    played.fire(EXPIRES_US)
    story, ended, answers = played.story, played.story.state, list(played.answers)
    assert len(played.settled) == 1
    for step, command_id in played.sent:
        played.send(step, command_id)
        played.send(step, f"{command_id}-again")
        played.send(Step(0, timers=False, command=FireTimers()), "late")
    assert story.state == ended
    assert played.answers == answers
    played.send(Step(0, timers=False, command=request(played.policy)), "ask again")
    expected = () if isinstance(played.settled[0], ApprovalWithdrawn) else tuple(answers)
    assert story.replies == expected


@COPIES
@given(lives())
def test_another_tenant_changes_nothing(played: Played):
    before = played.story.state
    for step, command_id in played.sent:
        if isinstance(step.command, CastVote | WithdrawApproval | RequestApproval):
            played.send(replace(step, tenant="other"), f"{command_id}-abroad")
            assert played.story.replies == ()
    assert played.story.state == before


@COPIES
@given(lives())
def test_the_state_is_the_fold_of_the_stored_events(played: Played):
    state = ApprovalState(APPROVAL)
    for event in played.story.events:
        raw = encode_state(EventMeta(time_us=1), b"\0" * 32, event.to_data())
        state = evolve(state, read_event(type_of(event), decode_state(raw)[2]))
    assert state == played.story.state
    assert played.story.refold() == played.story.state
