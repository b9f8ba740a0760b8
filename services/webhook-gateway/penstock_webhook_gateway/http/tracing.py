"""One span a request."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from penstock_runtime.telemetry.spans import Span, SpanKind, Spans
from penstock_runtime.telemetry.trace import parse_traceparent
from penstock_webhook_gateway.http.context import TRACEPARENT, doors
from penstock_webhook_gateway.http.middleware import METHODS

_FAULT = 500
_API = "/api/"  # health and metrics are asked for too often to be worth a trace


def traced(spans: Spans) -> Middleware:
    """Report each request of the API at the place that its messages are sent from."""

    @web.middleware
    async def report(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not request.path.startswith(_API):
            return await handler(request)
        clock = doors(request).clock
        began_us, status = clock.now_us(), 0
        try:
            answer = await handler(request)
            status = answer.status
        finally:
            _tell(request, spans, began_us, clock.now_us(), status)
        return answer

    return report


def _tell(request: web.Request, spans: Spans, began_us: int, ended_us: int, status: int) -> None:
    place = parse_traceparent(request.get(TRACEPARENT))
    if place is None or not spans.wants(place):
        return
    caller = parse_traceparent(request.headers.get("traceparent"))
    resource = request.match_info.route.resource
    route = "none" if resource is None else resource.canonical
    method = request.method if request.method in METHODS else "other"
    span = Span(
        f"{method} {route}",
        place,
        began_us,
        ended_us,
        "" if caller is None else caller.span_id,
        SpanKind.SERVER,
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        },
        fault=str(status) if status >= _FAULT else ("" if status else "broken_off"),
    )
    spans.report(span)
