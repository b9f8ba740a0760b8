"""Workflows, agents and tokens over HTTP."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from penstock_contracts.agent import v1 as agent
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import agent_id, token_id, workflow_id
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import DEFAULT_TENANT
from penstock_contracts.workflow import v1 as workflow
from penstock_core.workflow.plan import manifest_digest
from tests.integration.gateway_world import (
    DIGEST,
    DOCUMENT,
    QUICK,
    Said,
    World,
    problem_of,
    serving,
)

# --- definitions --------------------------------------------------------------------------------


async def test_a_workflow_is_applied_shown_listed_and_removed():
    world = World()
    headers = world.token("olga", "operator")
    home = workflow_id(DEFAULT_TENANT, "demo")

    def apply(envelope: Envelope) -> list[Said]:
        command = workflow.ApplyWorkflow.model_validate(envelope.data)
        told = workflow.WorkflowApplied(
            tenant=DEFAULT_TENANT, digest=DIGEST, document=command.document
        )
        return [(CATALOG_PARTITION, home, told)]

    def remove(_: Envelope) -> list[Said]:
        told = workflow.WorkflowRemoved(tenant=DEFAULT_TENANT, name="demo")
        return [(CATALOG_PARTITION, home, told)]

    world.scripts[workflow.ApplyWorkflow.TYPE] = apply
    world.scripts[workflow.RemoveWorkflow.TYPE] = remove
    async with serving(world) as client:
        reply = await client.put("/api/workflows/demo", json=DOCUMENT, headers=headers)
        assert await reply.json() == {"name": "demo", "digest": DIGEST, "changed": True}
        world.scripts[workflow.ApplyWorkflow.TYPE] = lambda _: [
            (CATALOG_PARTITION, home, workflow.WorkflowUnchanged(digest=DIGEST))
        ]
        reply = await client.post("/api/workflows", json=DOCUMENT, headers=headers)
        assert await reply.json() == {"name": "demo", "digest": DIGEST, "changed": False}
        shown = await (await client.get("/api/workflows/demo", headers=headers)).json()
        assert (shown["document"], shown["digest"]) == (DOCUMENT, DIGEST)
        listed = await (await client.get("/api/workflows", headers=headers)).json()
        assert listed["items"] == [shown]
        reply = await client.delete("/api/workflows/demo", headers=headers)
        assert await reply.json() == {"name": "demo", "removed": True}
        reply = await client.get("/api/workflows/demo", headers=headers)
        await problem_of(reply, 404, "unknown_workflow")


async def test_what_is_there_answers_a_repeated_request_whose_outcome_was_told_before_the_start():
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    home = workflow_id(DEFAULT_TENANT, "demo")
    applied = workflow.WorkflowApplied(tenant=DEFAULT_TENANT, digest=DIGEST, document=DOCUMENT)
    world.scripts[workflow.ApplyWorkflow.TYPE] = lambda _: [(CATALOG_PARTITION, home, applied)]
    async with serving(world) as client:
        await client.post("/api/workflows", json=DOCUMENT, headers=headers)
        world.scripts[workflow.ApplyWorkflow.TYPE] = lambda _: []  # it was decided on
        keyed = {**headers, "Idempotency-Key": "k1"}
        reply = await client.post("/api/workflows", json=DOCUMENT, headers=keyed)
        assert reply.status == 200
        assert await reply.json() == {"name": "demo", "digest": DIGEST, "changed": False}
        other = {**DOCUMENT, "description": "another"}
        reply = await client.post("/api/workflows", json=other, headers=keyed)
        await problem_of(reply, 504, "unavailable")
        reply = await client.post("/api/workflows", json=DOCUMENT, headers=headers)
        await problem_of(reply, 504, "unavailable")  # nobody says that it is a repetition


async def test_the_faults_of_a_definition_come_with_their_places():
    world = World()
    headers = world.token("olga", "operator")
    fault = workflow.Problem(
        pointer="/nodes/a/agent", code=Code.UNKNOWN_AGENT, message="there is no agent 'x'"
    )

    def refuse(envelope: Envelope) -> list[Said]:
        told = workflow.CommandRejected(
            command_id=envelope.id, command=envelope.type, code=Code.INVALID_DEFINITION,
            detail="one fault", problems=(fault,),
        )  # fmt: skip
        return [(CATALOG_PARTITION, workflow_id(DEFAULT_TENANT, "demo"), told)]

    world.scripts[workflow.ApplyWorkflow.TYPE] = refuse
    async with serving(world) as client:
        body = {"name": "demo", "nodes": {"a": {"agent": "x"}}}
        reply = await client.post("/api/workflows", json=body, headers=headers)
        told = await problem_of(reply, 422, "invalid_definition")
        assert told["problems"] == [fault.to_data()]
        reply = await client.post("/api/workflows/validate", json=body, headers=headers)
        found = (await reply.json())["problems"]
        assert [(item["pointer"], item["code"]) for item in found] == [
            ("/nodes/a/agent", "unknown_agent")
        ]


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        (None, "name: a workflow needs a name"),
        ("", "name: a workflow needs a name"),
        ("other", "the path says 'demo', the document 'other'"),
    ],
)
async def test_a_document_names_its_workflow(name: Any, detail: str):
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    async with serving(world) as client:
        body = {**DOCUMENT, "name": name}
        reply = await client.put("/api/workflows/demo", json=body, headers=headers)
        assert (await reply.json())["detail"] == detail
        assert reply.status == 422
        assert world.sent == []


@pytest.mark.parametrize("path", ["/api/workflows", "/api/workflows/validate", "/api/agents"])
async def test_a_document_is_bounded(path: str):
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    async with serving(world) as client:
        body = BytesIO(json.dumps({**DOCUMENT, "description": "x" * 1024 * 1024}).encode())
        headers["Content-Type"] = "application/json"
        reply = await client.post(path, data=body, headers=headers)
        assert "1 MB" in (await problem_of(reply, 413, "too_large"))["detail"]


@pytest.mark.parametrize("name", ["Demo", "a.b", "x" * 64, "*", "\x00"])
async def test_a_name_that_is_no_subject_token_is_never_sent(name: str):
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    async with serving(world) as client:
        body = {**DOCUMENT, "name": name}
        reply = await client.post("/api/workflows", json=body, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


async def test_an_agent_is_registered_shown_and_removed():
    world = World()
    headers = world.token("olga", "operator")
    manifest = agent.AgentManifest(name="probe", command=("true",))
    digest = manifest_digest(manifest)
    home = agent_id(DEFAULT_TENANT, "probe")
    registered = agent.AgentRegistered(tenant=DEFAULT_TENANT, digest=digest, manifest=manifest)
    removed = agent.AgentRemoved(tenant=DEFAULT_TENANT, name="probe")
    world.scripts[agent.RegisterAgent.TYPE] = lambda _: [(CATALOG_PARTITION, home, registered)]
    world.scripts[agent.RemoveAgent.TYPE] = lambda _: [(CATALOG_PARTITION, home, removed)]
    async with serving(world) as client:
        reply = await client.post("/api/agents", json=manifest.to_data(), headers=headers)
        assert await reply.json() == {"name": "probe", "digest": digest, "changed": True}
        shown = await (await client.get("/api/agents/probe", headers=headers)).json()
        assert shown["manifest"] == manifest.to_data()
        assert (await (await client.get("/api/agents", headers=headers)).json())["items"] == [shown]
        reply = await client.delete("/api/agents/probe", headers=headers)
        assert await reply.json() == {"name": "probe", "removed": True}
        reply = await client.get("/api/agents/probe", headers=headers)
        await problem_of(reply, 404, "unknown_agent")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"name": "probe", "rsik": "AUTO"}, "rsik"),
        ({"name": "probe", "limits": {"memory": 1}}, "limits.memory"),
        ({"name": "Probe"}, "name"),
        ({}, "name"),
    ],
)
async def test_a_manifest_with_a_fault_is_refused_with_its_place(body: dict[str, Any], place: str):
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    async with serving(world) as client:
        reply = await client.post("/api/agents", json=body, headers=headers)
        told = await problem_of(reply, 422, "malformed")
        assert told["detail"].startswith(f"{place}: ")


# --- tokens -------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_then_works():
    world = World()
    headers = world.token("root", "admin")

    def issue(envelope: Envelope) -> list[Said]:
        command = trigger.IssueToken.model_validate(envelope.data)
        told = trigger.TokenIssued(
            tenant=DEFAULT_TENANT, name=command.name, sha256=command.sha256,
            roles=command.roles, groups=command.groups,
        )  # fmt: skip
        return [(CATALOG_PARTITION, token_id(DEFAULT_TENANT, command.name), told)]

    world.scripts[trigger.IssueToken.TYPE] = issue
    async with serving(world) as client:
        body = {"name": "ci", "roles": ["operator"], "groups": ["release"]}
        reply = await client.post("/api/tokens", json=body, headers=headers)
        made = await reply.json()
        assert (reply.status, made["roles"]) == (201, ["operator"])
        given = {"Authorization": f"Bearer {made['token']}"}
        shown = await (await client.get("/api/status", headers=given)).json()
        assert (shown["caller"]["name"], shown["caller"]["groups"]) == ("ci", ["release"])
        assert made["token"] not in world.sent[0][1].encode().decode()
        reply = await client.post("/api/tokens", json=body, headers=headers)
        again = await reply.json()
        reply = await client.get("/api/status", headers=given)
        await problem_of(reply, 401, "not_allowed")  # a name has one token
        given = {"Authorization": f"Bearer {again['token']}"}
        assert (await client.get("/api/status", headers=given)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ci", "roles": []},
        {"name": "ci", "roles": ["root"]},
        {"name": "C I", "roles": ["viewer"]},
        {"roles": ["viewer"]},
        {"name": "ci", "roles": "viewer"},
    ],
)
async def test_a_bad_token_request_is_refused(body: dict[str, Any]):
    world = World(waits=QUICK)
    headers = world.token("root", "admin")
    async with serving(world) as client:
        reply = await client.post("/api/tokens", json=body, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


async def test_a_revoked_token_is_gone():
    world = World()
    headers = world.token("root", "admin")
    viewer = world.token("ada", "viewer")
    revoked = trigger.TokenRevoked(tenant=DEFAULT_TENANT, name="ada")
    world.scripts[trigger.RevokeToken.TYPE] = lambda _: [
        (CATALOG_PARTITION, token_id(DEFAULT_TENANT, "ada"), revoked)
    ]
    async with serving(world) as client:
        reply = await client.delete("/api/tokens/ada", headers=headers)
        assert await reply.json() == {"name": "ada", "revoked": True}
        await problem_of(await client.get("/api/status", headers=viewer), 401, "not_allowed")
