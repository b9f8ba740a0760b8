"""Live events and logs of a run as server-sent events, with resume."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web
from pydantic_core import from_json, to_json

from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_contracts.records import ReadEvent, read_published, time_text
from penstock_contracts.registry import name_of
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import LogLines
from penstock_contracts.values import MICROSECONDS
from penstock_core.run.state import ENDED, RunStatus
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received
from penstock_webhook_gateway.http.access import READ
from penstock_webhook_gateway.http.context import caller, doors
from penstock_webhook_gateway.http.places import Places
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.http.runs import find_run

STREAM_MAX_S = 6 * 3600.0  # a client reconnects with its Last-Event-ID
STREAMS_MAX = 1_000  # clients that follow something at the same time
END = b"event: end\ndata: {}\n\n"
KEEPALIVE = b": keep-alive\n\n"
EARLIER_US = 60 * MICROSECONDS  # servers of a cluster may be so far apart
SAID = frozenset({"progress", "partial"})  # lines that are JSON, each an event of its own name
_TERMINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled"})


STREAMS = web.AppKey("streams", Places)
STREAMS_BUSY = "too many clients follow something"


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
    feed = _EventFeed(row.id, _resume(request))
    filter_ = subjects.events_of(who.tenant, "run", row.id)
    started_us = row.body.get("started_us")
    since_us = max(started_us - EARLIER_US, 0) if isinstance(started_us, int) else 0

    async def on_silence() -> bytes:
        return END if await _ended(request, who.tenant, row.id) else KEEPALIVE

    silence_s = doors(request).waits.keepalive_s
    events = doors(request).tail.follow(Stream.EVENTS, filter_, since_us=since_us)
    return await _stream(request, events, silence_s, feed.frames, on_silence)


def _resume(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
    if not text.isascii() or not text.isdigit():
        raise Problem(400, "malformed", "Last-Event-ID: the version of the last event seen")
    return int(text[:12])


class _EventFeed:
    """The run's events by version: each once, and none in front of a gap (the repair follows).

    Its subjects bring those of other runs as well; they say nothing here.
    """

    def __init__(self, run_id: str, seen: int) -> None:
        self._run_id = run_id
        self._seen = seen

    def frames(self, message: Received) -> bytes | None:
        """Give what the client is to see of a message; None: it is not of this run."""
        try:
            event = read_published(message.payload)
        except MalformedMessage:
            return None
        if event.aggregate_id != self._run_id:
            return None
        last = END if name_of(event.topic) in _TERMINAL else b""
        if event.version <= self._seen:
            return last  # seen before: the client only has to know that nothing will follow
        if event.version != self._seen + 1:
            return b""
        self._seen = event.version
        return _frame(event) + last


async def _stream(
    request: web.Request,
    following: AbstractAsyncContextManager[AsyncIterator[Received]],
    silence_s: float,
    frames_of: Callable[[Received], bytes | None],
    on_silence: Callable[[], Awaitable[bytes]],
) -> web.StreamResponse:
    """Write what is followed until something ends with `END`, or the client is gone.

    Raises:
        Problem: 503: too many streams are open.
        TransientFault: the bus does not answer; nothing was sent to the client yet.
    """
    with request.app[STREAMS].one():
        async with following as messages:
            response = await _open(request)
            with contextlib.suppress(TimeoutError, ConnectionResetError, TransientFault):
                async with (
                    asyncio.timeout(STREAM_MAX_S),
                    contextlib.aclosing(_said(messages, frames_of)) as said,
                    contextlib.aclosing(_with_silence(said, silence_s)) as heard,
                ):
                    async for told in heard:
                        frames = await on_silence() if told is None else told
                        if frames:  # an empty chunk would end the answer
                            await response.write(frames)
                        if frames.endswith(END):
                            break
    return response


async def _open(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    return response


async def _said(
    messages: AsyncIterator[Received], frames_of: Callable[[Received], bytes | None]
) -> AsyncGenerator[bytes]:
    """Give the frames of what is to be heard here."""
    async for message in messages:
        frames = frames_of(message)
        if frames is not None:
            yield frames


async def _with_silence(
    said: AsyncIterator[bytes], silence_s: float
) -> AsyncGenerator[bytes | None]:
    """Give frames; None stands for `silence_s` without any."""
    following = asyncio.ensure_future(anext(said, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=silence_s)
            if not done:
                yield None
                continue
            frames = following.result()
            if frames is None:
                return
            yield frames
            following = asyncio.ensure_future(anext(said, None))
    finally:
        following.cancel()
        await asyncio.wait([following])  # the tail may only be closed when nobody reads it


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
    filter_ = subjects.logs_of(who.tenant, row.id)

    async def on_silence() -> bytes:
        over = not follow or await _ended(request, who.tenant, row.id)
        return END if over else KEEPALIVE

    silence_s = doors(request).waits.log_end_s
    lines = doors(request).tail.follow(Stream.LOGS, filter_)
    return await _stream(request, lines, silence_s, _log_frames, on_silence)


async def _ended(request: web.Request, tenant: str, run_id: str) -> bool:
    row = await doors(request).reader.get("run", tenant, run_id)
    return row is not None and RunStatus(str(row.body["status"])) in ENDED


def _log_frames(message: Received) -> bytes:
    try:
        lines = LogLines.model_validate(Envelope.decode(message.payload).data)
    except ValueError:
        return b""
    return b"".join(_log_frame(lines, stream, text) for stream, text in lines.lines)


def _log_frame(lines: LogLines, stream: str, text: str) -> bytes:
    shown: dict[str, object] = {
        "node": lines.node,
        "attempt": lines.attempt,
        "at_us": lines.at_us,
    }
    if stream in SAID:
        try:
            said: object = from_json(text)
        except ValueError:
            return b""
        return f"event: {stream}\ndata: ".encode() + to_json({**shown, "said": said}) + b"\n\n"
    return b"event: log\ndata: " + to_json({**shown, "stream": stream, "text": text}) + b"\n\n"
