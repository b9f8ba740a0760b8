"""Live events and logs of a run as server-sent events, with resume."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from pydantic_core import to_json

from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_contracts.records import ReadEvent, read_published, time_text
from penstock_contracts.registry import name_of
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import LogLines
from penstock_core.run.state import ENDED, RunStatus
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received
from penstock_webhook_gateway.http.access import READ
from penstock_webhook_gateway.http.context import caller, doors
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.http.runs import find_run

KEEPALIVE_S = 15.0
STREAM_MAX_S = 6 * 3600.0  # a client reconnects with its Last-Event-ID
LOG_END_S = 0.5  # silence after which the log of an ended run is complete
_TERMINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled"})


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/runs/{run}/events", run_events),
        web.get("/api/runs/{run}/logs", run_logs),
    ]


async def run_events(request: web.Request) -> web.StreamResponse:
    """Follow a run's events; resume by `Last-Event-ID` (the version of the last one seen)."""
    who = caller(request, READ)
    row = await find_run(request, who.tenant)
    seen = _resume(request)
    filter_ = subjects.events_of(who.tenant, "run", row.id)
    response = await _open(request)
    async with _follow(request, Stream.EVENTS, filter_) as messages:
        async for message in messages:
            event = _event(message)
            if event is None:
                await response.write(b": keep-alive\n\n")
                continue
            if event.version <= seen:
                continue
            seen = event.version
            await response.write(_frame(event))
            if name_of(event.topic) in _TERMINAL:
                await response.write(b"event: end\ndata: {}\n\n")
                return response
    return response


def _resume(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
    if not text.isascii() or not text.isdigit():
        raise Problem(400, "malformed", "Last-Event-ID: the version of the last event seen")
    return int(text[:12])


async def _open(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    return response


@contextlib.asynccontextmanager
async def _follow(
    request: web.Request, stream: Stream, filter_: str, silence_s: float = KEEPALIVE_S
) -> AsyncIterator[AsyncIterator[Received | None]]:
    """Follow a filter; None stands for `silence_s` without a message."""
    try:
        async with (
            asyncio.timeout(STREAM_MAX_S),
            doors(request).tail.follow(stream.value, filter_) as messages,
        ):
            yield _with_silence(messages, silence_s)
    except (TimeoutError, ConnectionResetError, TransientFault):
        return


async def _with_silence(
    messages: AsyncIterator[Received], silence_s: float
) -> AsyncIterator[Received | None]:
    following = asyncio.ensure_future(anext(messages, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=silence_s)
            if not done:
                yield None
                continue
            message = following.result()
            if message is None:
                return
            yield message
            following = asyncio.ensure_future(anext(messages, None))
    finally:
        following.cancel()


def _event(message: Received | None) -> ReadEvent | None:
    if message is None:
        return None
    try:
        return read_published(message.payload)
    except MalformedMessage:
        return None


def _frame(event: ReadEvent) -> bytes:
    shown = {
        "type": event.topic,
        "version": event.version,
        "partition": event.partition,
        "n": event.n,
        "time": time_text(event.meta.time_us),
        "causationid": event.meta.causation_id,
        "actor": event.meta.actor,
        "traceparent": event.meta.traceparent,
        "data": event.data,
    }
    head = f"id: {event.version}\nevent: {name_of(event.topic)}\ndata: "
    return head.encode() + to_json(shown) + b"\n\n"


async def run_logs(request: web.Request) -> web.StreamResponse:
    """Give a run's log lines so far and, with `follow=1`, those to come until the run ends."""
    who = caller(request, READ)
    row = await find_run(request, who.tenant)
    follow = request.query.get("follow", "0") in ("1", "true")
    response = await _open(request)
    filter_ = subjects.logs_of(who.tenant, row.id)
    async with _follow(request, Stream.LOGS, filter_, LOG_END_S) as messages:
        async for message in messages:
            if message is not None:
                await response.write(_log_frames(message))
            elif not follow or await _ended(request, who.tenant, row.id):
                await response.write(b"event: end\ndata: {}\n\n")
                return response
            else:
                await response.write(b": keep-alive\n\n")
    return response


async def _ended(request: web.Request, tenant: str, run_id: str) -> bool:
    row = await doors(request).reader.get("run", tenant, run_id)
    return row is not None and RunStatus(str(row.body["status"])) in ENDED


def _log_frames(message: Received) -> bytes:
    try:
        lines = LogLines.model_validate(Envelope.decode(message.payload).data)
    except ValueError:
        return b""
    frames: list[bytes] = []
    for stream, text in lines.lines:
        shown = {
            "node": lines.node,
            "attempt": lines.attempt,
            "at_us": lines.at_us,
            "stream": stream,
            "text": text,
        }
        frames.append(b"event: log\ndata: " + to_json(shown) + b"\n\n")
    return b"".join(frames)
