"""How approvals are shown: the shapes of the answers, and how rows become them."""

from typing import Any

from pydantic import Field, JsonValue
from pydantic_core import to_json

from penstock_contracts.approval.v1 import Choice, Policy, Proposal
from penstock_contracts.grant.v1 import Binding
from penstock_contracts.values import MICROSECONDS, JsonObject, Wire
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.standing import Holders, missing, stands, votes_of

PENDING = "pending"
VALUE_CHARS = 80  # of one input in a summary
LINE_CHARS = 300  # of all of them


class Vote(Wire):
    """One person's vote.

    Attributes:
        digest: of what the voter was shown; None: not said.
        stands: whether the voter is still an approver; a vote of one who is not counts no more.
    """

    user: str
    choice: Choice
    reason: str = ""
    to: str | None = None
    answers: JsonObject = Field(default={})
    digest: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    at_us: int
    stands: bool


class ApprovalSummary(Wire):
    """An approval as lists show it.

    Attributes:
        status: pending, approved, rejected, pushed_back, expired or withdrawn.
        digest: of what would be executed: the binding's. Give it back with the decision.
        agent: None for a pure gate.
        input_summary: what the agent gets (of a pure gate: what the approvers see), on one line
            and shortened: it tells gates apart that look alike.
        plan_summary: one line about the plan; None where there is none.
        quorum: how many different people have to approve.
        missing: approvals that the quorum still lacks; 0 once it is settled.
        seconds_left: until it expires, which denies; 0 once it is settled.
        to: node that works again after a push back.
        reason: of the decision; of a push back: the feedback.
    """

    approval_id: str
    status: str
    tenant: str
    run_id: str
    workflow: str
    node: str
    attempt: int
    title: str = ""
    requested_by: str = ""
    requested_us: int
    expires_us: int
    digest: str
    agent: str | None
    input_summary: str
    plan_summary: str | None
    quorum: int
    missing: int
    seconds_left: float
    reminders: int = 0
    reminded_us: int | None = None
    decided_by: tuple[str, ...] = ()
    decided_us: int | None = None
    reason: str = ""
    to: str | None = None

    def shown(self) -> dict[str, Any]:
        """Give it as JSON, what stands at its default included."""
        return self.model_dump(mode="json", by_alias=True)


class ApprovalDetail(ApprovalSummary):
    """An approval with all it is about.

    Attributes:
        because: why people are asked again; "" the first time.
        context: what the definition wants approvers to see.
        proposal: exactly what will be executed once it is approved.
        binding: digests of it, part by part.
        policy: how it is decided.
        answers: to the policy's form.
        granted_us: when leave was given, and until when it stands.
    """

    because: str = ""
    context: JsonObject = Field(default={})
    proposal: Proposal
    binding: Binding
    policy: Policy
    votes: tuple[Vote, ...] = ()
    answers: JsonObject = Field(default={})
    granted_us: int | None = None
    grant_expires_us: int | None = None
    partition: str = Field(description="run partition that gets the answer")


class ApprovalPage(Wire):
    """A page of a list of approvals.

    Attributes:
        next: give it as `before` for the page after; None: this is the last.
    """

    items: tuple[ApprovalSummary, ...]
    next: str | None


def policy_of(row: ViewRow) -> Policy:
    """Read the policy of an approval's row."""
    return Policy.model_validate(row.body.get("policy") or {})


def digest_of(row: ViewRow) -> str:
    """Read the digest of what is proposed."""
    return Binding.model_validate(row.body["binding"]).digest


def one_line(values: JsonObject) -> str:
    """Give the values as `name=value, ..`, every value and the whole of it shortened."""
    told = (f"{name}={_cut(_text(value), VALUE_CHARS)}" for name, value in values.items())
    return _cut(", ".join(told), LINE_CHARS)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else to_json(value).decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def summary(row: ViewRow, found: Holders, now_us: int) -> ApprovalSummary:
    """Give an approval as lists show it."""
    return ApprovalSummary.model_validate({**row.body, **_derived(row, found, now_us)})


def detail(row: ViewRow, found: Holders, now_us: int) -> ApprovalDetail:
    """Give all of an approval."""
    policy = policy_of(row)
    votes = [{**vote, "stands": stands(policy, found, vote)} for vote in votes_of(row)]
    return ApprovalDetail.model_validate(
        {**row.body, **_derived(row, found, now_us), "votes": votes}
    )


def _derived(row: ViewRow, found: Holders, now_us: int) -> dict[str, Any]:
    policy, pending = policy_of(row), row.body.get("status") == PENDING
    proposal = Proposal.model_validate(row.body.get("proposal") or {})
    expires_us = row.body.get("expires_us")
    left_us = expires_us - now_us if isinstance(expires_us, int) else 0
    return {
        "approval_id": row.id,
        "digest": digest_of(row),
        "agent": proposal.agent,
        "input_summary": one_line(proposal.input),
        "plan_summary": None if proposal.plan is None else proposal.plan.summary,
        "quorum": policy.quorum,
        "missing": missing(policy, found, votes_of(row)) if pending else 0,
        "seconds_left": max(left_us, 0) / MICROSECONDS if pending else 0.0,
    }
