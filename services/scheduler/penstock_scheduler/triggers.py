"""Reading triggers: any JSON, or a CloudEvent in structured or binary mode."""

import hashlib
from typing import Any, cast

from pydantic import JsonValue
from pydantic_core import from_json

from penstock_contracts.envelope import MAX_BODY_BYTES, MalformedMessage, OversizedMessage
from penstock_contracts.ids import trigger_aggregate_id
from penstock_contracts.subjects import parse
from penstock_contracts.trigger.v1 import ReceiveTrigger
from penstock_contracts.values import JsonObject
from penstock_runtime.domain import Addressed
from penstock_runtime.ports.inbox import Received

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
    """
    address = parse(message.subject)
    if len(message.payload) > MAX_BODY_BYTES:
        limit = MAX_BODY_BYTES // (1024 * 1024)
        raise OversizedMessage(f"the payload is larger than {limit} MB; send a reference instead")
    headers = {key.lower(): value for key, value in message.headers.items()}
    event, trigger_id = _event(message, headers)
    path = ".".join(address.rest)
    event = {**event, "path": path}
    return Addressed(
        aggregate_id=trigger_aggregate_id(address.tenant, trigger_id),
        command=ReceiveTrigger(trigger_id=trigger_id, path=path, event=event),
        command_id=trigger_id,
        actor=str(event.get("actor") or "") or f"trigger:{address.rest[0]}",
        tenant=address.tenant,
        traceparent=_text(event.get("traceparent")) or headers.get("traceparent"),
        founds=True,
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
    return {"id": trigger_id, "data": body}, _bounded(trigger_id)


def _checked(event: JsonObject) -> tuple[JsonObject, str]:
    version = event.get("specversion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise MalformedMessage(f"CloudEvent: specversion must be 1.0, not {version!r}")
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value:
            raise MalformedMessage(f"CloudEvent: attribute {name!r} is missing or empty")
    return event, _bounded(f"ce:{event['source']}#{event['id']}")


def _bounded(trigger_id: str) -> str:
    """Keep ids short: a long one is replaced by its hash."""
    if len(trigger_id) <= 200:
        return trigger_id
    return f"sha256:{hashlib.sha256(trigger_id.encode()).hexdigest()}"


def _json(payload: bytes, what: str) -> JsonValue:
    if not payload:
        return None
    try:
        return cast("Any", from_json(payload, allow_inf_nan=False))
    except ValueError as error:
        raise MalformedMessage(f"the {what} is not JSON: {error}") from None
