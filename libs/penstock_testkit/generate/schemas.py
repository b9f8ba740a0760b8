"""JSON Schemas of every message and document, contracts/schemas/<type>.json.

The schema of `workflow.definition.v1` is the one that editors use for workflow files.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock_contracts.subjects import Stream
from penstock_testkit.generate._messages import ENVELOPE, all_models

FOLDER = "contracts/schemas"
OWNS = (f"{FOLDER}/*.json",)
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PUBLISHED = "event.v1"


def schema_id(message_type: str) -> str:
    """The `$id` of a type's schema."""
    return f"urn:penstock:schema:{message_type}"


def schema_of(message_type: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of what is accepted for a model, by the names that stand on the wire."""
    body = model.model_json_schema(by_alias=True, mode="validation")
    for part in _objects(body):
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"])
    return {"$schema": DIALECT, "$id": schema_id(message_type), **body}


def _objects(node: object) -> Iterator[dict[str, Any]]:
    """Every object within a schema whose description is a text, and not a property."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            yield node
        for child in node.values():
            yield from _objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from _objects(child)


def published_event() -> dict[str, Any]:
    """The schema of an event as it stands on EVENTS: the envelope and its place."""
    return {
        "$schema": DIALECT,
        "$id": schema_id(PUBLISHED),
        "title": "PublishedEvent",
        "description": f"An event on {Stream.EVENTS.value}: the envelope with the event's place.",
        "allOf": [{"$ref": schema_id(ENVELOPE)}],
        "type": "object",
        "properties": {
            "subject": {"type": "string", "description": "id of the aggregate"},
            "time": {"type": "string", "format": "date-time"},
            "partition": {"type": "string"},
            "n": {"type": "integer", "minimum": 1, "description": "place in the partition"},
            "version": {"type": "integer", "minimum": 1, "description": "place in the aggregate"},
            "prevhash": {
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
                "description": "head of the partition's hash chain before this event",
            },
            "data": {"type": "object"},
        },
        "required": ["subject", "time", "partition", "n", "version", "prevhash", "data"],
    }


def generate(_root: Path) -> Mapping[str, str]:
    """Writes one file a type."""
    schemas = {name: schema_of(name, model) for name, model in all_models().items()}
    schemas[PUBLISHED] = published_event()
    return {
        f"{FOLDER}/{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }
