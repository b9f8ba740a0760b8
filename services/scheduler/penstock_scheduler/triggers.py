"""Reading triggers: any JSON, or a CloudEvent in structured or binary mode.

Who asks for a run follows from the publisher's credentials, never from what the message says of
itself: the gateway alone may publish below its own token, and there it names the caller whom it has
authenticated. Everybody else is known by the source that their subject names.
"""

from typing import Any, cast

from pydantic import JsonValue
from pydantic_core import from_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_BODY_BYTES, MalformedMessage, OversizedMessage
from penstock_contracts.ids import (
    bounded_trigger_id,
    event_trigger_id,
    gateway_trigger_id,
    trigger_aggregate_id,
)
from penstock_contracts.subjects import GATEWAY_SOURCE, parse
from penstock_contracts.trigger.v1 import GatewayTrigger, ReceiveTrigger
from penstock_contracts.values import JsonObject
from penstock_runtime.domain import Addressed, Refused
from penstock_runtime.ports.inbox import Received
from penstock_runtime.telemetry.trace import TraceContext, parse_traceparent, trigger_trace

_BINARY_PREFIX = "ce-"
_REQUIRED = ("id", "source", "type")
_STRUCTURED = "application/cloudevents+json"


def read_trigger(message: Received) -> Addressed:
    """Understand a message from TRIGGERS.

    Its id is the CloudEvent's source and id; without those `Nats-Msg-Id`; without that its place
    in the stream, so that a publisher that retries without an id starts two runs.

    Raises:
        MalformedMessage: no JSON, or a CloudEvent that lacks what CloudEvents 1.0 requires.
        OversizedMessage: it is over the limit of triggers.
        Refused: it stands below the gateway's token and is not what the gateway publishes.
    """
    address = parse(message.subject)
    if len(message.payload) > MAX_BODY_BYTES:
        limit = MAX_BODY_BYTES // (1024 * 1024)
        raise OversizedMessage(f"the payload is larger than {limit} MB; send a reference instead")
    headers = {key.lower(): value for key, value in message.headers.items()}
    event, trigger_id = _event(message, headers)
    source, path = address.rest[0], ".".join(address.rest)
    actor = f"trigger:{source}"
    if source == GATEWAY_SOURCE:
        path = ".".join(address.rest[1:])
        actor, trigger_id = _from_gateway(event, path)
    event = {**event, "path": path, "actor": actor}
    aggregate = trigger_aggregate_id(address.tenant, trigger_id)
    return Addressed(
        aggregate_id=aggregate,
        command=ReceiveTrigger(trigger_id=trigger_id, path=path, event=event),
        command_id=trigger_id,
        actor=actor,
        tenant=address.tenant,
        traceparent=_trace(event, headers, trigger_trace(aggregate, message.time_us)).header(),
        founds=True,
    )


def _from_gateway(event: JsonObject, path: str) -> tuple[str, str]:
    """Give who asks, and the trigger's id, of what only the gateway publishes.

    The server's own answers can be led to any subject, so the type has to be right as well.

    Raises:
        Refused: it is something else.
    """
    actor, kind = event.get("actor"), event.get("type")
    if not path or not isinstance(actor, str) or not actor or kind not in set(GatewayTrigger):
        raise Refused(Code.FORGED)
    return actor, gateway_trigger_id(str(event["source"]), str(event["id"]))


def _trace(event: JsonObject, headers: dict[str, str], own: TraceContext) -> TraceContext:
    return (
        parse_traceparent(_text(event.get("traceparent")))
        or parse_traceparent(headers.get("traceparent"))
        or own
    )


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _event(message: Received, headers: dict[str, str]) -> tuple[JsonObject, str]:
    if f"{_BINARY_PREFIX}specversion" in headers:
        event: JsonObject = {
            key.removeprefix(_BINARY_PREFIX): value
            for key, value in headers.items()
            if key.startswith(_BINARY_PREFIX)
        }
        return _checked({**event, "data": _json(message.payload, "data")})
    body = _json(message.payload, "payload")
    declared = headers.get("content-type", "").partition(";")[0].strip() == _STRUCTURED
    if declared or (isinstance(body, dict) and "specversion" in body):
        if not isinstance(body, dict):
            raise MalformedMessage("a structured CloudEvent is a JSON object")
        return _checked(body)
    given = headers.get("nats-msg-id")
    trigger_id = f"msg:{given}" if given else f"seq:{message.sequence}/{message.time_us}"
    return {"id": trigger_id, "data": body}, bounded_trigger_id(trigger_id)


def _checked(event: JsonObject) -> tuple[JsonObject, str]:
    version = event.get("specversion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise MalformedMessage(f"CloudEvent: specversion must be 1.0, not {version!r}")
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value:
            raise MalformedMessage(f"CloudEvent: attribute {name!r} is missing or empty")
    return event, event_trigger_id(str(event["source"]), str(event["id"]))


def _json(payload: bytes, what: str) -> JsonValue:
    if not payload:
        return None
    try:
        return cast("Any", from_json(payload, allow_inf_nan=False))
    except ValueError as error:
        raise MalformedMessage(f"the {what} is not JSON: {error}") from None
