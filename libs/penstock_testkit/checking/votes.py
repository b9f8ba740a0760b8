"""Approvals: asked once, voted on in time by whoever may, decided once and by enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
    Choice,
    Policy,
    VoteCast,
)
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation

_DECISIONS = (
    ApprovalGranted, ApprovalRejected, ApprovalPushedBack, ApprovalExpired, ApprovalWithdrawn,
)  # fmt: skip


def approvals_are_decided_once(history: History) -> Iterator[Violation]:
    """An approval is asked for once and decided at most once, and nobody votes behind that."""
    for approval, facts in history.approvals.items():
        asked = sum(isinstance(fact.event, ApprovalRequested) for fact in facts)
        if asked != 1:
            yield Violation("decided once", approval, f"asked for {asked} times")
        decided = ""
        for fact in facts:
            if isinstance(fact.event, (*_DECISIONS, VoteCast)) and decided:
                yield Violation("decided once", fact.where, f"{fact.topic} behind {decided}")
            if isinstance(fact.event, _DECISIONS):
                decided = decided or fact.topic


def votes_are_valid(history: History) -> Iterator[Violation]:
    """A vote came before the expiry, once, from whoever may, about what is proposed."""
    for facts in history.approvals.values():
        asked = _asked(facts)
        if asked is None:
            continue
        voters: set[str] = set()
        for fact in facts:
            if isinstance(fact.event, VoteCast):
                for detail in _vote_faults(asked, fact.event, fact.meta.time_us, voters):
                    yield Violation("votes", fact.where, detail)
                voters.add(fact.event.user)


def _asked(facts: Sequence[Fact]) -> ApprovalRequested | None:
    return next((f.event for f in facts if isinstance(f.event, ApprovalRequested)), None)


def _vote_faults(
    asked: ApprovalRequested, vote: VoteCast, at_us: int, voters: set[str]
) -> Iterator[str]:
    if at_us >= asked.expires_us:
        yield f"{vote.user} voted {(at_us - asked.expires_us) / 1e6} s after the expiry"
    if vote.user in voters:
        yield f"{vote.user} voted twice"
    if not _may_vote(asked.policy, vote):
        yield f"{vote.user} is no approver of this gate"
    if asked.policy.separation and asked.requested_by in (vote.user, f"token:{vote.user}"):
        yield f"{vote.user} asked for the run and votes on it"
    if vote.digest not in (None, asked.binding.digest):
        yield f"{vote.user} voted on something else"
    if vote.choice is Choice.PUSH_BACK and vote.to not in asked.policy.push_back:
        yield f"{vote.user} sends {vote.to} back, which this gate does not allow"


def _may_vote(policy: Policy, vote: VoteCast) -> bool:
    named = policy.approvers
    if not named.users and not named.groups and not named.roles:
        return not {"approver", "admin"}.isdisjoint(vote.roles)
    return (
        vote.user in named.users
        or not set(named.groups).isdisjoint(vote.groups)
        or not set(named.roles).isdisjoint(vote.roles)
    )


def decisions_have_their_votes(history: History) -> Iterator[Violation]:
    """Leave is given by enough different people who approved; a denial by one who rejected."""
    for facts in history.approvals.values():
        asked = _asked(facts)
        votes: dict[Choice, list[str]] = {choice: [] for choice in Choice}
        for fact in facts:
            event = fact.event
            if isinstance(event, VoteCast):
                votes[event.choice].append(event.user)
            elif isinstance(event, ApprovalGranted) and asked is not None:
                for detail in _grant_faults(asked, event, votes, fact.meta.time_us):
                    yield Violation("quorum", fact.where, detail)
            elif isinstance(event, ApprovalRejected | ApprovalPushedBack):
                rejected = isinstance(event, ApprovalRejected)
                choice = Choice.REJECT if rejected else Choice.PUSH_BACK
                if not event.by or not set(event.by) <= set(votes[choice]):
                    yield Violation("quorum", fact.where, f"{fact.topic} without such a vote")


def _grant_faults(
    asked: ApprovalRequested,
    granted: ApprovalGranted,
    votes: dict[Choice, list[str]],
    at_us: int,
) -> Iterator[str]:
    people = set(granted.by)
    if len(people) != len(granted.by) or len(people) < asked.policy.quorum:
        yield f"given by {', '.join(granted.by)} where {asked.policy.quorum} people are needed"
    strangers = sorted(people - set(votes[Choice.APPROVE]))
    if strangers:
        yield f"given by {', '.join(strangers)}, who did not approve"
    if votes[Choice.REJECT]:
        yield "given although somebody rejected it"
    if granted.granted_us >= asked.expires_us or at_us >= asked.expires_us:
        yield "given after its expiry"
