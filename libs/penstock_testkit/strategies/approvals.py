"""Gates and what people, runs and time do to them: sensible or not, in any order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from penstock_contracts.approval.v1 import (
    Approvers,
    CastVote,
    Choice,
    FireTimers,
    Policy,
    Proposal,
    RequestApproval,
    Standing,
    WithdrawApproval,
)
from penstock_contracts.ids import approval_id, derive
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, JsonObject, Wire
from penstock_core.binding import bind
from penstock_testkit.given import START_US

RUN = derive("run", "laws")
APPROVAL = approval_id(RUN, "gate", 1)
REQUESTER = "ann"
PEOPLE = (REQUESTER, "bob", "cyd", "dan", "eve")
WAITS_S = 100.0
PROPOSAL = Proposal(agent="patcher", input={"path": "a"})
BINDING = bind(PROPOSAL)
OTHER_DIGEST = bind(Proposal(agent="patcher", input={"path": "b"})).digest
FORM: JsonObject = {
    "type": "object",
    "required": ["ticket"],
    "properties": {"ticket": {"type": "string"}},
}

_roles = st.lists(st.sampled_from(["approver", "viewer", "ops"]), max_size=2, unique=True)
_groups = st.lists(st.sampled_from(["core", "sales"]), max_size=2, unique=True)


@dataclass(frozen=True, slots=True)
class Step:
    """Time passes (with or without timers), then a command comes; None: none does.

    Attributes:
        tenant: where the command comes from.
    """

    seconds: float
    timers: bool
    command: Wire | None
    tenant: str = DEFAULT_TENANT


def policies() -> st.SearchStrategy[Policy]:
    """Give any policy of a gate."""
    approvers = st.builds(
        Approvers,
        users=st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True).map(tuple),
        groups=_groups.map(tuple),
        roles=_roles.map(tuple),
    )
    return st.builds(
        Policy,
        approvers=st.just(Approvers()) | st.just(Approvers()) | approvers,
        quorum=st.integers(1, 3),
        separation=st.booleans(),
        reason_required=st.booleans(),
        form=st.sampled_from([{}, {}, {}, FORM]),
        remind_every_s=st.sampled_from([None, 7.0, 60.0]),
        push_back=st.sampled_from([(), ("gate",), ("plan", "gate")]),
        grant_s=st.sampled_from([1.0, 3600.0]),
    )


def request(policy: Policy, requested_by: str = f"token:{REQUESTER}") -> RequestApproval:
    """Give a run's request that waits `WAITS_S`."""
    return RequestApproval(
        approval_id=APPROVAL,
        tenant=DEFAULT_TENANT,
        run_id=RUN,
        partition="run-0",
        workflow="flow",
        node="gate",
        attempt=1,
        title="Go?",
        proposal=PROPOSAL,
        binding=BINDING,
        policy=policy,
        requested_by=requested_by,
        expires_us=START_US + int(WAITS_S * MICROSECONDS),
    )


def votes() -> st.SearchStrategy[CastVote]:
    """Give any vote; most could count."""
    still = st.just(Standing(roles=("approver",)))
    moved = st.builds(Standing, roles=_roles.map(tuple), groups=_groups.map(tuple))
    standing = st.dictionaries(st.sampled_from(PEOPLE), still | moved, min_size=3)
    return st.builds(
        CastVote,
        approval_id=st.just(APPROVAL),
        choice=st.sampled_from([*[Choice.APPROVE] * 5, *Choice]),
        reason=st.sampled_from(["", " ", *["so be it"] * 6]),
        to=st.sampled_from([None, None, "gate", "plan", "elsewhere"]),
        answers=st.sampled_from([{}, {}, {}, {"ticket": "T-1"}, {"ticket": "T-2"}, {"ticket": 1}]),
        digest=st.sampled_from([None, None, BINDING.digest, BINDING.digest, OTHER_DIGEST]),
        user=st.sampled_from(PEOPLE),
        roles=st.sampled_from([("approver",), ("approver", "ops"), ("approver",), ("viewer",), ()]),
        groups=_groups.map(tuple),
        standing=st.none() | standing,
    )


def steps(policy: Policy) -> st.SearchStrategy[Step]:
    """Give any step that an approval of `policy` may meet."""
    cast = votes()
    rest = st.sampled_from(
        [
            None,
            request(policy),
            request(Policy()),
            FireTimers(),
            WithdrawApproval(approval_id=APPROVAL, reason="over"),
        ]
    )
    drawn = st.integers(0, 9).flatmap(lambda number: rest if number == 0 else cast)
    tenants = st.sampled_from([*[DEFAULT_TENANT] * 19, "other"])
    seconds = st.sampled_from([*[0.0] * 12, 1.0, 7.0, 40.0, 99.0])
    return st.builds(Step, seconds, st.booleans(), drawn, tenants)
