"""Routes of approvals: list, show, respond."""

from aiohttp import web

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote
from penstock_contracts.codes import Code
from penstock_contracts.subjects import Stream
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
        await outcome_of(request, who, subject, Stream.APPROVALS, row.id, vote)
    except Problem as problem:
        if problem.code == Code.NOT_PROPOSED:
            problem.more = {"shown": said.digest, "proposed": digest_of(row)}
        raise
    after = await doors(request).reader.get(View.APPROVAL, who.tenant, row.id)
    return reply((await _detail(request, who, after or row)).shown())


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
