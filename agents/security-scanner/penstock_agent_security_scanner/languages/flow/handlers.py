"""Functions that a framework calls, and what it gives them."""

from penstock_agent_security_scanner.languages.flow.program import Expr, Record
from penstock_agent_security_scanner.languages.flow.values import Value

# Callbacks of these get what the call's owner holds.
ITERATING = frozenset(
    {"map", "forEach", "filter", "then", "find", "some", "every", "flatMap", "reduce", "ifPresent",
     "each", "sort", "findIndex", "tap", "subscribe"}
)  # fmt: skip
_ROUTING = frozenset(
    {"get", "post", "put", "delete", "patch", "all", "use", "del", "route", "head"}
)
_ROUTERS = ("app", "router", "express()", "Router()", "fastify", "server", "route()", "restify")
HANDLER_NAMES = ("req", "res", "next", "extra")


CLOUD_HANDLERS = frozenset({"handler", "lambdaHandler", "lambda_handler"})
_REQUEST_PARTS = frozenset({"query", "body", "params", "headers", "cookies", "file", "files"})


def is_request(pattern: Expr | None) -> bool:
    """Whether a parameter takes a request apart: `({ query, body }, res) => ...`."""
    if not isinstance(pattern, Record):
        return False
    return any(name in _REQUEST_PARTS for name, _ in pattern.pairs)


def is_route(ref: str, name: str, args: list[Value]) -> bool:
    """Whether a call hands over the handler of a route."""
    if name not in _ROUTING or not args:
        return False
    last = ref.rsplit(".", 1)[-1]
    return any(last.endswith(router) for router in _ROUTERS) or (
        (args[0].text or "").startswith("/") and name != "use"
    )
