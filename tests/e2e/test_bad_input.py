"""Bad messages and bad definitions: what each sender is told, and that the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_contracts import subjects
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.ids import trigger_aggregate_id
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import Stream
from penstock_testkit.stack import Json, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

MB = 1024 * 1024
TENANT = "default"
WAIT_S = 20.0
TYPED = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "list": {"items": {"type": "string"}}},
    "required": ["count"],
    "additionalProperties": False,
}


async def parked(stack: RunningStack, path: str) -> Json:
    """Wait until the trigger published under `path` is parked; gives it with its bytes."""
    subject, found = subjects.trigger(TENANT, path), []

    async def listed() -> bool:
        dead = await stack.get("/api/dead?limit=500")
        found[:] = [item["id"] for item in dead["items"] if item["subject"] == subject]
        return bool(found)

    await stack.until(listed, WAIT_S)
    return await stack.get(f"/api/dead/{found[0]}")


async def assert_the_partition_goes_on(stack: RunningStack) -> None:
    await stack.apply("goes-on", {"only": {"agent": "noop"}})
    assert (await stack.ended(await stack.trigger("goes-on")))["run"]["status"] == "succeeded"
    assert stack.chain_fault("catalog") is None


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("no-json", b'{"inputs": ', "the payload is not JSON: EOF while parsing a value at line 1"),
        (
            "no-id",
            b'{"specversion": "1.0", "source": "ci", "type": "pushed"}',
            "CloudEvent: attribute 'id' is missing or empty",
        ),
        (
            "version-2",
            b'{"specversion": "2.0", "id": "1", "source": "ci", "type": "pushed"}',
            "CloudEvent: specversion must be 1.0, not '2.0'",
        ),
    ],
)
async def test_a_malformed_trigger_is_parked_with_its_reason(
    stack: RunningStack, name: str, payload: bytes, said: str
) -> None:
    path = f"nats.{name}"
    await stack.publish("TRIGGERS", subjects.trigger(TENANT, path), payload)
    shown = await parked(stack, path)
    assert (shown["code"], shown["stream"], shown["status"]) == ("malformed", "TRIGGERS", "parked")
    assert shown["detail"].startswith(said)
    assert base64.b64decode(shown["raw"]) == payload
    api = JetStreamApi(await stack.bus())
    subject = subjects.dead(TENANT, Stream.TRIGGERS, f"trigger.{path}")
    kept = await api.last_message_on("DEAD", subject)
    assert kept is not None
    assert json.loads(kept.payload)["detail"] == shown["detail"]
    await assert_the_partition_goes_on(stack)


async def test_an_unknown_workflow_is_named(stack: RunningStack) -> None:
    status, problem = await stack.call("POST", "/api/workflows/nowhere/trigger", {"inputs": {}})
    assert status == 404
    assert problem["code"] == "unknown_workflow"
    assert problem["detail"] == "there is no workflow 'nowhere'"


async def test_a_trigger_on_nats_that_starts_nothing_is_recorded(stack: RunningStack) -> None:
    for path, code, said in (
        ("workflow.nowhere", "unknown_workflow", "there is no workflow 'nowhere'"),
        ("nats.nobody.listens", "no_match", "no workflow is triggered by nats.nobody.listens"),
    ):
        await stack.publish("TRIGGERS", subjects.trigger(TENANT, path), b"{}", f"of-{path}")
        aggregate = trigger_aggregate_id(TENANT, f"msg:of-{path}")

        async def told(aggregate: str = aggregate) -> bool:
            return bool(stack.stored(aggregate))

        await stack.until(told, WAIT_S)
        (event,) = stack.stored(aggregate)
        assert event.topic == "trigger.trigger_ignored.v1"
        assert (event.data["code"], event.data["detail"]) == (code, said)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"count": "three"}, "typed: count: must be of type integer, not string"),
        ({}, "typed: 'count' is required"),
        ({"count": 1, "list": ["a", 2]}, "typed: list[1]: must be of type string, not integer"),
        ({"count": 1, "cuont": 2}, "typed: unknown: 'cuont'"),
    ],
)
async def test_input_that_fails_its_schema_is_refused_with_its_place(
    stack: RunningStack, inputs: Json, said: str
) -> None:
    await stack.apply("typed", {"only": {"agent": "noop"}}, inputs=TYPED)
    status, problem = await stack.call("POST", "/api/workflows/typed/trigger", {"inputs": inputs})
    assert status == 422
    assert problem["code"] == "invalid_inputs"
    assert problem["detail"] == said


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * MB


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "in chunks"])
async def test_a_body_of_20_mb_is_refused_at_the_http_door(
    stack: RunningStack, chunked: bool
) -> None:
    data = pieces(20) if chunked else b" " * 20 * MB
    status, problem = await stack.send("POST", "/api/triggers/nats.large", data)
    assert status == 413
    assert problem["code"] == "too_large"
    assert problem["detail"] == "the body is larger than 10 MB; send a reference instead"


async def test_a_trigger_of_20_mb_is_refused_at_the_publisher(stack: RunningStack) -> None:
    subject = subjects.trigger(TENANT, "nats.large")
    said = r"a message of 20971520 bytes for \S+ exceeds the 12582912 bytes that the bus takes"
    with pytest.raises(ValueError, match=said):
        await stack.publish("TRIGGERS", subject, b" " * 20 * MB)


async def test_the_server_itself_refuses_20_mb(stack: RunningStack) -> None:
    login = stack.endpoints.logins[BusUser.TRIGGER]
    place = urlsplit(login.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    async with asyncio.timeout(WAIT_S):
        info = json.loads((await reader.readline()).removeprefix(b"INFO "))
        assert info["max_payload"] == 12 * MB
        connect = {"user": login.user, "pass": login.password, "verbose": False}
        subject = subjects.trigger(TENANT, "nats.large")
        head = f"CONNECT {json.dumps(connect)}\r\nPUB {subject} {20 * MB}\r\n"
        writer.write(head.encode())
        lines = [line async for line in reader]
    writer.close()
    assert b"-ERR 'Maximum Payload Violation'\r\n" in lines


async def test_a_trigger_of_11_mb_on_nats_is_parked_without_its_bytes(stack: RunningStack) -> None:
    path, size = "nats.11mb", 11 * MB
    await stack.publish("TRIGGERS", subjects.trigger(TENANT, path), b" " * size)
    shown = await parked(stack, path)
    assert shown["code"] == "too_large"
    assert shown["detail"] == "the payload is larger than 10 MB; send a reference instead"
    assert shown["size_bytes"] == size
    assert len(base64.b64decode(shown["raw"])) == MAX_INLINE_BYTES
    largest = max(len(json.dumps(event.data)) for event in stack.partition("catalog"))
    assert largest < 2 * MAX_INLINE_BYTES
    await assert_the_partition_goes_on(stack)


# --- definitions --------------------------------------------------------------------------------


TELLS = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "lines": {"type": "integer"}},
    "required": ["text"],
}
TAKES = {"type": "object", "properties": {"number": {"type": "integer"}}}


def document(**nodes: Any) -> Json:
    return {"name": "faulty", "nodes": nodes}


FAULTY: dict[str, tuple[Json, Json]] = {
    "a cycle": (
        document(
            a={"agent": "noop", "needs": ["c"]},
            b={"agent": "noop", "needs": ["a"]},
            c={"agent": "noop", "needs": ["b"]},
        ),
        {
            "pointer": "/nodes/a/needs/0",
            "code": "cycle",
            "message": "nodes wait for each other: a needs c needs b needs a",
            "suggestion": "take \"c\" out of the needs of 'a', or another of these",
        },
    ),
    "an unknown agent": (
        document(a={"agent": "nop"}),
        {
            "pointer": "/nodes/a/agent",
            "code": "unknown_agent",
            "message": "there is no agent 'nop'",
            "suggestion": "did you mean `noop`?",
        },
    ),
    "a template to a node that does not precede": (
        document(
            a={"agent": "noop", "with": {"payload": "{{b.output.payload}}"}},
            b={"agent": "noop"},
        ),
        {
            "pointer": "/nodes/a/with/payload",
            "code": "not_before",
            "message": "'b' need not have ended when this is read",
            "suggestion": 'add "b" to needs',
        },
    ),
    "a type mismatch": (
        document(
            a={"agent": "teller"},
            b={"agent": "taker", "needs": ["a"], "with": {"number": "{{a.output.text}}"}},
        ),
        {
            "pointer": "/nodes/b/with/number",
            "code": "type_mismatch",
            "message": "`a.output.text` gives string where integer is needed",
            "suggestion": "these would fit: `a.output.lines`",
        },
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
async def test_a_faulty_definition_is_refused_with_place_and_suggestion(
    stack: RunningStack, fault: str
) -> None:
    whole, expected = FAULTY[fault]
    await stack.register({"name": "teller", "command": ["true"], "output": TELLS})
    await stack.register({"name": "taker", "command": ["true"], "input": TAKES})
    status, problem = await stack.call("PUT", "/api/workflows/faulty", whole)
    assert status == 422
    assert problem["code"] == "invalid_definition"
    assert problem["problems"] == [expected]
    assert (await stack.call("GET", "/api/workflows/faulty"))[0] == 404
