"""Routes of API tokens: issue, list, revoke."""

import secrets

from aiohttp import web

from penstock_contracts.trigger.v1 import IssueToken, RevokeToken
from penstock_contracts.values import SYSTEM_TENANT
from penstock_runtime.ports.projection import PAGE_MAX
from penstock_webhook_gateway.http.access import ADMINISTER, token_hash
from penstock_webhook_gateway.http.bodies import NewToken
from penstock_webhook_gateway.http.catalog import to_catalog
from penstock_webhook_gateway.http.context import caller, doors, model, read_object, reply
from penstock_webhook_gateway.kinds import View

PREFIX = "pst_"
SECRET_BYTES = 32
_SHOWN = ("name", "roles", "groups", "issued_us")


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/tokens", list_tokens),
        web.post("/api/tokens", issue_token),
        web.delete("/api/tokens/{name}", revoke_token),
    ]


async def list_tokens(request: web.Request) -> web.Response:
    """List tokens by name: roles and groups of each, never a secret or its hash."""
    who = caller(request, ADMINISTER)
    reader = doors(request).reader
    rows = await reader.page(View.TOKEN, SYSTEM_TENANT, group=who.tenant, limit=PAGE_MAX)
    items = [{name: row.body.get(name) for name in _SHOWN} for row in rows]
    return reply({"items": sorted(items, key=lambda item: str(item["name"]))})


async def issue_token(request: web.Request) -> web.Response:
    """Make a token; it is shown once and stored as its hash. An older one of the name is void."""
    who = caller(request, ADMINISTER)
    new = model(NewToken, await read_object(request))
    token = f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"
    roles = tuple(role.value for role in new.roles)
    command = IssueToken(name=new.name, sha256=token_hash(token), roles=roles, groups=new.groups)
    await to_catalog(request, who, "token", new.name, command)
    made = {"name": new.name, "roles": roles, "groups": new.groups, "token": token}
    return reply(made, 201)


async def revoke_token(request: web.Request) -> web.Response:
    """Make a token worthless."""
    who, name = caller(request, ADMINISTER), request.match_info["name"]
    await to_catalog(request, who, "token", name, RevokeToken(name=name))
    return reply({"name": name, "revoked": True})
