"""Who people are now, for votes that were cast before: from the tokens of the read model."""

from collections.abc import Mapping, Sequence

from penstock_contracts.approval.v1 import Choice, Policy, Standing
from penstock_contracts.values import SYSTEM_TENANT, JsonObject
from penstock_core.approval.voting import allowed
from penstock_runtime.ports.projection import PAGE_MAX, ViewReader, ViewRow
from penstock_webhook_gateway.catalog_views import token_holder
from penstock_webhook_gateway.http.access import texts
from penstock_webhook_gateway.kinds import View

Holders = Mapping[str, Standing]
"""Everybody with a token, by name."""


def votes_of(row: ViewRow) -> list[JsonObject]:
    """Read the votes of an approval's row."""
    votes = row.body.get("votes")
    return [vote for vote in votes if isinstance(vote, dict)] if isinstance(votes, list) else []


async def voters_of(reader: ViewReader, tenant: str, approvals: Sequence[ViewRow]) -> Holders:
    """Look up who people are now, if anybody has voted on these at all."""
    voters = sorted({str(vote.get("user")) for row in approvals for vote in votes_of(row)})
    return await holders(reader, tenant, voters) if voters else {}


async def holders(reader: ViewReader, tenant: str, voters: Sequence[str]) -> Holders:
    """Give everybody of a tenant who has a token, at most `PAGE_MAX`, and each of `voters`."""
    rows = list(await reader.page(View.TOKEN, SYSTEM_TENANT, group=tenant, limit=PAGE_MAX))
    if len(rows) == PAGE_MAX:
        for name in voters:
            rows += await reader.children(View.TOKEN, SYSTEM_TENANT, token_holder(tenant, name))
    return {str(row.body["name"]): _standing(row) for row in rows}


def _standing(row: ViewRow) -> Standing:
    return Standing(roles=texts(row.body.get("roles")), groups=texts(row.body.get("groups")))


def approvers_among(policy: Policy, found: Holders) -> dict[str, Standing]:
    """Give those whom the gate's policy lets decide as things stand.

    All of them, not only those who are known to have voted: a vote that the read model does not
    show yet must count as well.
    """
    return {
        name: standing
        for name, standing in found.items()
        if allowed(policy.approvers, name, standing.roles, standing.groups)
    }


def stands(policy: Policy, found: Holders, vote: JsonObject) -> bool:
    """Tell whether a vote still counts."""
    name = str(vote.get("user"))
    now = found.get(name)
    return now is not None and allowed(policy.approvers, name, now.roles, now.groups)


def missing(policy: Policy, found: Holders, votes: Sequence[JsonObject]) -> int:
    """Give how many approvals the quorum still lacks."""
    approvals = {
        str(vote.get("user"))
        for vote in votes
        if vote.get("choice") == Choice.APPROVE and stands(policy, found, vote)
    }
    return max(policy.quorum - len(approvals), 0)
