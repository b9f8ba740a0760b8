"""Whether the gates of a definition can work: their forms, their times, what they send back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock_contracts.agent.v1 import AgentManifest, Risk
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Gate, Node, Problem, WorkflowDefinition
from penstock_core.workflow.graph import ancestors_of, between, bit_of, dependents_of
from penstock_core.workflow.problems import ProblemCode, did_you_mean, pointer_of, problem
from penstock_core.workflow.schema_check import check_schema
from penstock_core.workflow.schemas import shape_of


def is_gated(node: Node, agents: Mapping[str, AgentManifest]) -> bool:
    """Tell whether a person decides before a node goes on."""
    manifest = agents.get(node.agent) if node.agent is not None else None
    return node.approval is not None or (
        manifest is not None and manifest.risk is Risk.APPROVAL_REQUIRED
    )


def gate_problems(name: str, gate: Gate) -> Iterator[Problem]:
    """Give what is wrong with a gate by itself."""
    place = ("nodes", name, "approval")
    if gate.remind_every is not None and gate.remind_every >= gate.expires:
        message = "the first reminder would come when the approval has expired"
        hint = "remind more often than `expires`, or leave `remind_every` out"
        pointer = pointer_of(*place, "remind_every")
        yield problem(pointer, ProblemCode.INVALID_VALUE, message, hint)
    named = gate.approvers
    only_users = bool(named.users) and not named.groups and not named.roles
    if only_users and gate.quorum > len(set(named.users)):
        message = f"{gate.quorum} different people are asked for and {len(set(named.users))} named"
        hint = "lower the quorum, or name more approvers"
        yield problem(pointer_of(*place, "quorum"), ProblemCode.INVALID_VALUE, message, hint)
    yield from _form_problems(gate.form, (*place, "form"))


def _form_problems(form: JsonObject, place: tuple[str, ...]) -> Iterator[Problem]:
    faults = check_schema(form)
    for fault in faults:
        pointer = pointer_of(*place) + fault.pointer
        yield problem(pointer, ProblemCode.INVALID_SCHEMA, fault.message, fault.suggestion)
    if form and not faults and shape_of(form).types != frozenset({"object"}):
        message = "the answers to a form are an object, so its schema must ask for one"
        hint = "write `type: object` and put the questions under `properties`"
        yield problem(pointer_of(*place, "type"), ProblemCode.INVALID_SCHEMA, message, hint)


@dataclass(frozen=True, slots=True)
class PushBacks:
    """Checks what gates send back to work.

    A node that works again and everything between it and the gate run anew. So nothing there may
    have had an effect that happens once, and nothing behind it may have gone on without the gate.
    """

    definition: WorkflowDefinition
    agents: Mapping[str, AgentManifest]
    needs: Mapping[str, tuple[str, ...]] = field(init=False)
    ancestors: Mapping[str, int] = field(init=False)
    dependents: Mapping[str, tuple[str, ...]] = field(init=False)
    bits: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Read the graph once for all gates."""
        needs = {name: node.needs for name, node in self.definition.nodes.items()}
        object.__setattr__(self, "needs", needs)
        object.__setattr__(self, "ancestors", ancestors_of(needs))
        object.__setattr__(self, "dependents", dependents_of(needs))
        object.__setattr__(self, "bits", bit_of(needs))

    def problems(self, name: str, gate: Gate) -> Iterator[Problem]:
        """Give what is wrong with the nodes that a gate names."""
        for index, to in enumerate(gate.push_back or ()):
            pointer = pointer_of("nodes", name, "approval", "push_back", index)
            if to not in self.needs:
                hint = did_you_mean(to, self._possible(name))
                message = f"there is no node {to!r}"
                yield problem(pointer, ProblemCode.UNKNOWN_NODE, message, hint)
            elif to not in self._possible(name):
                yield problem(pointer, ProblemCode.BAD_PUSH_BACK, *self._out_of_reach(name, to))
            else:
                yield from self._effects(name, to, pointer)
                yield from self._bystanders(name, to, pointer)

    def _possible(self, name: str) -> tuple[str, ...]:
        before = tuple(one for one in self.needs if self.ancestors[name] & self.bits[one])
        return (*before, name) if self._plans(name) else before

    def _manifest(self, name: str) -> AgentManifest | None:
        agent = self.definition.nodes[name].agent
        return self.agents.get(agent) if agent is not None else None

    def _plans(self, name: str) -> bool:
        manifest = self._manifest(name)
        return manifest is not None and manifest.plans

    def _out_of_reach(self, name: str, to: str) -> tuple[str, str]:
        if to == name:
            message = f"{name!r} has done nothing yet when its gate opens: its agent does not plan"
            return message, "push back to a node before it"
        message = f"{to!r} need not have run when the gate of {name!r} opens"
        return message, did_you_mean(to, self._possible(name)) or "push back to a node before it"

    def _effects(self, name: str, to: str, pointer: str) -> Iterator[Problem]:
        for one in between(self.needs, self.ancestors, to, name):
            manifest = self._manifest(one)
            if one != name and manifest is not None and not manifest.repeats:
                message = f"{one!r} would run again, and the effect of its agent happens once"
                hint = f"push back to a node between {one!r} and {name!r}, or to none"
                yield problem(pointer, ProblemCode.BAD_PUSH_BACK, message, hint)

    def _bystanders(self, name: str, to: str, pointer: str) -> Iterator[Problem]:
        reset = between(self.needs, self.ancestors, to, name)
        for one in reset if to != name else ():
            for other in self.dependents[one]:
                if other in reset or self.ancestors[other] & self.bits[name]:
                    continue
                message = f"{other!r} needs {one!r}, which would run again, and may be done by then"
                hint = f'add "{name}" to the needs of {other!r}'
                yield problem(pointer, ProblemCode.BAD_PUSH_BACK, message, hint)
