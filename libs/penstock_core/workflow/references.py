"""Whether what a template or a condition reads will be there when it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_core import to_json

from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.conditions import Condition
from penstock_core.workflow.problems import ProblemCode, did_you_mean, problem
from penstock_core.workflow.schemas import ANYTHING, Absent, Shape, shape_of, step_into
from penstock_core.workflow.templating import Reference

INPUTS, TRIGGER, RUN = "inputs", "trigger", "run"
ARTIFACTS = "artifacts"  # of a node: what its agent left, by name
ROOTS = frozenset({INPUTS, TRIGGER, RUN})
RUN_SHAPE = shape_of(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "workflow": {"type": "string"},
            "trigger": {"type": "string"},
            "feedback": {"type": "string"},
        },
    }
)
_ERROR: JsonObject = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}


def decision_schema(form: JsonObject) -> JsonObject:
    """Give the schema of the output of a node without an agent: the decision that was taken.

    Args:
        form: schema of the answers; {}: there are none.
    """
    said: JsonObject = {"approved": {"type": "boolean"}, "by": {}, "reason": {"type": "string"}}
    if form:
        said["answers"] = _answers(form)
    return {"type": "object", "properties": said}


def _answers(form: JsonObject) -> JsonObject:
    """Give the form; anything, if it has references: these would be looked for elsewhere."""
    return {} if b"$ref" in to_json(form) else form


def node_shape(output: JsonObject, form: JsonObject | None = None, *, agent: bool = False) -> Shape:
    """Give the shape of a node as it is read: output, status, error, approval, artifacts.

    Args:
        output: schema of its output.
        form: schema of the answers to its gate; None: it has no gate.
        agent: it has one, which may leave artifacts; their names are known once it has run.
    """
    fields: JsonObject = {"output": output, "status": {"type": "string"}, "error": _ERROR}
    if form is not None:
        said: JsonObject = {"by": {"type": "string"}, "reason": {"type": "string"}}
        said["answers"] = _answers(form)
        fields["approval"] = {"type": "object", "properties": said}
    if agent:
        reference: JsonObject = {"type": "string"}
        fields[ARTIFACTS] = {"type": "object", "additionalProperties": reference}
    return Shape(output, {"type": "object", "properties": fields})


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be read at one place of a definition.

    Attributes:
        shapes: everything that has a name anywhere in the definition.
        bits: each node's own bit.
        before: bits of the nodes that have ended when this place is read; None: all of them.
        reader: the node that reads; empty outside of nodes.
        sure: nothing that is missing may follow from another fault.
    """

    shapes: Mapping[str, Shape]
    bits: Mapping[str, int]
    before: int | None = None
    reader: str = ""
    sure: bool = True

    def _is_later(self, root: str) -> bool:
        return self.before is not None and root in self.bits and not self.before & self.bits[root]

    def resolve(self, reference: Reference, pointer: str) -> Shape | Problem:
        """Give the shape of what a reference names, or why it names nothing."""
        if reference.root not in self.shapes or self._is_later(reference.root):
            return self._unknown(reference.root, pointer)
        shape = self.shapes[reference.root]
        for number, step in enumerate(reference.path):
            place = step_into(shape, step)
            if isinstance(place, Absent):
                return _absent(reference, number, place, pointer)
            shape = place
        return shape

    def _unknown(self, root: str, pointer: str) -> Problem:
        if root == self.reader:
            message = f"node {root!r} reads its own output"
            return problem(pointer, ProblemCode.NOT_BEFORE, message)
        if root in self.shapes:
            message = f"{root!r} need not have ended when this is read"
            hint = f'add "{root}" to needs'
            return problem(pointer, ProblemCode.NOT_BEFORE, message, hint)
        if root == TRIGGER:
            message = "`trigger` can be read in the `inputs` and `when` of a trigger rule only"
            hint = "hand it on as an input of the workflow and read `inputs`"
            return problem(pointer, ProblemCode.UNKNOWN_NAME, message, hint)
        hint = did_you_mean(root, self.shapes)
        message = f"there is nothing called {root!r}"
        return problem(pointer, ProblemCode.UNKNOWN_NAME, message, hint)


def _absent(reference: Reference, number: int, absent: Absent, pointer: str) -> Problem:
    before = str(replace(reference, path=reference.path[:number]))
    step = reference.path[number]
    hint = did_you_mean(str(step), absent.known) if isinstance(step, str) else ""
    if reference.path[:1] == (ARTIFACTS,) and number > 1:
        name = to_json(".".join(str(part) for part in reference.path[1:])).decode()
        hint = f"a name with dots is written `{reference.root}.{ARTIFACTS}[{name}]`"
    code = ProblemCode.UNKNOWN_INPUT if reference.root == INPUTS else ProblemCode.UNKNOWN_OUTPUT
    return problem(pointer, code, f"`{before}` {absent.reason}", hint)


def condition_problems(condition: Condition, sight: Sight, pointer: str) -> list[Problem]:
    """Give what a condition reads that is not there."""
    found: list[Problem] = []
    for read in sorted(condition.reads):
        reference = Reference(root=read[0], path=read[1:], pointer="", alone=True)
        place = sight.resolve(reference, pointer)
        if isinstance(place, Problem) and (sight.sure or not _may_follow(place)):
            found.append(place)
    return found


def artifact_problems(
    references: Sequence[Reference], sight: Sight, pointer: str
) -> tuple[Problem, ...]:
    """Give what is wrong with how a `with` block refers to artifacts: each is passed whole."""
    return tuple(
        fault
        for one in references
        if one.root in sight.bits and one.path[:1] == (ARTIFACTS,)
        if (fault := _misread_artifact(one, pointer + one.pointer)) is not None
    )


def _misread_artifact(reference: Reference, pointer: str) -> Problem | None:
    name = ".".join(str(step) for step in reference.path[1:]) or "report.sarif"
    written = f"{{{{{reference.root}.{ARTIFACTS}[{to_json(name).decode()}]}}}}"
    if len(reference.path) == 1:
        message = f"`{reference}` are all artifacts of {reference.root!r}; an input takes one"
        return problem(pointer, ProblemCode.BAD_TEMPLATE, message, f"write `{written}`")
    if not reference.alone:
        message = f"`{reference}` becomes the path of a file, so nothing may stand around it"
        return problem(pointer, ProblemCode.BAD_TEMPLATE, message, f'write "{written}" alone')
    return None


def shape_or_problem(
    reference: Reference, sight: Sight, pointer: str, problems: list[Problem]
) -> Shape:
    """Give the shape of what a reference names; if there is none, tell why and give anything."""
    place = sight.resolve(reference, pointer)
    if isinstance(place, Shape):
        return place
    if sight.sure or not _may_follow(place):
        problems.append(place)
    return ANYTHING


def _may_follow(found: Problem) -> bool:
    return found.code == ProblemCode.NOT_BEFORE
