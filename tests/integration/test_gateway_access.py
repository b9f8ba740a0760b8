"""Who may do what over HTTP, and what no request may exceed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from multidict import CIMultiDict

from penstock_contracts.envelope import MAX_BODY_BYTES
from penstock_contracts.ids import token_id
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import TokenRevoked
from penstock_runtime.telemetry.metrics import HTTP_REQUESTS, RATE_LIMITED
from tests.integration.gateway_world import QUICK, Client, World, problem_of, serving

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TRIGGER = "/api/workflows/demo/trigger"


async def test_without_a_token_nothing_is_told():
    async with serving(World()) as client:
        answer = await client.get("/api/runs")
        await problem_of(answer, 401, "not_allowed")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "given",
    ["Bearer nobody", "Basic YWRtaW46YWRtaW4=", "Bearer ", "bearer " + "x" * 600, "Bearer \xe9"],
)
async def test_a_bad_token_is_refused(given: str):
    async with serving(World()) as client:
        answer = await client.get("/api/runs", headers={"Authorization": given})
        await problem_of(answer, 401, "not_allowed")


async def test_a_token_says_who_asks_until_it_is_revoked():
    world = World()
    viewer = world.token("ada", "viewer")
    async with serving(world) as client:
        body = await (await client.get("/api/status", headers=viewer)).json()
        assert body["caller"] == {
            "name": "ada", "roles": ["viewer"], "groups": [], "tenant": "default",
        }  # fmt: skip
        revoked = TokenRevoked(tenant="default", name="ada")
        world.emit(CATALOG_PARTITION, token_id("default", "ada"), revoked)
        await world.settled()
        await problem_of(await client.get("/api/status", headers=viewer), 401, "not_allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TRIGGER),
        ("POST", "/api/triggers/ci.build"),
        ("POST", "/api/webhooks/alertmanager"),
        ("POST", "/api/agents"),
        ("PUT", "/api/workflows/demo"),
        ("DELETE", "/api/workflows/demo"),
        ("DELETE", "/api/agents/scanner"),
        ("POST", "/api/tokens"),
        ("DELETE", "/api/tokens/ada"),
        ("POST", "/api/runs/0123/cancel"),
        ("POST", "/api/runs/0123/nodes/patch/settle"),
        ("POST", "/api/dead/0123/redrive"),
    ],
)
@pytest.mark.parametrize("role", ["viewer", "approver", "auditor"])
async def test_reading_roles_change_nothing(method: str, path: str, role: str):
    world = World()
    headers = world.token("ada", role)
    async with serving(world) as client:
        answer = await client.request(method, path, json={}, headers=headers)
        body = await problem_of(answer, 403, "not_allowed")
        assert "needs one of the roles" in body["detail"]
        assert world.sent == []


async def test_only_an_admin_makes_tokens():
    world = World()
    headers = world.token("ada", "operator")
    async with serving(world) as client:
        answer = await client.post("/api/tokens", json={}, headers=headers)
        await problem_of(answer, 403, "not_allowed")


async def test_a_tenant_sees_nothing_of_another():
    world = World()
    other = world.token("eve", "admin", tenant="other")
    world.apply_workflow()
    run = world.start_run()
    async with serving(world) as client:
        assert (await (await client.get("/api/runs", headers=other)).json())["items"] == []
        answer = await client.get(f"/api/runs/{run}", headers=other)
        await problem_of(answer, 404, "unknown_run")


@pytest.fixture
async def operator() -> AsyncIterator[tuple[Client, dict[str, str], World]]:
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    async with serving(world) as client:
        yield client, headers, world


Operator = tuple[Client, dict[str, str], World]


async def test_every_answer_carries_the_security_headers(operator: Operator):
    client, headers, _ = operator
    for path, given in (("/api/status", headers), ("/api/status", {}), ("/nowhere", {})):
        answer = await client.get(path, headers=given)
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
        assert answer.headers["Server"] == "penstock"


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(operator: Operator):
    client, headers, world = operator
    await problem_of(await client.get("/api/nothing", headers=headers), 404, "not_found")
    answer = await client.request("PROPFIND", "/api/status", headers=headers)
    await problem_of(answer, 405, "not_allowed")
    assert "GET" in answer.headers["Allow"]
    assert world.metrics.of(HTTP_REQUESTS, "other", "none", "405") == 1


async def test_a_body_over_the_limit_is_refused_by_its_declared_length(operator: Operator):
    client, headers, _ = operator
    answer = await client.post(TRIGGER, data=BytesIO(b" " * (MAX_BODY_BYTES + 1)), headers=headers)
    body = await problem_of(answer, 413, "too_large")
    assert "10 MB" in body["detail"]


async def test_a_body_over_the_limit_is_refused_while_it_arrives(operator: Operator):
    client, headers, world = operator

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1024 * 1024

    headers = {**headers, "Content-Type": "application/json"}
    answer = await client.post(TRIGGER, data=chunks(), headers=headers)
    await problem_of(answer, 413, "too_large")
    assert world.sent == []


async def test_a_body_that_is_too_large_only_in_its_envelope_is_refused(operator: Operator):
    client, headers, world = operator
    text = json.dumps("x" * (MAX_BODY_BYTES - 2)).encode()
    assert len(text) == MAX_BODY_BYTES
    headers = {**headers, "Content-Type": "application/json"}
    await problem_of(
        await client.post("/api/triggers/ci", data=BytesIO(text), headers=headers), 413, "too_large"
    )
    assert world.sent == []


async def test_only_json_is_taken(operator: Operator):
    client, headers, _ = operator
    answer = await client.post(TRIGGER, data={"inputs": "x"}, headers=headers)
    await problem_of(answer, 415, "malformed")


@pytest.mark.parametrize("text", ["{", '{"inputs": NaN}', '"\ud800"', "", "[" * 1000])
async def test_malformed_json_says_where(operator: Operator, text: str):
    client, headers, _ = operator
    headers = {**headers, "Content-Type": "application/json"}
    raw = text.encode("utf-8", "surrogatepass")
    answer = await client.post("/api/triggers/ci", data=raw, headers=headers)
    body = await problem_of(answer, 400, "malformed")
    assert "the body is not JSON" in body["detail"]


async def test_a_body_that_must_be_an_object_is_one(operator: Operator):
    client, headers, _ = operator
    await problem_of(await client.post(TRIGGER, json=[1], headers=headers), 400, "malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/%00abcdef",
        "/api/runs?workflow=%00",
        "/api/runs?limit=0",
        "/api/runs?limit=x",
        "/api/runs?before=%%%",
        "/api/runs?before=" + base64.urlsafe_b64encode(b"9" * 20 + b" a").decode(),
    ],
)
async def test_addresses_that_no_store_could_hold_are_refused(operator: Operator, path: str):
    client, headers, _ = operator
    await problem_of(await client.get(path, headers=headers), 400, "malformed")


async def test_an_idempotency_key_is_bounded(operator: Operator):
    client, headers, _ = operator
    answer = await client.post(TRIGGER, json={}, headers={**headers, "Idempotency-Key": "k" * 257})
    await problem_of(answer, 400, "malformed")


async def test_the_rate_limit_counts_strangers_and_spares_local_callers():
    world = World(rate=3)
    viewer = world.token("ada", "viewer")
    async with serving(world) as client:
        for left in (2, 1, 0):
            answer = await client.get("/api/status")
            assert answer.status == 401
            assert answer.headers["RateLimit-Policy"] == '"default";q=3;w=60'
            assert answer.headers["RateLimit"] == f'"default";r={left};t=60'
        answer = await client.get("/api/status", headers={"Authorization": "Bearer guess"})
        body = await problem_of(answer, 429, "rate_limited")
        assert answer.headers["Retry-After"] == "60"
        assert "more than 3 requests a minute" in body["detail"]
        assert world.metrics.of(RATE_LIMITED) == 1
        assert (await client.get("/api/status", headers=viewer)).status == 200
        await world.clock.advance(60)
        assert (await client.get("/api/status")).status == 401


async def test_remote_callers_are_counted_before_their_token_is_looked_up():
    world = World(rate=2, forwarded=True)
    viewer = world.token("ada", "viewer")
    async with serving(world) as client:
        for address, status in (
            ("198.51.100.7", 200),
            ("127.0.0.1, 198.51.100.7", 200),
            ("198.51.100.7", 429),
            ("198.51.100.8", 200),
            ("2001:db8::1", 200),
            ("2001:db8::2", 200),
            ("2001:db8::3", 429),
            ("::ffff:198.51.100.7", 429),
            ("rubbish", 200),
        ):
            headers = {**viewer, "X-Forwarded-For": address}
            assert (await client.get("/api/status", headers=headers)).status == status, address
        twice = CIMultiDict(viewer)
        twice.add("X-Forwarded-For", "203.0.113.1")  # the client's
        twice.add("X-Forwarded-For", "198.51.100.7")  # the proxy's
        assert (await client.get("/api/status", headers=twice)).status == 429


async def test_what_cannot_be_served_now_is_503():
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    world.apply_workflow()
    run = world.start_run()
    async with serving(world) as client:
        world.server.stop()
        answer = await client.get(f"/api/runs/{run}/events", headers=headers)
        await problem_of(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        answer = await client.post(TRIGGER, json={}, headers=headers)
        await problem_of(answer, 503, "unavailable")
