"""Routes of runs: list, show, cancel, settle."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import JsonValue

from penstock_contracts import subjects
from penstock_contracts.run.v1 import CancelRun, SettleOutcome
from penstock_contracts.subjects import Stream
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_core.run.snapshot import document_hash
from penstock_core.run.state import NodeStatus
from penstock_runtime.ports.projection import PAGE_MAX, ViewReader, ViewRow
from penstock_webhook_gateway.http.access import OPERATE, READ
from penstock_webhook_gateway.http.approval_shapes import summary as approval_summary
from penstock_webhook_gateway.http.bodies import Cancellation, Settlement
from penstock_webhook_gateway.http.context import (
    caller,
    doors,
    model,
    outcome_of,
    read_object,
    reply,
)
from penstock_webhook_gateway.http.paging import page_of
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.kinds import View, node_row_id
from penstock_webhook_gateway.standing import voters_of

PREFIX_MIN = 4  # characters of an id that may stand for the whole
_SUMMARY = (
    "run_id", "workflow", "status", "started_us", "ended_us", "requested_by", "trigger_id", "cause",
)  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/runs", list_runs),
        web.get("/api/runs/{run}", show_run),
        web.post("/api/runs/{run}/cancel", cancel_run),
        web.post("/api/runs/{run}/nodes/{node}/settle", settle_outcome),
    ]


async def list_runs(request: web.Request) -> web.Response:
    """List runs, newest first; filters `workflow`, `status`, and `unknown` for lost outcomes."""
    who = caller(request, READ)
    reader = doors(request).reader
    unknown = await _unknown_nodes(reader, who.tenant)
    if request.query.get("unknown"):
        found = await reader.get_many(View.RUN, who.tenant, list(unknown))
        rows = sorted(found.values(), key=lambda row: row.sort_key, reverse=True)
        following = None
    else:
        rows, following = await page_of(request, View.RUN, who.tenant, "status", "workflow")
    items: list[JsonObject] = [
        {**summary(row), "unknown": list(unknown.get(row.id, ()))} for row in rows
    ]
    return reply({"items": items, "next": following})


async def _unknown_nodes(reader: ViewReader, tenant: str) -> Mapping[str, list[str]]:
    """Give, by run, the nodes whose outcome an operator has to find out, at most `PAGE_MAX`."""
    found: dict[str, list[str]] = {}
    for row in await reader.page(View.NODE, tenant, state=NodeStatus.UNKNOWN.value, limit=PAGE_MAX):
        found.setdefault(row.parent, []).append(row.id.removeprefix(f"{row.parent}/"))
    return found


def summary(row: ViewRow) -> JsonObject:
    """Give a run as lists show it."""
    return {name: row.body.get(name) for name in _SUMMARY}


async def find_run(request: web.Request, tenant: str) -> ViewRow:
    """Find the run that the path names, by id or by the beginning of its id.

    Raises:
        Problem: 404, or 409 when the beginning fits several.
    """
    return await find(request, View.RUN, tenant, request.match_info["run"], "unknown_run")


async def find(request: web.Request, kind: View, tenant: str, wanted: str, code: str) -> ViewRow:
    """Find a row by id or by the beginning of its id."""
    reader = doors(request).reader
    row = await reader.get(kind, tenant, wanted)
    if row is not None:
        return row
    if len(wanted) >= PREFIX_MIN:
        rows = await reader.find_prefix(kind, tenant, wanted, 2)
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise Problem(409, "conflict", f"{wanted!r} begins several ids; give more of it")
    raise Problem(404, code, f"there is no {kind.value} {wanted!r}")


async def show_run(request: web.Request) -> web.Response:
    """Show a run: header, nodes, plans, graph, approvals, push backs, and the state's hash."""
    who = caller(request, READ)
    row = await find_run(request, who.tenant)
    reader = doors(request).reader
    prefix = len(row.id) + 1
    nodes: dict[str, JsonObject] = {
        node.id[prefix:]: node.body for node in await reader.children(View.NODE, who.tenant, row.id)
    }
    approvals = await reader.children(View.APPROVAL, who.tenant, row.id)
    voters = await voters_of(reader, who.tenant, approvals)
    now_us = doors(request).clock.now_us()
    shown: dict[str, object] = {
        "run": row.body,
        "nodes": nodes,
        "approvals": [approval_summary(item, voters, now_us).shown() for item in approvals],
        "plans": _plans(nodes),
        "pushed_back": [_pushed_back(item) for item in approvals if item.state == "pushed_back"],
        "state_hash": document_hash(row.body, nodes),
    }
    definition = await reader.get(
        View.DEFINITION, who.tenant, str(row.body.get("definition_digest"))
    )
    if definition is not None:
        shown.update(_graph(definition.body))
    return reply(shown)


def _plans(nodes: Mapping[str, JsonObject]) -> dict[str, JsonValue]:
    """Give summary and digest of each plan that stands."""
    found: dict[str, JsonValue] = {}
    for name, node in nodes.items():
        plan, binding = node.get("plan"), node.get("binding")
        if isinstance(plan, dict):
            digest = binding.get("digest") if isinstance(binding, dict) else None
            found[name] = {"summary": plan.get("summary", ""), "digest": digest}
    return found


def _pushed_back(row: ViewRow) -> JsonObject:
    """Give one push back: which gate, to which node, by whom, with what feedback."""
    given = {name: row.body.get(name) for name in ("node", "attempt", "to", "decided_us")}
    by, feedback = row.body.get("decided_by"), row.body.get("reason")
    return {"approval_id": row.id, **given, "by": by, "feedback": feedback}


def _graph(document: JsonObject) -> dict[str, JsonValue]:
    definition = WorkflowDefinition.model_validate(document)
    return {
        "order": list(definition.nodes),
        "edges": {name: list(node.needs) for name, node in definition.nodes.items()},
        "agents": {name: node.agent for name, node in definition.nodes.items()},
    }


async def cancel_run(request: web.Request) -> web.Response:
    """Stop a run; answered once it is stopped."""
    who = caller(request, OPERATE)
    row = await find_run(request, who.tenant)
    body = await read_object(request) if request.can_read_body else {}
    command = CancelRun(run_id=row.id, reason=model(Cancellation, body).reason)
    partition = str(row.body["partition"])
    subject = subjects.run(who.tenant, partition, row.id, "cancel_run")
    await outcome_of(request, who, subject, Stream.RUNS, row.id, command)
    after = await doors(request).reader.get(View.RUN, who.tenant, row.id)
    return reply(summary(after or row))


async def settle_outcome(request: web.Request) -> web.Response:
    """Say whether the effect of a node happened whose outcome is unknown; the run goes on."""
    who = caller(request, OPERATE)
    row = await find_run(request, who.tenant)
    said = model(Settlement, await read_object(request))
    node = await _node(request, who.tenant, row.id)
    attempt = node.body.get("attempt")
    command = SettleOutcome(
        run_id=row.id,
        node=request.match_info["node"],
        attempt=said.attempt or (attempt if isinstance(attempt, int) else 0),
        happened=said.happened,
        reason=said.reason,
        output=said.output,
    )
    subject = subjects.run(who.tenant, str(row.body["partition"]), row.id, "settle_outcome")
    await outcome_of(request, who, subject, Stream.RUNS, row.id, command)
    after = await doors(request).reader.get(View.RUN, who.tenant, row.id)
    settled = await _node(request, who.tenant, row.id)
    return reply({**summary(after or row), "node": command.node, "state": settled.body})


async def _node(request: web.Request, tenant: str, run_id: str) -> ViewRow:
    name = request.match_info["node"]
    row = await doors(request).reader.get(View.NODE, tenant, node_row_id(run_id, name))
    if row is None:
        raise Problem(404, "not_found", f"the run has no node {name!r}")
    return row
