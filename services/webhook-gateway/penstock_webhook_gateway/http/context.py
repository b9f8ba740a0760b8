"""What every route works with."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from pydantic import JsonValue, ValidationError
from pydantic_core import from_json, to_json

from penstock_contracts.envelope import MAX_BODY_BYTES, Envelope, first_fault
from penstock_contracts.ids import derive
from penstock_contracts.registry import type_of
from penstock_contracts.subjects import Stream
from penstock_contracts.values import JsonObject, Wire
from penstock_runtime.ports.artifacts import ArtifactShelf, NoArtifacts
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.heartbeat import HeartbeatReader, NoHeartbeats
from penstock_runtime.ports.projection import ViewReader
from penstock_runtime.ports.tail import StreamTail
from penstock_runtime.telemetry.trace import child_header
from penstock_webhook_gateway.answers import answer_to
from penstock_webhook_gateway.http.access import Principal, Role, require
from penstock_webhook_gateway.http.problems import Problem, refused
from penstock_webhook_gateway.waiting import Applied, Waiters

SOURCE = "penstock/webhook-gateway"
IDEMPOTENCY_KEY = "Idempotency-Key"
KEY_MAX = 256  # characters of an Idempotency-Key
WireT = TypeVar("WireT", bound=Wire)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a request waits, in seconds.

    Attributes:
        outcome_s: for a command's outcome.
        trigger_s: for a trigger's; then it is answered 202: delivered, not yet seen.
        keepalive_s: for the next event of a run before the client is sent a comment.
        log_end_s: for the next log line; after it the log of an ended run is complete.
        restore_s: for an artifact that is missing to be put back.
    """

    outcome_s: float = 10.0
    trigger_s: float = 2.0
    keepalive_s: float = 15.0
    log_end_s: float = 0.5
    restore_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Doors:
    """Everything the routes reach."""

    publisher: Publisher
    reader: ViewReader
    tail: StreamTail
    waiters: Waiters
    clock: Clock
    waits: Waits = Waits()
    heartbeats: HeartbeatReader = field(default_factory=NoHeartbeats)
    artifacts: ArtifactShelf = field(default_factory=NoArtifacts)


DOORS = web.AppKey("doors", Doors)
PRINCIPAL = web.RequestKey("principal", Principal)
TRACEPARENT = web.RequestKey("traceparent", str)


def doors(request: web.Request) -> Doors:
    """Give what the routes reach."""
    return request.app[DOORS]


def caller(request: web.Request, allowed: frozenset[Role]) -> Principal:
    """Give the caller, who must have one of the roles."""
    return require(request.get(PRINCIPAL), allowed)


async def read_json(request: web.Request, most_bytes: int = MAX_BODY_BYTES) -> JsonValue:
    """Read a body of at most `most_bytes`.

    Raises:
        Problem: 413, 415, or 400 with the place of the fault.
    """
    if request.content_type not in ("application/json", "application/cloudevents+json"):
        raise Problem(415, "malformed", "send JSON with `Content-Type: application/json`")
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    except ConnectionResetError:  # nobody hears this; without it each would be logged as a defect
        raise Problem(400, "malformed", "the connection was lost before the body") from None
    if len(raw) > most_bytes:
        raise too_large(most_bytes)
    try:
        value: JsonValue = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, "malformed", f"the body is not JSON: {error}") from None
    return value


def too_large(most_bytes: int = MAX_BODY_BYTES) -> Problem:
    """Say that a body is over the limit."""
    limit = most_bytes // (1024 * 1024)
    return Problem(
        413, "too_large", f"the body is larger than {limit} MB; send a reference instead"
    )


async def read_object(request: web.Request, most_bytes: int = MAX_BODY_BYTES) -> JsonObject:
    """Read a body that must be a JSON object.

    Raises:
        Problem: it is not.
    """
    value = await read_json(request, most_bytes)
    if not isinstance(value, dict):
        raise Problem(400, "malformed", "the body must be a JSON object")
    return value


def reply(body: object, status: int = 200, **headers: str) -> web.Response:
    """Answer with JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        body=to_json(body), status=status, content_type="application/json", headers=named
    )


def command_id(request: web.Request, principal: Principal) -> str:
    """Give the command's id: drawn, or derived from the caller's Idempotency-Key.

    Raises:
        Problem: 400: the key is too long or not printable.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key:
        if len(key) > KEY_MAX or not (key.isascii() and key.isprintable()):
            detail = f"{IDEMPOTENCY_KEY}: at most {KEY_MAX} printable ASCII characters"
            raise Problem(400, "malformed", detail)
        return derive("http", principal.tenant, principal.name, request.path, key)
    return str(uuid.uuid4())


async def send(
    request: web.Request,
    principal: Principal,
    subject: str,
    stream: Stream,
    about: str,
    body: Wire,
    message_id: str,
) -> None:
    """Publish a command.

    Raises:
        Problem: 503: the bus does not take it.
    """
    trace = sending(request, subject, message_id)
    envelope = Envelope(
        id=message_id,
        source=SOURCE,
        type=type_of(body),
        subject=about,
        tenant=principal.tenant,
        actor=principal.actor,
        traceparent=trace,
        data=body.to_data(),
    )
    parent = request.get(TRACEPARENT)
    message = Outgoing(stream.value, subject, encoded(envelope), message_id, trace, parent)
    check_published(await doors(request).publisher.publish([message]))


def sending(request: web.Request, subject: str, message_id: str) -> str | None:
    """Give the `traceparent` of a message that the request sends."""
    return child_header(request.get(TRACEPARENT), "send", subject, message_id)


def encoded(envelope: Envelope) -> bytes:
    """Give the envelope's bytes.

    Raises:
        Problem: 413: in its envelope the body is over what consumers take.
    """
    payload = envelope.encode()
    if len(payload) > MAX_BODY_BYTES:
        raise too_large()
    return payload


def check_published(outcomes: Sequence[Published]) -> None:
    """Refuse when the bus did not take everything.

    Raises:
        Problem: 503.
    """
    bad = [outcome for outcome in outcomes if outcome in (Published.FAILED, Published.FULL)]
    if bad:
        detail = (
            "the stream is full; try again later"
            if Published.FULL in bad
            else "the bus does not answer; nothing was accepted, repeating is safe"
        )
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"})


async def outcome_of(
    request: web.Request,
    principal: Principal,
    subject: str,
    stream: Stream,
    about: str,
    body: Wire,
    within_s: float | None = None,
) -> Applied:
    """Publish a command and await its outcome in the read model, `within_s` if that is shorter.

    Raises:
        Problem: the command was refused (with the service's code), or nothing came back in time.
        TooManyWaiters: the bound on waiting requests is reached.
    """
    message_id = command_id(request, principal)
    door = doors(request)
    try:
        with door.waiters.expect(message_id) as waiting:
            known = None
            if IDEMPOTENCY_KEY in request.headers:
                known = await answer_to(door.reader, principal.tenant, message_id)
            if known is None:
                await send(request, principal, subject, stream, about, body, message_id)
                patience_s = min(within_s or door.waits.outcome_s, door.waits.outcome_s)
                known = await asyncio.wait_for(waiting, patience_s)
    except TimeoutError:
        detail = "delivered, but not answered yet; repeating with the same Idempotency-Key is safe"
        raise Problem(504, "unavailable", detail) from None
    raise_refusal(known[1])
    return known


def raise_refusal(told: Wire) -> None:
    """Turn a `CommandRejected` of any kind into a problem.

    Raises:
        Problem: it was one.
    """
    if type(told).__name__ != "CommandRejected":
        return
    data = told.to_data()
    problems = data.get("problems", ())
    raise refused(str(data.get("code")), str(data.get("detail", "")), problems)


def model(kind: type[WireT], body: object, *, foreign: bool = False) -> WireT:
    """Read a body into its model.

    Args:
        kind: the model.
        body: what was sent.
        foreign: the format is somebody else's, who may add fields to it.

    Raises:
        Problem: 422 with the first fault and its place.
    """
    try:
        return kind.model_validate(body, extra="ignore" if foreign else "forbid")
    except ValidationError as error:
        raise Problem(422, "malformed", first_fault(error)) from None
