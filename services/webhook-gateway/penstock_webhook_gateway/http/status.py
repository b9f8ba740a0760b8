"""The route that says how the gateway itself stands."""

from collections.abc import Callable
from importlib.metadata import version

from aiohttp import web

from penstock_contracts.values import JsonObject
from penstock_webhook_gateway.http.access import READ
from penstock_webhook_gateway.http.context import caller, reply


def routes(projection: Callable[[], JsonObject]) -> list[web.RouteDef]:
    """Give the routes; `projection` says how far the read model is."""

    async def show(request: web.Request) -> web.Response:
        """Show version, caller and read model."""
        who = caller(request, READ)
        return reply(
            {
                "version": version("penstock"),
                "caller": {
                    "name": who.name,
                    "roles": list(who.roles),
                    "groups": list(who.groups),
                    "tenant": who.tenant,
                },
                "projection": projection(),
            }
        )

    return [web.get("/api/status", show)]
