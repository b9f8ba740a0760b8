"""The schemas and the AsyncAPI document are sound by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.permissions import BusUser
from penstock_contracts.registry import COMMANDS, EVENTS
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream, matches
from penstock_contracts.task import v1 as task
from penstock_testkit.generate._channels import channels, sample_subject
from penstock_testkit.generate.asyncapi import PAGE
from penstock_testkit.generate.openapi import PAGE as OPENAPI
from penstock_testkit.generate.openapi import routes
from penstock_testkit.generate.schemas import DIALECT, FOLDER, schema_id
from tests.architecture.tree import ROOT

SCHEMAS = sorted((ROOT / FOLDER).glob("*.json"))
DOCUMENT: dict[str, Any] = json.loads((ROOT / PAGE).read_text(encoding="utf-8"))


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def resolve(document: dict[str, Any], pointer: str) -> object:
    found: Any = document
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_a_schema_is_valid_and_named(file: Path):
    schema = load(file)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == schema_id(file.stem)
    assert schema["description"]
    for reference in references(schema):
        if reference.startswith("#"):
            assert resolve(schema, reference) is not None
        else:
            name = reference.removeprefix(schema_id(""))
            assert (ROOT / FOLDER / f"{name}.json").is_file()


def test_every_type_has_a_schema():
    types = {file.stem for file in SCHEMAS}
    tasks = {task.TASK_TYPE, task.LOG_TYPE, task.CANCEL_TYPE, task.CLAIM_ANSWER_TYPE}
    documents = {
        "envelope.v1",
        "event.v1",
        "workflow.definition.v1",
        "agent.manifest.v1",
        "partition.marker.v1",
    }
    assert types == set(EVENTS) | set(COMMANDS) | tasks | documents


def test_the_definition_schema_speaks_the_language_of_the_file():
    schema = load(ROOT / FOLDER / "workflow.definition.v1.json")
    validator = Draft202012Validator(schema)
    good = {
        "apiVersion": "penstock/v1",
        "name": "demo",
        "timeout": "1h",
        "nodes": {"a": {"agent": "scanner", "with": {"x": 1}, "retry": {"delay": 2}}},
    }
    assert list(validator.iter_errors(good)) == []
    for bad in (
        {"name": "demo"},
        {"name": "Demo!", "nodes": {"a": {}}},
        {"name": "demo", "nodes": {"a": {"agnet": "scanner"}}},
        {"name": "demo", "nodes": {}},
    ):
        assert list(validator.iter_errors(bad))


# --- AsyncAPI -----------------------------------------------------------------------------------


def test_the_document_has_what_version_3_asks_for():
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_every_reference_of_the_document_resolves():
    for reference in references(DOCUMENT):
        if reference.startswith("#/"):
            assert resolve(DOCUMENT, reference), reference
        else:
            assert ((ROOT / PAGE).parent / reference).resolve().is_file(), reference


@pytest.mark.parametrize("key", DOCUMENT["channels"])
def test_every_address_is_a_subject_with_its_parameters(key: str):
    channel = DOCUMENT["channels"][key]
    assert re.findall(r"{(\w+)}", channel["address"]) == list(channel["parameters"])
    address = subjects.parse(channel["address"])
    assert address.rest
    if "x-stream" in channel:
        stream = Stream(channel["x-stream"])
        assert any(matches(pattern, channel["address"]) for pattern in STREAM_SUBJECTS[stream])


def test_every_stream_is_in_the_document_and_takes_the_samples():
    named = {channel.get("x-stream") for channel in DOCUMENT["channels"].values()}
    assert named - {None} == {stream.value for stream in Stream}
    for channel in channels():
        for subject in (*channel.messages.values(), sample_subject(channel)):
            if channel.stream is not None:
                patterns = STREAM_SUBJECTS[channel.stream]
                assert any(matches(pattern, subject) for pattern in patterns), subject


def test_every_message_is_sent_and_received_by_somebody():
    for action in ("send", "receive"):
        told = {
            message["$ref"].rpartition("/")[2]
            for operation in DOCUMENT["operations"].values()
            if operation["action"] == action
            for message in operation["messages"]
        }
        assert told >= set(EVENTS) | set(COMMANDS), action


def test_the_document_says_who_may_decide():
    def senders(message: str) -> set[str]:
        return {
            name.partition(".")[0]
            for name, operation in DOCUMENT["operations"].items()
            if operation["action"] == "send"
            and any(item["$ref"].endswith(f"/{message}") for item in operation["messages"])
        }

    assert senders("run.apply_decision.v1") == {BusUser.APPROVAL.value}
    assert senders("approval.cast_vote.v1") == {BusUser.GATEWAY.value}
    assert senders("task.execute.v1") == {BusUser.SCHEDULER.value}
    assert senders("task.log.v1") == {BusUser.EXECUTOR.value}


# --- OpenAPI ------------------------------------------------------------------------------------

HTTP: dict[str, Any] = json.loads((ROOT / OPENAPI).read_text(encoding="utf-8"))
OPERATIONS = [
    (method, path, operation)
    for path, operations in HTTP["paths"].items()
    for method, operation in operations.items()
]


def test_every_route_is_described_once():
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids)) == len(routes())
    for _, path, operation in OPERATIONS:
        named = [item["name"] for item in operation["parameters"] if item["in"] == "path"]
        assert named == re.findall(r"{(\w+)}", path)
        assert operation["summary"].endswith((".", ")."))
        assert {"401", "403", "429"} <= set(operation["responses"])


def test_every_reference_of_the_api_resolves():
    for reference in references(HTTP):
        assert resolve(HTTP, reference) is not None, reference


def test_bodies_are_valid_schemas():
    for schema in HTTP["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_code_that_the_gateway_answers_with_is_a_known_one():
    written = re.compile(r'(?:Problem\(\s*\d+,|find\([^)]*,|_HTTP_CODES = \{[^}]*?) ?"([a-z_]+)"')
    folder = ROOT / "services/webhook-gateway/penstock_webhook_gateway/http"
    used = {code for file in folder.glob("*.py") for code in written.findall(file.read_text())}
    assert used
    assert used <= {code.value for code in Code}
