"""What an approval is bound to: digests of exactly what will execute."""

from pydantic import JsonValue

from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.grant.v1 import Binding
from penstock_core.workflow.canonical import canonical_digest

PARTS = ("agent", "input", "effect", "base")


def bind(proposal: Proposal) -> Binding:
    """Give the digests of a proposal, part by part and as a whole.

    Raises:
        ValueError: something in it has no canonical form (RFC 8785).
    """
    plan = proposal.plan
    agent: JsonValue = {"name": proposal.agent, "digest": proposal.agent_digest}
    parts = {
        "agent": canonical_digest(agent),
        "input": canonical_digest(proposal.input),
        "effect": canonical_digest(None if plan is None else plan.effect),
        "base": canonical_digest(None if plan is None else plan.base),
    }
    whole: JsonValue = dict(parts)
    return Binding(**parts, digest=canonical_digest(whole))


def differences(approved: Binding, found: Binding) -> tuple[str, ...]:
    """Name the parts in which two bindings differ."""
    return tuple(part for part in PARTS if getattr(approved, part) != getattr(found, part))
