"""Definitions in a few words, and their plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock_contracts.agent.v1 import AgentManifest, Effect, Risk
from penstock_contracts.values import JsonObject, Phase
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_core.workflow.plan import Plan, compile_plan, definition_digest, manifest_digest

ANY: JsonObject = {"type": "object"}
WORK = AgentManifest(
    name="work", effect=Effect.REPEATABLE, command=("work",), input=ANY, output=ANY
)
PAY = AgentManifest(name="pay", effect=Effect.ONCE, command=("pay",), input=ANY, output=ANY)
PATCH = AgentManifest(
    name="patch",
    risk=Risk.APPROVAL_REQUIRED,
    phases=(Phase.PLAN, Phase.APPLY),
    command=("patch",),
    input=ANY,
    output=ANY,
)
AGENTS: Mapping[str, AgentManifest] = {agent.name: agent for agent in (WORK, PAY, PATCH)}
DIGESTS: Mapping[str, str] = {name: manifest_digest(agent) for name, agent in AGENTS.items()}


def node(*needs: str, agent: str | None = "work", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as YAML would
    """Give a node; `with_` stands for `with`."""
    found: dict[str, Any] = {key.rstrip("_"): value for key, value in fields.items()}
    if agent is not None:
        found["agent"] = agent
    if needs:
        found["needs"] = list(needs)
    return found


def gate(*needs: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as YAML would
    """Give a pure gate; the fields are the approval's."""
    return node(*needs, agent=None, approval=fields)


def workflow(name: str = "flow", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as YAML would
    """Give a document; the fields are its own, `nodes` among them."""
    return {"apiVersion": "penstock/v1", "kind": "Workflow", "name": name, **fields}


def plan_of(document: JsonObject) -> Plan:
    """Compile a document with the agents of this module."""
    definition = WorkflowDefinition.model_validate(document)
    used = {one.agent for one in definition.nodes.values() if one.agent}
    digests = {name: DIGESTS[name] for name in sorted(used)}
    return compile_plan(definition, definition_digest(document), AGENTS, digests)


def linear(*names: str) -> dict[str, Any]:
    """Give nodes one after the other."""
    before: Sequence[str] = ("", *names[:-1])
    return {
        name: node(*((parent,) if parent else ()))
        for name, parent in zip(names, before, strict=True)
    }


DIAMOND: dict[str, Any] = {
    "top": node(),
    "left": node("top", with_={"from": "{{top.output.value}}"}),
    "right": node("top", with_={"from": "{{top.output.value}}"}),
    "join": node("left", "right", with_={"l": "{{left.output}}", "r": "{{right.output}}"}),
}
