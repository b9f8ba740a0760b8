"""Routes of approvals: list, show, respond."""

from aiohttp import web

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote
from penstock_contracts.subjects import Stream
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import DECIDE, READ
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
from penstock_webhook_gateway.http.runs import find
from penstock_webhook_gateway.kinds import View


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/approvals", list_approvals),
        web.get("/api/approvals/{approval}", show_approval),
        web.post("/api/approvals/{approval}/respond", respond),
    ]


async def list_approvals(request: web.Request) -> web.Response:
    """List approvals, newest first; filters `status` and `workflow`."""
    who = caller(request, READ)
    rows, following = await page_of(request, View.APPROVAL, who.tenant, "status", "workflow")
    return reply({"items": [shown(row) for row in rows], "next": following})


def shown(row: ViewRow) -> JsonObject:
    """Give an approval as the API shows it."""
    return {"approval_id": row.id, **row.body}


async def show_approval(request: web.Request) -> web.Response:
    """Show one approval, with what it is about and who has voted."""
    who = caller(request, READ)
    return reply(shown(await _find(request, who.tenant)))


async def _find(request: web.Request, tenant: str) -> ViewRow:
    wanted = request.match_info["approval"]
    return await find(request, View.APPROVAL, tenant, wanted, "unknown_approval")


async def respond(request: web.Request) -> web.Response:
    """Approve or reject, as the caller."""
    who = caller(request, DECIDE)
    row = await _find(request, who.tenant)
    said = model(Decision, await read_object(request))
    vote = CastVote(
        approval_id=row.id,
        choice=said.decision,
        reason=said.reason,
        user=who.name,
        roles=who.roles,
    )
    subject = subjects.approval(who.tenant, row.id, "cast_vote")
    await outcome_of(request, who, subject, Stream.APPROVALS, row.id, vote)
    after = await doors(request).reader.get(View.APPROVAL, who.tenant, row.id)
    return reply(shown(after or row))
