"""Routes of parked messages: list, show, redrive."""

from aiohttp import web

from penstock_contracts import subjects
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import OPERATE, READ
from penstock_webhook_gateway.http.context import caller, doors, outcome_of, reply
from penstock_webhook_gateway.http.paging import page_of
from penstock_webhook_gateway.http.runs import find
from penstock_webhook_gateway.kinds import View

VERB = "redrive_messages"


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/dead", list_dead),
        web.get("/api/dead/{dead}", show_dead),
        web.post("/api/dead/{dead}/redrive", redrive),
    ]


async def list_dead(request: web.Request) -> web.Response:
    """List parked messages, newest first; filters `status` and `stream`."""
    who = caller(request, READ)
    rows, following = await page_of(request, View.DEAD, who.tenant, "status", "stream")
    items: list[JsonObject] = [
        {"id": row.id, **{key: value for key, value in row.body.items() if key != "raw"}}
        for row in rows
    ]
    return reply({"items": items, "next": following})


async def show_dead(request: web.Request) -> web.Response:
    """Show one parked message with its bytes (base64)."""
    who = caller(request, READ)
    row = await find(request, View.DEAD, who.tenant, request.match_info["dead"], "no_match")
    return reply({"id": row.id, **row.body})


async def redrive(request: web.Request) -> web.Response:
    """Put this message, and all that are parked with it, back on their streams in order."""
    who = caller(request, OPERATE)
    row = await find(request, View.DEAD, who.tenant, request.match_info["dead"], "no_match")
    holder, partition = str(row.body["holder"]), str(row.body["partition"])
    stream, subject = _door(who.tenant, partition, holder)
    await outcome_of(request, who, subject, stream, holder, RedriveMessages(aggregate=holder))
    rows = await doors(request).reader.children(View.DEAD, who.tenant, holder)
    return reply({"redriven": [_short(item) for item in rows]})


def _door(tenant: str, partition: str, holder: str) -> tuple[Stream, str]:
    """Give the stream and subject that reach the partition."""
    if partition == CATALOG_PARTITION:
        return Stream.CATALOG, subjects.catalog(tenant, "parked", holder, VERB)
    if partition == APPROVAL_PARTITION:
        return Stream.APPROVALS, subjects.approval(tenant, holder, VERB)
    return Stream.RUNS, subjects.run(tenant, partition, holder, VERB)


def _short(row: ViewRow) -> JsonObject:
    return {"id": row.id, "status": row.body.get("status"), "subject": row.body.get("subject")}
