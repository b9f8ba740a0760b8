"""Votes: who may cast which, and when they settle a gate.

The refusals come in a fixed order: what is asked of the approval first, then of the person, then
of what the person says. So nobody learns anything about a gate that is not theirs to decide.
"""

from pydantic_core import to_json

from penstock_contracts.approval.v1 import (
    APPROVER_ROLE,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalRequested,
    Approvers,
    CastVote,
    Choice,
    Policy,
    Standing,
    VoteCast,
)
from penstock_contracts.codes import Code
from penstock_contracts.values import MICROSECONDS, JsonObject, Wire
from penstock_core.approval.state import ApprovalState, ApprovalStatus
from penstock_core.decision import Context, Decision, Outcome, Rejection, Stale
from penstock_core.workflow.inputs import check_inputs, with_defaults

ANSWERS_MAX_BYTES = 16 * 1024  # as JSON: they become a part of events and of the node's output
DIGEST_SHOWN_CHARS = 12  # hex digits, enough for people to tell two digests apart
_ALWAYS_WITH_REASON = frozenset({Choice.REJECT, Choice.PUSH_BACK})


def vote(state: ApprovalState, command: CastVote, context: Context) -> Outcome:
    """Answer a vote: refuse it, or count it and settle the gate if it is the last one needed."""
    if context.command_id in state.rejected:
        return Stale(Code.STALE)
    request = state.request
    if request is None or context.tenant != request.tenant:
        return Rejection(Code.UNKNOWN_APPROVAL, f"there is no approval {state.approval_id}")
    refusal = (
        _not_open(state, request, command, context)
        or _not_theirs(state, request, command)
        or _not_said_well(request, command)
    )
    if refusal is not None:
        return refusal
    cast = _counted(request.policy, command)
    return Decision((cast, *_settling(state, request.policy, cast, command.standing, context)))


# --- refusals -----------------------------------------------------------------------------------


def _not_open(
    state: ApprovalState, request: ApprovalRequested, command: CastVote, context: Context
) -> Rejection | None:
    if state.status is not ApprovalStatus.PENDING:
        own = ", with your vote" if _voted(state, command.user) else ""
        return Rejection(Code.ALREADY_DECIDED, f"already {state.status}{own}")
    if context.now_us >= request.expires_us:
        return Rejection(Code.LATE, "the approval expired before this vote arrived")
    return None


def _not_theirs(
    state: ApprovalState, request: ApprovalRequested, command: CastVote
) -> Rejection | None:
    policy = request.policy
    if not allowed(policy.approvers, command.user, command.roles, command.groups):
        return Rejection(Code.NOT_ALLOWED, f"{command.user} is not an approver of this gate")
    if policy.separation and is_requester(request.requested_by, command.user):
        return Rejection(
            Code.SELF_APPROVAL, f"{command.user} asked for this run and may not decide on it"
        )
    if _voted(state, command.user):
        return Rejection(Code.ALREADY_VOTED, f"{command.user} has voted: one person, one vote")
    return None


def _not_said_well(request: ApprovalRequested, command: CastVote) -> Rejection | None:
    policy, binding = request.policy, request.binding
    if command.digest is not None and command.digest != binding.digest:
        seen, proposed = _short(command.digest), _short(binding.digest)
        detail = f"your vote is about {seen}, but {proposed} is proposed: look at it again"
        return Rejection(Code.NOT_PROPOSED, detail)
    needed = policy.reason_required or command.choice in _ALWAYS_WITH_REASON
    if needed and not command.reason.strip():
        return Rejection(Code.REASON_REQUIRED, "give a reason with this decision")
    if command.choice is Choice.PUSH_BACK:
        return _no_push_back(policy, command.to)
    if command.choice is Choice.APPROVE:
        fault = _fault_of(policy.form, command.answers)
        return None if fault is None else Rejection(Code.INVALID_ANSWERS, fault)
    return None


def _no_push_back(policy: Policy, to: str | None) -> Rejection | None:
    possible = ", ".join(policy.push_back)
    if not possible:
        return Rejection(
            Code.NO_PUSH_BACK, "this gate sends nothing back, or not any more: approve or reject"
        )
    if to is None and len(policy.push_back) > 1:
        return Rejection(Code.NO_PUSH_BACK, f"say which node is to work again: {possible}")
    if to is not None and to not in policy.push_back:
        return Rejection(Code.NO_PUSH_BACK, f"{to} cannot be sent back here, only {possible}")
    return None


def _fault_of(form: JsonObject, answers: JsonObject) -> str | None:
    if not form:
        return "this gate asks for no answers" if answers else None
    if len(to_json(answers)) > ANSWERS_MAX_BYTES:
        return f"the answers are larger than {ANSWERS_MAX_BYTES // 1024} KiB"
    fault = check_inputs(form, with_defaults(form, answers))
    return None if fault is None else f"answers: {fault}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:DIGEST_SHOWN_CHARS]


# --- people -------------------------------------------------------------------------------------


def allowed(
    approvers: Approvers, user: str, roles: tuple[str, ...], groups: tuple[str, ...] = ()
) -> bool:
    """Tell whether a principal is among the approvers of a gate.

    A gate that names nobody is for the role approver, and for admin, who can give any role.
    """
    wanted = approvers.roles
    if not (approvers.users or approvers.groups or approvers.roles):
        wanted = (APPROVER_ROLE, "admin")
    return (
        user in approvers.users
        or any(group in approvers.groups for group in groups)
        or any(role in wanted for role in roles)
    )


def is_requester(requested_by: str, user: str) -> bool:
    """Tell whether `user` is who asked for the run, by name or as the principal of a token."""
    return requested_by in (user, f"token:{user}")


def _voted(state: ApprovalState, user: str) -> bool:
    return any(vote.user == user for vote in state.votes)


def approvals_missing(state: ApprovalState, policy: Policy) -> int:
    """Give how many approvals a pending gate lacks, at least one.

    Votes of people who have lost their standing since are taken as given: only the next vote
    says who has.
    """
    given = sum(vote.choice is Choice.APPROVE for vote in state.votes)
    return max(1, policy.quorum - given)


# --- settling -----------------------------------------------------------------------------------


def _counted(policy: Policy, command: CastVote) -> VoteCast:
    approves = command.choice is Choice.APPROVE
    pushes = command.choice is Choice.PUSH_BACK
    return VoteCast(
        choice=command.choice,
        user=command.user,
        roles=command.roles,
        groups=command.groups,
        reason=command.reason,
        to=(command.to or policy.push_back[0]) if pushes else None,
        answers=with_defaults(policy.form, command.answers) if approves else {},
        digest=command.digest,
    )


def _settling(
    state: ApprovalState,
    policy: Policy,
    cast: VoteCast,
    standing: dict[str, Standing] | None,
    context: Context,
) -> tuple[Wire, ...]:
    """Give the event that settles the gate, or nothing while approvals are missing."""
    match cast.choice:
        case Choice.REJECT:
            return (ApprovalRejected(by=(cast.user,), reason=cast.reason),)
        case Choice.PUSH_BACK:
            to = cast.to or ""
            return (ApprovalPushedBack(by=(cast.user,), to=to, feedback=cast.reason),)
        case Choice.APPROVE:
            by = (*_standing_approvers(state, policy, standing), cast.user)
            if len(by) < policy.quorum:
                return ()
            granted = ApprovalGranted(
                by=by,
                reason=cast.reason,
                answers=cast.answers,
                granted_us=context.now_us,
                expires_us=context.now_us + int(policy.grant_s * MICROSECONDS),
            )
            return (granted,)


def _standing_approvers(
    state: ApprovalState, policy: Policy, standing: dict[str, Standing] | None
) -> tuple[str, ...]:
    """Give who approved before and still may; each voted once, so all are different people."""
    users = tuple(vote.user for vote in state.votes if vote.choice is Choice.APPROVE)
    if standing is None:
        return users
    return tuple(
        user
        for user in users
        if (now := standing.get(user)) is not None
        and allowed(policy.approvers, user, now.roles, now.groups)
    )
