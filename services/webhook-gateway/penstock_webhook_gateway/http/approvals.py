"""Routes of approvals: list, show, respond."""

import asyncio
from contextlib import suppress

from aiohttp import web

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote, Choice
from penstock_contracts.codes import Code
from penstock_contracts.subjects import Stream
from penstock_core.approval.state import ApprovalStatus
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import DECIDE, READ, Principal
from penstock_webhook_gateway.http.approval_shapes import (
    ApprovalDetail,
    detail,
    digest_of,
    policy_of,
    summary,
)
from penstock_webhook_gateway.http.bodies import Decision
from penstock_webhook_gateway.http.context import (
    caller,
    doors,
    model,
    outcome_of,
    read_object,
    reply,
)
from penstock_webhook_gateway.http.paging import page_of
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.http.runs import find
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.standing import approvers_among, holders, voters_of, votes_of

SETTLED_WITHIN_S = 2.0  # of a vote that settles its approval, both being in one commit


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/approvals", list_approvals),
        web.get("/api/approvals/{approval}", show_approval),
        web.post("/api/approvals/{approval}/respond", respond),
    ]


async def list_approvals(request: web.Request) -> web.Response:
    """List approvals, newest first, without plans; filters `status` and `workflow`."""
    who = caller(request, READ)
    rows, following = await page_of(request, View.APPROVAL, who.tenant, "status", "workflow")
    found = await voters_of(doors(request).reader, who.tenant, rows)
    now_us = doors(request).clock.now_us()
    items = [summary(row, found, now_us).shown() for row in rows]
    return reply({"items": items, "next": following})


async def show_approval(request: web.Request) -> web.Response:
    """Show one approval: what would be executed, how it is decided, who has voted."""
    who = caller(request, READ)
    return reply((await _detail(request, who, await _find(request, who.tenant))).shown())


async def _find(request: web.Request, tenant: str) -> ViewRow:
    wanted = request.match_info["approval"]
    return await find(request, View.APPROVAL, tenant, wanted, "unknown_approval")


async def _detail(request: web.Request, who: Principal, row: ViewRow) -> ApprovalDetail:
    found = await voters_of(doors(request).reader, who.tenant, [row])
    return detail(row, found, doors(request).clock.now_us())


async def respond(request: web.Request) -> web.Response:
    """Approve, reject or push back, as the caller; `digest` says what you were shown."""
    who = caller(request, DECIDE)
    row = await _find(request, who.tenant)
    said = model(Decision, await read_object(request))
    vote = await _vote(request, who, row, said)
    subject = subjects.approval(who.tenant, row.id, "cast_vote")
    try:
        event, _ = await outcome_of(request, who, subject, Stream.APPROVALS, row.id, vote)
    except Problem as problem:
        if problem.code == Code.NOT_PROPOSED:
            problem.more = {"shown": said.digest, "proposed": digest_of(row)}
        raise
    after = await _settled(request, who, row, said, event.meta.causation_id)
    return reply((await _detail(request, who, after)).shown())


async def _settled(
    request: web.Request, who: Principal, row: ViewRow, said: Decision, cause: str
) -> ViewRow:
    """Give the approval with all that the vote led to.

    A vote and what it settles are two events, and the read model may hold the first for a moment
    before the second.
    """
    door = doors(request)
    with door.waiters.expect(cause) as another:
        after = await door.reader.get(View.APPROVAL, who.tenant, row.id) or row
        approvals = sum(vote.get("choice") == Choice.APPROVE for vote in votes_of(after))
        settles = said.decision is not Choice.APPROVE or approvals >= policy_of(after).quorum
        if settles and after.body.get("status") == ApprovalStatus.PENDING:
            with suppress(TimeoutError):
                await asyncio.wait_for(another, SETTLED_WITHIN_S)
            after = await door.reader.get(View.APPROVAL, who.tenant, row.id) or after
    return after


async def _vote(request: web.Request, who: Principal, row: ViewRow, said: Decision) -> CastVote:
    policy, standing = policy_of(row), None
    if policy.quorum > 1:  # one vote decides otherwise, and there are none before it
        voters = [str(vote.get("user")) for vote in votes_of(row)]
        found = await holders(doors(request).reader, who.tenant, voters)
        standing = approvers_among(policy, found)
    return CastVote(
        approval_id=row.id,
        choice=said.decision,
        reason=said.reason,
        to=said.to,
        answers=said.answers,
        digest=said.digest,
        user=who.name,
        roles=who.roles,
        groups=who.groups,
        standing=standing,
    )
