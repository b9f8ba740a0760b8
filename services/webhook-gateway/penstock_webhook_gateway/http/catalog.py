"""Routes of agents and workflows."""

import re

from aiohttp import web
from pydantic import ValidationError

from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest, RegisterAgent, RemoveAgent
from penstock_contracts.subjects import Stream
from penstock_contracts.values import NAME_PATTERN, JsonObject, Wire
from penstock_contracts.workflow.v1 import ApplyWorkflow, RemoveWorkflow
from penstock_core.workflow.plan import definition_digest, manifest_digest
from penstock_core.workflow.validation import validate
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import OPERATE, READ, Principal
from penstock_webhook_gateway.http.context import (
    IDEMPOTENCY_KEY,
    caller,
    doors,
    model,
    outcome_of,
    read_object,
    reply,
)
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.waiting import Applied

AGENTS_MAX = 1_000  # agents that one validation knows
REPEATED_S = 1.0  # for the outcome of what is there already: one of its own comes at once, or none
NO_OUTCOME = 504
DOCUMENT_BYTES_MAX = 1024 * 1024  # of a definition or manifest: each is checked as a whole
_NAME = re.compile(NAME_PATTERN)


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/agents", list_agents),
        web.post("/api/agents", put_agent),
        web.get("/api/agents/{name}", show_agent),
        web.put("/api/agents/{name}", put_agent),
        web.delete("/api/agents/{name}", remove_agent),
        web.get("/api/workflows", list_workflows),
        web.post("/api/workflows", put_workflow),
        web.post("/api/workflows/validate", validate_workflow),
        web.get("/api/workflows/{name}", show_workflow),
        web.put("/api/workflows/{name}", put_workflow),
        web.delete("/api/workflows/{name}", remove_workflow),
    ]


async def _named(request: web.Request, kind: View, code: str) -> ViewRow:
    who = caller(request, READ)
    name = request.match_info["name"]
    row = await doors(request).reader.get(kind, who.tenant, name)
    if row is None:
        raise Problem(404, code, f"there is no {kind.value} {name!r}")
    return row


async def _all(request: web.Request, kind: View) -> list[JsonObject]:
    who = caller(request, READ)
    rows = await doors(request).reader.page(kind, who.tenant, limit=AGENTS_MAX)
    return [{"name": row.id, **row.body} for row in sorted(rows, key=lambda row: row.id)]


async def to_catalog(
    request: web.Request,
    who: Principal,
    kind: str,
    name: str,
    command: Wire,
    within_s: float | None = None,
) -> Applied:
    """Publish a command to the catalog and await its outcome.

    Raises:
        Problem: the name is none, or the catalog refuses.
    """
    verb = command.__class__.__dict__["TYPE"].split(".")[1]
    if _NAME.fullmatch(name) is None:
        detail = "name: lower case letters, digits, - and _, at most 63 characters"
        raise Problem(422, "malformed", detail)
    subject = subjects.catalog(who.tenant, kind, name, verb)
    return await outcome_of(request, who, subject, Stream.CATALOG, name, command, within_s)


async def _define(
    request: web.Request, who: Principal, kind: View, name: str, command: Wire, digest: str
) -> web.Response:
    """Have a definition stored, and tell what came of it.

    A command that was decided on has no second outcome, and a gateway that was started since has
    not heard the first. To a request that is repeated the definition that is there is the answer.
    """

    async def there() -> bool:
        row = await doors(request).reader.get(kind, who.tenant, name)
        return row is not None and row.body.get("digest") == digest

    repeatable = IDEMPOTENCY_KEY in request.headers
    known = repeatable and await there()
    try:
        _, told = await to_catalog(
            request, who, kind.value, name, command, REPEATED_S if known else None
        )
    except Problem as problem:
        if problem.status != NO_OUTCOME or not (repeatable and await there()):
            raise
        return reply({"name": name, "digest": digest, "changed": False})
    data = told.to_data()
    changed = not data.keys().isdisjoint({"manifest", "document"})
    return reply({"name": name, "digest": data["digest"], "changed": changed})


# --- agents -------------------------------------------------------------------------------------


async def list_agents(request: web.Request) -> web.Response:
    """List agents."""
    return reply({"items": await _all(request, View.AGENT)})


async def show_agent(request: web.Request) -> web.Response:
    """Show one agent."""
    row = await _named(request, View.AGENT, "unknown_agent")
    return reply({"name": row.id, **row.body})


async def put_agent(request: web.Request) -> web.Response:
    """Register a manifest; the same one again changes nothing."""
    who = caller(request, OPERATE)
    manifest = model(AgentManifest, await read_object(request, DOCUMENT_BYTES_MAX))
    _same_name(request, manifest.name)
    command, digest = RegisterAgent(manifest=manifest), manifest_digest(manifest)
    return await _define(request, who, View.AGENT, manifest.name, command, digest)


def _same_name(request: web.Request, name: str) -> None:
    wanted = request.match_info.get("name", name)
    if wanted != name:
        detail = f"the path says {wanted!r}, the document {name!r}"
        raise Problem(422, "malformed", detail)


async def remove_agent(request: web.Request) -> web.Response:
    """Take an agent out of use."""
    who, name = caller(request, OPERATE), request.match_info["name"]
    await to_catalog(request, who, "agent", name, model(RemoveAgent, {"name": name}))
    return reply({"name": name, "removed": True})


# --- workflows ----------------------------------------------------------------------------------


async def list_workflows(request: web.Request) -> web.Response:
    """List workflows."""
    return reply({"items": await _all(request, View.WORKFLOW)})


async def show_workflow(request: web.Request) -> web.Response:
    """Show one workflow."""
    row = await _named(request, View.WORKFLOW, "unknown_workflow")
    return reply({"name": row.id, **row.body})


async def put_workflow(request: web.Request) -> web.Response:
    """Apply a definition; the same one again changes nothing."""
    who = caller(request, OPERATE)
    document = await read_object(request, DOCUMENT_BYTES_MAX)
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise Problem(422, "invalid_definition", "name: a workflow needs a name")
    _same_name(request, name)
    try:
        digest = definition_digest(document)
    except ValidationError:  # the catalog says what is wrong with it, and where
        digest = ""
    return await _define(
        request, who, View.WORKFLOW, name, ApplyWorkflow(document=document), digest
    )


async def validate_workflow(request: web.Request) -> web.Response:
    """Give every fault of a definition, without storing it."""
    who = caller(request, READ)
    document = await read_object(request, DOCUMENT_BYTES_MAX)
    rows = await doors(request).reader.page(View.AGENT, who.tenant, limit=AGENTS_MAX)
    agents = {row.id: AgentManifest.model_validate(row.body["manifest"]) for row in rows}
    problems = validate(document, agents)
    return reply({"problems": [problem.to_data() for problem in problems]})


async def remove_workflow(request: web.Request) -> web.Response:
    """Take a workflow out of use."""
    who, name = caller(request, OPERATE), request.match_info["name"]
    await to_catalog(request, who, "workflow", name, model(RemoveWorkflow, {"name": name}))
    return reply({"name": name, "removed": True})
