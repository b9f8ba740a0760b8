"""A definition compiled once into what a run needs at each step."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from penstock_contracts.agent.v1 import AgentManifest, Risk
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import (
    Gate,
    Node,
    OnFailure,
    Retry,
    Timeouts,
    WorkflowDefinition,
)
from penstock_core.workflow.canonical import canonical_digest
from penstock_core.workflow.conditions import Condition, compile_condition
from penstock_core.workflow.graph import ancestors_of, between, dependents_of, order_of
from penstock_core.workflow.templating import Template, compile_template

DEFAULT_POOL = "default"


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node with everything resolved: templates compiled, limits taken from its agent.

    Attributes:
        agent: the agent's name; None for a pure gate.
        agent_digest: the manifest the run is pinned to.
        repeats: whether a try may be made again after a doubt.
        running_s: longest running time of one attempt, in seconds: the manifest's limit, lowered
            by the node's own; 0 for a pure gate.
        needs: parents, as the definition lists them.
        dependents: nodes that need this one, in definition order.
        when: condition that must hold, or None.
        when_reads_status: parents whose `.status` the condition reads; a failure of one of these
            does not skip the node by itself.
        gate: the decision a person must take first, or None.
        gate_show: what approvers see.
        gate_title: the gate's title.
        risk_gate: the manifest asks for approval, so that there is a gate whatever the node says.
        plans: the agent proposes a plan first, and the gate stands between plan and apply.
        atomic: applying is conditional on the state planned against, as the manifest says.
        resets: nodes that the gate may send back to work -> every node that then runs again.
    """

    name: str
    agent: str | None
    agent_digest: str | None
    repeats: bool
    pool: str
    running_s: float
    needs: tuple[str, ...]
    dependents: tuple[str, ...]
    with_: Template
    when: Condition | None
    when_reads_status: frozenset[str]
    retry: Retry
    timeout: Timeouts
    gate: Gate | None
    gate_show: Template | None
    gate_title: Template | None
    on_failure: OnFailure
    risk_gate: bool
    plans: bool
    atomic: bool
    resets: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow ready to run.

    Attributes:
        digest: of the definition.
        nodes: in definition order.
        order: a topological order, ties by definition order.
        timeout_s: longest time of a whole run, in seconds.
        inputs_schema: JSON Schema of the inputs object; empty: anything.
        agents: digest of each agent that a node names.
    """

    name: str
    digest: str
    nodes: Mapping[str, PlanNode]
    order: tuple[str, ...]
    timeout_s: float
    outputs: Template
    inputs_schema: JsonObject
    labels: Mapping[str, str]
    agents: Mapping[str, str]


def compile_plan(
    definition: WorkflowDefinition,
    digest: str,
    agents: Mapping[str, AgentManifest],
    agent_digests: Mapping[str, str],
) -> Plan:
    """Compile a definition that validation has accepted.

    Raises:
        ValueError: validation would have refused it.
    """
    needs = {name: node.needs for name, node in definition.nodes.items()}
    order = order_of(needs)
    dependents = dependents_of(needs)
    resets = resets_of(definition, agents)
    nodes = {
        name: _node(name, node, dependents[name], resets.get(name, {}), agents, agent_digests)
        for name, node in definition.nodes.items()
    }
    used = sorted({node.agent for node in nodes.values() if node.agent is not None})
    return Plan(
        name=definition.name,
        digest=digest,
        nodes=MappingProxyType(nodes),
        order=order,
        timeout_s=definition.timeout,
        outputs=compile_template(definition.outputs),
        inputs_schema=definition.inputs,
        labels=MappingProxyType(dict(definition.labels)),
        agents=MappingProxyType({name: agent_digests[name] for name in used}),
    )


def _node(
    name: str,
    node: Node,
    dependents: tuple[str, ...],
    resets: Mapping[str, tuple[str, ...]],
    agents: Mapping[str, AgentManifest],
    agent_digests: Mapping[str, str],
) -> PlanNode:
    manifest = _manifest(name, node, agents, agent_digests)
    when = compile_condition(node.when) if node.when is not None else None
    risk_gate = manifest is not None and manifest.risk is Risk.APPROVAL_REQUIRED
    gate = node.approval or (Gate() if risk_gate else None)
    return PlanNode(
        name=name,
        agent=node.agent,
        agent_digest=agent_digests[node.agent] if node.agent is not None else None,
        repeats=manifest is None or manifest.repeats,
        pool=node.pool or (manifest.pool if manifest is not None else DEFAULT_POOL),
        running_s=_running_s(node.timeout, manifest),
        needs=node.needs,
        dependents=dependents,
        with_=compile_template(node.with_),
        when=when,
        when_reads_status=when.status_reads & frozenset(node.needs) if when else frozenset(),
        retry=node.retry,
        timeout=node.timeout,
        gate=gate,
        gate_show=compile_template(gate.show) if gate is not None else None,
        gate_title=compile_template(gate.title) if gate is not None else None,
        on_failure=node.on_failure,
        risk_gate=risk_gate,
        plans=manifest is not None and manifest.plans,
        atomic=manifest is None or manifest.atomic,
        resets=resets,
    )


def resets_of(
    definition: WorkflowDefinition, agents: Mapping[str, AgentManifest]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Give for each gate that can push back: its targets, and what runs again with each."""
    needs = {name: node.needs for name, node in definition.nodes.items()}
    targets = {name: targets_of(name, node, agents) for name, node in definition.nodes.items()}
    if not any(targets.values()):
        return {}
    ancestors = ancestors_of(needs)
    return {
        name: {to: between(needs, ancestors, to, name) for to in found if to in needs}
        for name, found in targets.items()
    }


def targets_of(name: str, node: Node, agents: Mapping[str, AgentManifest]) -> tuple[str, ...]:
    """Give the nodes that the gate of a node may send back: by default a planning agent's own."""
    if node.approval is not None and node.approval.push_back is not None:
        return tuple(dict.fromkeys(node.approval.push_back))
    manifest = agents.get(node.agent) if node.agent is not None else None
    return (name,) if manifest is not None and manifest.plans else ()


def _manifest(
    name: str,
    node: Node,
    agents: Mapping[str, AgentManifest],
    agent_digests: Mapping[str, str],
) -> AgentManifest | None:
    if node.agent is None:
        return None
    if node.agent not in agents or node.agent not in agent_digests:
        raise ValueError(f"node {name!r} names the unknown agent {node.agent!r}")
    return agents[node.agent]


def _running_s(timeout: Timeouts, manifest: AgentManifest | None) -> float:
    if manifest is None:
        return 0.0
    limit = manifest.limits.wall_s
    return limit if timeout.running is None else min(limit, timeout.running)


def canonical_document(document: JsonObject) -> JsonObject:
    """Give the form of a definition whose canonical JSON is hashed.

    Defaults are left out and durations are in seconds, so that two ways of writing the same
    thing have one digest.

    Raises:
        pydantic.ValidationError: it is no definition.
    """
    return WorkflowDefinition.model_validate(document).to_data()


def definition_digest(document: JsonObject) -> str:
    """Give the digest that names a version of a workflow.

    Raises:
        pydantic.ValidationError: it is no definition.
    """
    return canonical_digest(canonical_document(document))


def manifest_digest(manifest: AgentManifest) -> str:
    """Give the digest that names a version of an agent."""
    return canonical_digest(manifest.to_data())
