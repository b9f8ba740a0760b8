"""What every request passes: limits, authentication, trace, metrics, problems, headers."""

import ipaddress
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from penstock_contracts.envelope import MAX_BODY_BYTES
from penstock_runtime.faults import TransientFault
from penstock_runtime.telemetry.fields import placed
from penstock_runtime.telemetry.metrics import (
    HTTP_OPEN,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    RATE_LIMITED,
    Metrics,
)
from penstock_runtime.telemetry.trace import continue_trace
from penstock_webhook_gateway.http.access import Principal, authenticate
from penstock_webhook_gateway.http.context import PRINCIPAL, TRACEPARENT, doors, too_large
from penstock_webhook_gateway.http.limits import RateLimit
from penstock_webhook_gateway.http.problems import Problem, response
from penstock_webhook_gateway.waiting import TooManyWaiters

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Entropy = Callable[[int], bytes]
CONTENT_POLICY = "Content-Security-Policy"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    CONTENT_POLICY: "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
    "Server": "penstock",
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
IPV6_NETWORK = 64  # bits that one customer usually has to himself
RATE_HEADERS = web.RequestKey("rate_headers", dict[str, str])
API = "/api/"
_HTTP_CODES = {404: "not_found", 405: "not_allowed", 413: "too_large"}


class Guard:
    """The middlewares of one server."""

    def __init__(
        self,
        metrics: Metrics,
        limit: RateLimit,
        *,
        trust_forwarded_for: bool,
        entropy: Entropy = os.urandom,
    ) -> None:
        """Count into `metrics`, limit by `limit`; traces are drawn from `entropy`."""
        self._metrics = metrics
        self._open: Counter[str] = Counter()  # by route: as many as there are routes
        self._limit = limit
        self._trust_forwarded_for = trust_forwarded_for
        self._entropy = entropy

    def middlewares(self) -> list[Middleware]:
        """Give them, outermost first."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.answer(request, handler)

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.admit(request, handler)

        return [answer, admit]

    async def dress(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Put the security headers on whatever is about to be sent, streams included."""
        stricter = answer.headers.get(CONTENT_POLICY)
        answer.headers.update(SECURITY_HEADERS)
        if stricter is not None:
            answer.headers[CONTENT_POLICY] = stricter
        answer.headers.update(request.get(RATE_HEADERS, {}))

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn refusals into problem details; measure."""
        clock = doors(request).clock
        started = clock.now_us()
        trace = continue_trace(request.headers.get("traceparent"), self._entropy)
        request[TRACEPARENT] = trace.header()
        place = trace if request.path.startswith(API) else None  # others are not worth a span
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "none"
        self._count_open(name, 1)
        try:
            with placed(place):
                answer = await self._answered(request, handler)
        finally:
            self._count_open(name, -1)
        method = request.method if request.method in METHODS else "other"
        self._metrics.add(HTTP_REQUESTS, method, name, str(answer.status))
        seconds = (clock.now_us() - started) / 1e6
        with placed(place):
            self._metrics.observe(HTTP_SECONDS, seconds, method, name)
        return answer

    def _count_open(self, route: str, change: int) -> None:
        self._open[route] += change
        self._metrics.set(HTTP_OPEN, self._open[route], route)

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        instance = request.rel_url.raw_path
        try:
            return await handler(request)
        except Problem as problem:
            return response(problem, instance)
        except web.HTTPRequestEntityTooLarge:
            return response(too_large(), instance)
        except web.HTTPException as refusal:
            code = _HTTP_CODES.get(refusal.status, "malformed")
            kept = {name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers}
            return response(Problem(refusal.status, code, refusal.reason, headers=kept), instance)
        except ConnectionResetError:
            raise
        except TransientFault as fault:
            log.warning("a request cannot be served now", extra={"reason": str(fault)})
            return response(_unavailable("a part behind the API does not answer"), instance)
        except TooManyWaiters:
            return response(_unavailable("too many requests are waiting"), instance)
        except Exception:  # the outermost boundary of a request: logged, told without details
            log.exception("a request has failed", extra={"path": instance})
            detail = "a defect here; it was logged"
            return response(Problem(500, "invariant_broken", detail), instance)

    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count against the rate limit, authenticate, refuse what is over a limit."""
        if not request.path.startswith(API):
            return await handler(request)
        principal = await self._principal(request)
        if not _storable(request.path) or not all(map(_storable, request.query.values())):
            raise Problem(400, "malformed", "the address holds characters that no name has")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise too_large()
        if principal is not None:
            request[PRINCIPAL] = principal
        return await handler(request)

    async def _principal(self, request: web.Request) -> Principal | None:
        """Give the caller; everybody is counted first but a local caller with a valid token."""
        address = self._address(request)
        reader = doors(request).reader
        if not _is_loopback(address):
            self._count(request, address)
            return await authenticate(request.headers, reader)
        try:
            principal = await authenticate(request.headers, reader)
        except Problem:
            self._count(request, address)
            raise
        if principal is None:
            self._count(request, address)
        return principal

    def _count(self, request: web.Request, address: str) -> None:
        verdict = self._limit.take(_counted_as(address), doors(request).clock.now_us() / 1e6)
        request[RATE_HEADERS] = verdict.headers()
        if not verdict.allowed:
            self._metrics.add(RATE_LIMITED)
            detail = (
                f"more than {verdict.limit} requests a minute; try again in {verdict.reset_s} s"
            )
            raise Problem(429, "rate_limited", detail)

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if self._trust_forwarded_for and forwarded:
            # The proxy's own word is the last; what stands before it, the client may have written.
            return forwarded[-1].rpartition(",")[2].strip()
        return request.remote or "unknown"


def _unavailable(what: str) -> Problem:
    return Problem(503, "unavailable", f"{what}; try again", headers={"Retry-After": "1"})


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _is_loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _counted_as(address: str) -> str:
    """Give what is counted together: an IPv4 address, or an IPv6 network."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed), IPV6_NETWORK), strict=False))
    return str(parsed or address)


def _storable(text: str) -> bool:
    """Tell whether the text can be a key: UTF-8 without the zero character."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
