"""Validation of a whole definition: every problem at once, each with its place and a way out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Node, Problem, WorkflowDefinition
from penstock_core.workflow.assignment import Assignment
from penstock_core.workflow.cel_names import LITERALS, TYPE_NAMES
from penstock_core.workflow.conditions import ConditionError, compile_condition
from penstock_core.workflow.gates import PushBacks, gate_problems, is_gated
from penstock_core.workflow.graph import ancestors_of, behind_cycles, bit_of, cycles_of
from penstock_core.workflow.inputs import check_inputs, faults_of, with_defaults
from penstock_core.workflow.manifests import (
    AgentSchemas,
    sound,
    uncanonical_problems,
    validate_manifest,
)
from penstock_core.workflow.problems import (
    MAX_PROBLEMS,
    ProblemCode,
    did_you_mean,
    pointer_of,
    problem,
)
from penstock_core.workflow.references import (
    INPUTS,
    ROOTS,
    RUN,
    RUN_SHAPE,
    TRIGGER,
    Sight,
    artifact_problems,
    condition_problems,
    decision_schema,
    node_shape,
)
from penstock_core.workflow.schema_check import check_schema
from penstock_core.workflow.schema_engine import validator_of
from penstock_core.workflow.schemas import ANYTHING, Shape, shape_of
from penstock_core.workflow.shape import Form, read_form
from penstock_core.workflow.templating import compile_with_faults
from penstock_core.workflow.triggers import match_rule, pattern_fault

__all__ = ["check_inputs", "match_rule", "validate", "validate_manifest", "with_defaults"]

RESERVED_NAMES = ROOTS | {"status"} | LITERALS | TYPE_NAMES
"""What no node may be called: templates and conditions would read something else."""


def validate(document: JsonObject, agents: Mapping[str, AgentManifest]) -> tuple[Problem, ...]:
    """Give every problem of a definition at once; none: it may be stored and compiled.

    Order: faults of form, then by place of the definition (inputs, triggers, nodes, outputs).
    Time is linear in the size of the document and the schemas of the agents that it names.
    """
    odd = uncanonical_problems(document)
    if odd:
        return odd
    form = read_form(document)
    if form.definition is None:
        return form.problems[:MAX_PROBLEMS]
    found = _Validation(form, form.definition, agents).problems()
    return tuple(dict.fromkeys((*form.problems, *found)))[:MAX_PROBLEMS]


@dataclass(slots=True)
class _Validation:
    """One definition under validation: what is known of it, and what was found."""

    form: Form
    definition: WorkflowDefinition
    agents: Mapping[str, AgentManifest]
    needs: dict[str, tuple[str, ...]] = field(default_factory=lambda: {})
    bits: dict[str, int] = field(default_factory=lambda: {})
    shapes: dict[str, Shape] = field(default_factory=lambda: {})
    schemas: dict[str, AgentSchemas] = field(default_factory=lambda: {})
    found: list[Problem] = field(default_factory=lambda: [])

    def problems(self) -> list[Problem]:
        """Check everything."""
        self.needs = {name: node.needs for name, node in self.definition.nodes.items()}
        self.bits = bit_of(self.needs)
        self.schemas = self._agents_schemas()
        self.shapes = self._all_shapes()
        self._check_inputs_schema()
        for index in range(len(self.definition.triggers)):
            self._check_trigger(index)
        self._check_graph()
        self._check_nodes()
        everything = Sight(self.shapes, self.bits)
        self._check_template(self.definition.outputs, everything, pointer_of("outputs"), ANYTHING)
        return self.found

    def _tell(self, pointer: str, code: ProblemCode, message: str, suggestion: str = "") -> None:
        self.found.append(problem(pointer, code, message, suggestion))

    def _agents_schemas(self) -> dict[str, AgentSchemas]:
        """Give the schemas of the agents that are named; an unsound one says nothing."""
        named = {node.agent for node in self.definition.nodes.values() if node.agent is not None}
        return {
            name: AgentSchemas(sound(self.agents[name].input), sound(self.agents[name].output))
            for name in sorted(named & self.agents.keys())
        }

    def _all_shapes(self) -> dict[str, Shape]:
        # Nodes that could not be read are known by name, so that reading them is no fault.
        shapes: dict[str, Shape] = dict.fromkeys(self.form.names, ANYTHING)
        for name, node in self.definition.nodes.items():
            form: JsonObject | None = None
            if is_gated(node, self.agents):
                form = sound(node.approval.form) if node.approval is not None else {}
            if node.agent is None:
                shapes[name] = node_shape(decision_schema(form or {}), form)
            elif node.agent in self.schemas:
                shapes[name] = node_shape(self.schemas[node.agent].output, form, agent=True)
            else:
                shapes[name] = node_shape({}, {}, agent=True)
        shapes[INPUTS] = shape_of(sound(self.definition.inputs))
        shapes[RUN] = RUN_SHAPE
        return shapes

    # --- inputs and triggers ------------------------------------------------------------------

    def _check_inputs_schema(self) -> None:
        schema = self.definition.inputs
        faults = check_schema(schema)
        for fault in faults:
            pointer = pointer_of("inputs") + fault.pointer
            self._tell(pointer, ProblemCode.INVALID_SCHEMA, fault.message, fault.suggestion)
        if not faults:
            self._check_defaults(schema)
        if schema and "object" not in shape_of(schema).types:
            message = "a run's inputs are an object, so their schema must allow one"
            hint = "write `type: object` and put the fields under `properties`"
            self._tell(pointer_of("inputs", "type"), ProblemCode.INVALID_SCHEMA, message, hint)

    def _check_defaults(self, schema: JsonObject) -> None:
        properties = schema.get("properties")
        validator = validator_of(schema)
        for name, rule in properties.items() if isinstance(properties, dict) else ():
            if not isinstance(rule, dict) or "default" not in rule:
                continue
            for path, message in faults_of(validator.evolve(schema=rule), rule["default"]):
                pointer = pointer_of("inputs", "properties", name, "default", *path)
                self._tell(pointer, ProblemCode.TYPE_MISMATCH, message)

    def _check_trigger(self, index: int) -> None:
        rule = self.definition.triggers[index]
        place = ("triggers", index)
        fault = pattern_fault(rule.on)
        if fault is not None:
            self._tell(pointer_of(*place, "on"), ProblemCode.BAD_TRIGGER, *fault)
        earlier = self.definition.triggers[:index]
        if any(other.on == rule.on and other.when in (rule.when, None) for other in earlier):
            message = f"an earlier rule takes every trigger on {rule.on!r} that this one takes"
            self._tell(pointer_of(*place), ProblemCode.DUPLICATE_TRIGGER, message)
        sight = Sight({TRIGGER: ANYTHING}, {})
        self._check_condition(rule.when, sight, pointer_of(*place, "when"))
        if rule.inputs:
            target = self._inputs_shape()
            self._check_template(rule.inputs, sight, pointer_of(*place, "inputs"), target)

    def _inputs_shape(self) -> Shape:
        """Give the inputs' shape; what has a default need not be handed over."""
        schema = self.definition.inputs
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return shape_of(schema)
        given = with_defaults(schema, {})
        needed: list[JsonValue] = [name for name in required if name not in given]
        return shape_of({**schema, "required": needed})

    # --- the graph ----------------------------------------------------------------------------

    def _check_graph(self) -> None:
        for name, parents in self.needs.items():
            for index, parent in enumerate(parents):
                self._check_need(name, index, parent)
        plain = {name: tuple(p for p in ps if p != name) for name, ps in self.needs.items()}
        for cycle in cycles_of(plain):
            pointer = pointer_of("nodes", cycle[0], "needs", self.needs[cycle[0]].index(cycle[1]))
            message = f"nodes wait for each other: {' needs '.join(cycle)}"
            hint = f'take "{cycle[1]}" out of the needs of {cycle[0]!r}, or another of these'
            self._tell(pointer, ProblemCode.CYCLE, message, hint)
        self._check_reachable(plain)

    def _check_need(self, name: str, index: int, parent: str) -> None:
        pointer = pointer_of("nodes", name, "needs", index)
        if parent == name:
            self._tell(pointer, ProblemCode.SELF_NEED, f"node {name!r} needs itself")
        elif parent not in self.form.names:
            hint = did_you_mean(parent, self.form.names - {name})
            self._tell(pointer, ProblemCode.UNKNOWN_NODE, f"there is no node {parent!r}", hint)
        elif parent in self.needs[name][:index]:
            message = f"{parent!r} is listed twice"
            self._tell(pointer, ProblemCode.DUPLICATE_NEED, message, "once is enough")

    def _check_reachable(self, plain: Mapping[str, tuple[str, ...]]) -> None:
        """Tell the nodes that only wait for what can never end; the cause is told elsewhere."""
        in_cycles = {name for cycle in cycles_of(plain) for name in cycle}
        broken = {
            name
            for name, parents in self.needs.items()
            if any(parent == name or parent not in self.form.names for parent in parents)
        }
        stuck, ancestors, bits = behind_cycles(plain), ancestors_of(plain), bit_of(plain)
        causes = sum(bits[name] for name in broken)
        for name in plain:
            waits = name in stuck or ancestors[name] & causes
            if waits and name not in broken and name not in in_cycles:
                message = f"node {name!r} can never run: it waits for one that cannot end"
                self._tell(pointer_of("nodes", name), ProblemCode.UNREACHABLE, message)

    # --- nodes --------------------------------------------------------------------------------

    def _check_nodes(self) -> None:
        ancestors, bits = ancestors_of(self.needs), self.bits
        names = {
            name
            for name, parents in self.needs.items()
            if name in self.form.doubtful or not self.form.names.issuperset(parents)
        }
        doubtful = sum(bits[name] for name in names)
        cyclic = behind_cycles(self.needs)
        push_backs: PushBacks | None = None
        for name, node in self.definition.nodes.items():
            unsure = name in cyclic or bool((ancestors[name] | bits[name]) & doubtful)
            sight = Sight(self.shapes, bits, ancestors[name], name, sure=not unsure)
            self._check_node(name, node, sight)
            if node.approval is not None and node.approval.push_back and not unsure:
                push_backs = push_backs or PushBacks(self.definition, self.agents)
                self.found.extend(push_backs.problems(name, node.approval))

    def _check_node(self, name: str, node: Node, sight: Sight) -> None:
        if name in RESERVED_NAMES:
            message = f"{name!r} means something else in templates and conditions"
            self._tell(
                pointer_of("nodes", name), ProblemCode.RESERVED_NAME, message, "use another name"
            )
        target = ANYTHING
        if node.agent is not None:
            schemas = self.schemas.get(node.agent)
            if schemas is None:
                hint = did_you_mean(node.agent, self.agents)
                pointer = pointer_of("nodes", name, "agent")
                message = f"there is no agent {node.agent!r}"
                self._tell(pointer, ProblemCode.UNKNOWN_AGENT, message, hint)
            else:
                target = shape_of(schemas.input)
        elif node.approval is None and name not in self.form.doubtful:
            message = f"node {name!r} has neither an agent nor an approval"
            hint = "add `agent: ...` or `approval: {}`"
            self._tell(pointer_of("nodes", name), ProblemCode.NOTHING_TO_DO, message, hint)
        self._check_condition(node.when, sight, pointer_of("nodes", name, "when"))
        self._check_template(node.with_, sight, pointer_of("nodes", name, "with"), target)
        given, _ = compile_with_faults(node.with_)
        at = pointer_of("nodes", name, "with")
        self.found.extend(artifact_problems(given.references, sight, at))
        if node.approval is not None:
            place = ("nodes", name, "approval")
            self._check_template(node.approval.show, sight, pointer_of(*place, "show"), ANYTHING)
            self._check_template(node.approval.title, sight, pointer_of(*place, "title"), ANYTHING)
            self.found.extend(gate_problems(name, node.approval))

    # --- templates and conditions -------------------------------------------------------------

    def _check_condition(self, text: str | None, sight: Sight, pointer: str) -> None:
        if text is None:
            return
        try:
            condition = compile_condition(text)
        except ConditionError as error:
            hint = "conditions are CEL, such as `scan.output.count > 0`"
            self._tell(pointer, ProblemCode.BAD_CONDITION, str(error), hint)
            return
        self.found.extend(condition_problems(condition, sight, pointer))

    def _check_template(self, value: JsonValue, sight: Sight, pointer: str, target: Shape) -> None:
        template, faults = compile_with_faults(value)
        for fault in faults:
            message, _, hint = fault.message.partition("; ")
            self._tell(pointer + fault.pointer, ProblemCode.BAD_TEMPLATE, message, hint)
        assignment = Assignment(sight, pointer)
        if target is ANYTHING:
            assignment.read_only(template.references)
        else:
            assignment.check(template.piece, target)
        self.found.extend(assignment.problems)
