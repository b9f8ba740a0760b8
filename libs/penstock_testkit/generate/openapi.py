"""The OpenAPI 3.1 document of the gateway, contracts/openapi/penstock.json.

The routes are the gateway's own; what the code cannot say of one (its body, its role, its
answers) stands in the table below, and a route without an entry there is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_webhook_gateway.http import (
    approvals,
    artifacts,
    catalog,
    dead,
    executors,
    live,
    runs,
    status,
    tokens,
    triggers,
)
from penstock_webhook_gateway.http.access import ADMINISTER, DECIDE, OPERATE, READ, Role
from penstock_webhook_gateway.http.alertmanager import AlertGroup
from penstock_webhook_gateway.http.approval_shapes import ApprovalDetail, ApprovalPage
from penstock_webhook_gateway.http.bodies import (
    Cancellation,
    Decision,
    ManualTrigger,
    NewToken,
    Settlement,
)
from penstock_webhook_gateway.http.problems import CONTENT_TYPE

PAGE = "contracts/openapi/penstock.json"
OWNS = ("contracts/openapi/*",)
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
_PARAMETER = re.compile(r"{(\w+)}")
_PAGE_QUERY = ("limit", "before")
_QUERY_TEXTS = {
    "limit": "rows in a page, 1 to 500 (50)",
    "before": "`next` of the page before",
    "status": "only in this state",
    "workflow": "only of this workflow",
    "unknown": "1: all with a node whose outcome an operator has to find out, and only those",
    "stream": "only from this stream",
    "after": "version of the last event seen, where `Last-Event-ID` cannot be sent",
    "follow": "1: go on until the run ends",
}


@dataclass(frozen=True, slots=True)
class About:
    """What a route's code does not say.

    Attributes:
        roles: who may call it.
        body: model of the body; None without one; `object` for any JSON.
        answers: statuses of success.
        problems: statuses of refusals beside those that every route has.
        query: names of query parameters.
        optional: the body may be left out.
        content: content type of the answer.
        answer: model of the answer, where there is one.
    """

    roles: frozenset[Role] = READ
    body: type[BaseModel | object] | None = None
    answers: tuple[int, ...] = (200,)
    problems: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    optional: bool = False
    content: str = JSON
    answer: type[BaseModel] | None = None


_COMMAND = (400, 404, 409, 413, 415, 422, 504)
_CREATE = (400, 404, 409, 413, 415, 422, 503)
_LIST = (400,)
ROUTES: dict[tuple[str, str], About] = {
    ("GET", "/api/status"): About(),
    ("GET", "/api/runs"): About(
        query=("status", "workflow", "unknown", *_PAGE_QUERY), problems=_LIST
    ),
    ("GET", "/api/runs/{run}"): About(problems=(404, 409)),
    ("POST", "/api/runs/{run}/cancel"): About(
        OPERATE, Cancellation, problems=_COMMAND, optional=True
    ),
    ("POST", "/api/runs/{run}/nodes/{node}/settle"): About(OPERATE, Settlement, problems=_COMMAND),
    ("GET", "/api/runs/{run}/events"): About(
        problems=(400, 404, 409), query=("after",), content=EVENT_STREAM
    ),
    ("GET", "/api/runs/{run}/logs"): About(
        problems=(404, 409), query=("follow",), content=EVENT_STREAM
    ),
    ("GET", "/api/runs/{run}/artifacts"): About(problems=(404, 409), answer=artifacts.ArtifactList),
    ("GET", "/api/artifacts/{digest}"): About(
        problems=(404, 410, 503), content="application/octet-stream"
    ),
    ("GET", "/api/approvals"): About(
        query=("status", "workflow", *_PAGE_QUERY), problems=_LIST, answer=ApprovalPage
    ),
    ("GET", "/api/approvals/{approval}"): About(problems=(404, 409), answer=ApprovalDetail),
    ("POST", "/api/approvals/{approval}/respond"): About(
        DECIDE, Decision, problems=_COMMAND, answer=ApprovalDetail
    ),
    ("GET", "/api/agents"): About(),
    ("POST", "/api/agents"): About(OPERATE, AgentManifest, problems=_COMMAND),
    ("GET", "/api/agents/{name}"): About(problems=(404,)),
    ("PUT", "/api/agents/{name}"): About(OPERATE, AgentManifest, problems=_COMMAND),
    ("DELETE", "/api/agents/{name}"): About(OPERATE, problems=(404, 409, 422, 504)),
    ("GET", "/api/workflows"): About(),
    ("POST", "/api/workflows"): About(OPERATE, WorkflowDefinition, problems=_COMMAND),
    ("POST", "/api/workflows/validate"): About(READ, WorkflowDefinition, problems=(400, 413, 415)),
    ("GET", "/api/workflows/{name}"): About(problems=(404,)),
    ("PUT", "/api/workflows/{name}"): About(OPERATE, WorkflowDefinition, problems=_COMMAND),
    ("DELETE", "/api/workflows/{name}"): About(OPERATE, problems=(404, 422, 504)),
    ("POST", "/api/workflows/{name}/trigger"): About(
        OPERATE, ManualTrigger, (201, 202), _CREATE, optional=True
    ),
    ("POST", "/api/triggers/{path}"): About(OPERATE, object, (201, 202), _CREATE),
    ("POST", "/api/webhooks/alertmanager"): About(OPERATE, AlertGroup, (202,), _CREATE),
    ("GET", "/api/executors"): About(answer=executors.ExecutorList),
    ("GET", "/api/tokens"): About(ADMINISTER),
    ("POST", "/api/tokens"): About(ADMINISTER, NewToken, (201,), _COMMAND),
    ("DELETE", "/api/tokens/{name}"): About(ADMINISTER, problems=(404, 422, 504)),
    ("GET", "/api/dead"): About(query=("status", "stream", *_PAGE_QUERY), problems=_LIST),
    ("GET", "/api/dead/{dead}"): About(problems=(404, 409)),
    ("POST", "/api/dead/{dead}/redrive"): About(OPERATE, problems=(404, 409, 504)),
}
ANSWERS = {
    200: "Done.",
    201: "Accepted: it is committed.",
    202: "Delivered, not yet seen; repeating with the same Idempotency-Key is safe.",
    400: "The request cannot be understood.",
    401: "No valid token.",
    403: "The token lacks the role.",
    404: "There is no such thing.",
    409: "In conflict with the current state.",
    410: "It was there; its retention time is over.",
    413: "Over 10 MB.",
    415: "Only JSON is accepted.",
    422: "Understood, but not acceptable; `problems` names every fault of a definition.",
    429: "Too many requests.",
    503: "Something behind the API does not answer.",
    504: "Delivered, but not answered in time.",
}


def routes() -> list[web.RouteDef]:
    """The gateway's routes, in their order."""
    found: list[web.RouteDef] = []
    for module in (runs, live, artifacts, approvals, catalog, tokens, triggers, executors, dead):
        found += module.routes()
    return [*found, *status.routes(lambda: {})]


def document() -> dict[str, Any]:
    """The whole document.

    Raises:
        LookupError: a route has no entry in the table, or an entry has no route.
    """
    given = {(route.method, route.path): route for route in routes()}
    if set(given) != set(ROUTES):
        raise LookupError(f"routes and their table differ: {sorted(set(given) ^ set(ROUTES))}")
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), about in ROUTES.items():
        handler = given[method, path].handler
        paths.setdefault(path, {})[method.lower()] = _operation(path, handler, about)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version("penstock"),
            "description": (
                "The webhook gateway's API. Written by `make generate` from its routes and "
                "models. Do not edit."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_model_schemas(), "HttpProblem": _problem()},
        },
    }


def _operation(path: str, handler: Any, about: About) -> dict[str, Any]:  # noqa: ANN401 - a route's
    text = " ".join((handler.__doc__ or "").split())
    body: dict[str, Any] = {
        "operationId": handler.__name__ if handler.__name__ != "show" else "show_status",
        "summary": text,
        "description": f"Roles: {', '.join(sorted(about.roles))}.",
        "parameters": _parameters(path, about),
        "responses": _responses(about),
    }
    if path.endswith("}") and handler.__name__.startswith("put_"):
        body["operationId"] += "_by_name"
    if about.body is not None:
        schema = {} if about.body is object else _reference(about.body.__name__)
        body["requestBody"] = {
            "required": not about.optional,
            "content": {JSON: {"schema": schema}},
        }
    return body


def _parameters(path: str, about: About) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in _PARAMETER.findall(path)
    ]
    found += [
        {"name": name, "in": "query", "description": _QUERY_TEXTS[name], "schema": text}
        for name in about.query
    ]
    if about.content == EVENT_STREAM and "after" in about.query:
        found.append(_header("Last-Event-ID", "version of the last event seen"))
    if 503 in about.problems or 504 in about.problems:
        found.append(_header("Idempotency-Key", "the same key again is the same request"))
    return found


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _responses(about: About) -> dict[str, Any]:
    done: dict[str, str] = {"type": "object"}
    if about.content == EVENT_STREAM:
        done = {"type": "string"}
    elif about.answer is not None:
        done = _reference(about.answer.__name__)
    responses: dict[str, Any] = {
        str(code): {"description": ANSWERS[code], "content": {about.content: {"schema": done}}}
        for code in about.answers
    }
    for code in sorted({*about.problems, 401, 403, 429, 503}):
        content = {CONTENT_TYPE: {"schema": _reference("HttpProblem")}}
        responses[str(code)] = {"description": ANSWERS[code], "content": content}
    return responses


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _model_schemas() -> dict[str, Any]:
    models: dict[str, type[BaseModel]] = {}
    for about in ROUTES.values():
        if about.body is not None and issubclass(about.body, BaseModel):
            models[about.body.__name__] = about.body
        if about.answer is not None:
            models[about.answer.__name__] = about.answer
    _, whole = models_json_schema(
        [(model, "validation") for model in models.values()],
        ref_template="#/components/schemas/{model}",
    )
    return dict(sorted(whole["$defs"].items()))


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "description": "Problem details (RFC 9457).",
        "type": "object",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": [code.value for code in Code]},
            "detail": text,
            "instance": text,
            "problems": {"type": "array", "items": {"type": "object"}},
            "shown": {**text, "description": "digest that a vote was about (not_proposed)"},
            "proposed": {**text, "description": "digest of what is proposed (not_proposed)"},
        },
        "required": ["type", "title", "status", "code", "detail", "instance"],
    }


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the document."""
    return {PAGE: json.dumps(document(), indent=2, ensure_ascii=False) + "\n"}
