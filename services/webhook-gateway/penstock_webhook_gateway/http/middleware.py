"""What every request passes: limits, authentication, trace, metrics, problems, headers."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from penstock_contracts.envelope import MAX_BODY_BYTES
from penstock_runtime.telemetry.fields import bound
from penstock_runtime.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS, RATE_LIMITED, Metrics
from penstock_runtime.telemetry.trace import continue_trace
from penstock_webhook_gateway.http.access import authenticate
from penstock_webhook_gateway.http.context import doors, too_large
from penstock_webhook_gateway.http.limits import RateLimit
from penstock_webhook_gateway.http.problems import Problem, response

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
API = "/api/"
_HTTP_CODES = {404: "not_found", 405: "not_allowed", 413: "too_large"}


class Guard:
    """The middlewares of one server."""

    def __init__(self, metrics: Metrics, limit: RateLimit, *, trust_forwarded_for: bool) -> None:
        """Count into `metrics`, limit by `limit`."""
        self._metrics = metrics
        self._limit = limit
        self._trust_forwarded_for = trust_forwarded_for

    def middlewares(self) -> list[Middleware]:
        """Give them, outermost first."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.answer(request, handler)

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.admit(request, handler)

        return [answer, admit]

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn refusals into problem details; measure; put the security headers on."""
        clock = doors(request).clock
        started = clock.now_us()
        trace = continue_trace(request.headers.get("traceparent"), "http", request.path)
        request["traceparent"] = trace.header()
        with bound(trace=trace.trace_id):
            answer = await self._answered(request, handler)
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "none"
        self._metrics.add(HTTP_REQUESTS, request.method, name, str(answer.status))
        seconds = (clock.now_us() - started) / 1e6
        self._metrics.observe(HTTP_SECONDS, seconds, request.method, name)
        if not answer.prepared:
            answer.headers.update(SECURITY_HEADERS)
            answer.headers.update(request.get("rate_headers", {}))
        return answer

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return response(problem, request.path)
        except web.HTTPRequestEntityTooLarge:
            return response(too_large(), request.path)
        except web.HTTPException as refusal:
            code = _HTTP_CODES.get(refusal.status, "malformed")
            return response(Problem(refusal.status, code, refusal.reason), request.path)
        except ConnectionResetError:
            raise
        except Exception:  # the outermost boundary of a request: logged, told without details
            log.exception("a request has failed", extra={"path": request.path})
            detail = "a defect here; it was logged"
            return response(Problem(500, "invariant_broken", detail), request.path)

    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authenticate, then count against the rate limit, then refuse bodies over the limit."""
        if not request.path.startswith(API):
            return await handler(request)
        address = self._address(request)
        try:
            principal = await authenticate(request.headers, doors(request).reader)
        except Problem:
            self._count(request, address)
            raise
        if principal is None or not _is_loopback(address):
            self._count(request, address)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise too_large()
        request["principal"] = principal
        return await handler(request)

    def _count(self, request: web.Request, address: str) -> None:
        verdict = self._limit.take(address, doors(request).clock.now_us() / 1e6)
        request["rate_headers"] = verdict.headers()
        if not verdict.allowed:
            self._metrics.add(RATE_LIMITED)
            detail = (
                f"more than {verdict.limit} requests a minute; try again in {verdict.reset_s} s"
            )
            raise Problem(429, "rate_limited", detail)

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.get("X-Forwarded-For", "")
        if self._trust_forwarded_for and forwarded:
            return forwarded.rpartition(",")[2].strip()
        return request.remote or "unknown"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
