"""The AsyncAPI 3.0 document of the bus, contracts/asyncapi/penstock.json.

Channels, messages, and one operation for each service and channel that the bus's permissions let
it send to or read from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock_contracts.permissions import BusUser, Permissions
from penstock_testkit.generate._channels import Channel, channels, owner_of, reads, sends, services
from penstock_testkit.generate._messages import ENVELOPE, all_models, summary_of
from penstock_testkit.generate.schemas import FOLDER as SCHEMAS
from penstock_testkit.generate.schemas import PUBLISHED

PAGE = "contracts/asyncapi/penstock.json"
OWNS = ("contracts/asyncapi/*",)
ENVELOPED = "application/cloudevents+json"
ANY_JSON = "any_json"
_UP = "../" + SCHEMAS.rpartition("/")[2]


def document() -> dict[str, Any]:
    """The whole document."""
    models = all_models()
    all_channels = channels()
    used = {name for channel in all_channels for name in channel.messages}
    event_types = set(next(c for c in all_channels if c.key == "events").messages)
    messages = {
        name: _message(name, models[name], PUBLISHED if name in event_types else ENVELOPE)
        for name in models
        if name in used
    }
    messages[ANY_JSON] = _any_json()
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": ENVELOPED,
        "servers": {
            "bus": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS with JetStream; users and permissions are generated.",
            }
        },
        "channels": {channel.key: _channel(channel) for channel in all_channels},
        "operations": _operations(all_channels),
        "components": {"messages": messages},
    }


def _info() -> dict[str, Any]:
    return {
        "title": "Penstock",
        "version": version("penstock"),
        "description": (
            "Everything that passes between Penstock's services, and what users may publish and "
            "subscribe to. Every message but a plain trigger is a CloudEvent 1.0 in structured "
            "mode. Written by `make generate` from penstock_contracts. Do not edit."
        ),
        "license": {
            "name": "Apache-2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
    }


def _message(name: str, model: type[BaseModel], envelope: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": model.__name__,
        "summary": summary_of(model),
        "contentType": ENVELOPED,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {
                "allOf": [{"$ref": f"{_UP}/{envelope}.json"}],
                "properties": {
                    "type": {"const": name},
                    "data": {"$ref": f"{_UP}/{name}.json"},
                },
                "required": ["type", "data"],
            },
        },
    }


def _any_json() -> dict[str, Any]:
    return {
        "name": ANY_JSON,
        "title": "Any JSON",
        "summary": "Any JSON value, or a CloudEvent around one.",
        "contentType": "application/json",
        "payload": {},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = list(channel.messages) or [ANY_JSON]
    body: dict[str, Any] = {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "parameters": {name: {"description": text} for name, text in channel.parameters.items()},
    }
    if channel.stream is not None:
        body["x-stream"] = channel.stream.value
        body["x-owner"] = owner_of(channel.stream).value
    return body


def _operations(all_channels: list[Channel]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for user, given in services().items():
        for channel in all_channels:
            operations.update(_operations_on(user, given, channel))
    return operations


def _operations_on(user: BusUser, given: Permissions, channel: Channel) -> dict[str, Any]:
    found: dict[str, Any] = {}
    sent = sends(given, channel)
    if sent is not None:
        found[f"{user.value}.send.{channel.key}"] = _operation(
            "send", channel, f"{user.value} may publish here.", sent
        )
    if reads(given, channel):
        found[f"{user.value}.receive.{channel.key}"] = _operation(
            "receive", channel, f"{user.value} reads here.", list(channel.messages)
        )
    return found


def _operation(action: str, channel: Channel, summary: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.key}"},
        "summary": summary,
        "messages": [
            {"$ref": f"#/channels/{channel.key}/messages/{name}"} for name in names or [ANY_JSON]
        ],
    }


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the document."""
    return {PAGE: json.dumps(document(), indent=2, ensure_ascii=False) + "\n"}
