"""Whether what a node hands to its agent fits the agent's input schema."""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import JsonValue

from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.inputs import faults_of
from penstock_core.workflow.problems import ProblemCode, did_you_mean, pointer_of, problem
from penstock_core.workflow.references import Sight, shape_or_problem
from penstock_core.workflow.schema_engine import extra_keys, validator_of
from penstock_core.workflow.schemas import ANYTHING, Absent, Shape, mismatch, shape_of, step_into
from penstock_core.workflow.templating import Fields, Fixed, Items, Piece, Reference, Text

MAX_SUGGESTED = 8  # fields named in one suggestion
_STRING = shape_of({"type": "string"})
_NO_SCHEMA: JsonObject = {}


class Assignment:
    """Checks one template against one schema, and collects the problems."""

    __slots__ = ("_at", "_sight", "problems")

    def __init__(self, sight: Sight, at: str) -> None:
        self._sight = sight
        self._at = at
        self.problems: list[Problem] = []

    def read_only(self, references: Iterable[Reference]) -> None:
        """Check that each reference names something; nothing is asked of its type."""
        for reference in references:
            self._shape(reference)

    def check(self, piece: Piece, consumer: Shape, pointer: str = "") -> None:
        """Check a compiled template against the schema of the place it goes to."""
        match piece:
            case Fixed(value):
                self._check_fixed(value, consumer, pointer)
            case Reference():
                self._check_reference(piece, consumer, pointer)
            case Text(parts):
                self.read_only(part for part in parts if isinstance(part, Reference))
                hint = "a reference that is the whole string passes its value with its type"
                self._check_mismatch(_STRING, consumer, pointer, "a text around a reference", hint)
            case Fields(items):
                if self._check_kind("object", consumer, pointer):
                    self._check_fields(dict(items), consumer, pointer)
            case Items(items):
                if self._check_kind("array", consumer, pointer):
                    for index, item in enumerate(items):
                        self.check(item, _place(consumer, index), f"{pointer}/{index}")

    def _shape(self, reference: Reference) -> Shape:
        pointer = self._at + reference.pointer
        return shape_or_problem(reference, self._sight, pointer, self.problems)

    def _check_fixed(self, value: JsonValue, consumer: Shape, pointer: str) -> None:
        if consumer.schema in (_NO_SCHEMA, True) or consumer is ANYTHING:
            return
        validator = validator_of(consumer.root)
        if consumer.schema is not consumer.root:
            validator = validator.evolve(schema=consumer.schema)
        if isinstance(value, dict):
            # Names are checked by the same rules as where there are references.
            fields: dict[str, Piece] = {key: Fixed(item) for key, item in value.items()}
            if self._check_kind("object", consumer, pointer):
                before = len(self.problems)
                self._check_fields(fields, consumer, pointer)
                if len(self.problems) > before:
                    return
        for path, message in faults_of(validator, value):
            place = self._at + pointer + pointer_of(*path)
            code = ProblemCode.TYPE_MISMATCH
            self.problems.append(problem(place, code, message))

    def _check_kind(self, kind: str, consumer: Shape, pointer: str) -> bool:
        if kind in consumer.types:
            return True
        self._check_mismatch(shape_of({"type": kind}), consumer, pointer, "this")
        return False

    def _check_reference(self, piece: Reference, consumer: Shape, pointer: str) -> None:
        reason = mismatch(self._shape(piece), consumer)
        if reason is not None:
            place, message = self._at + pointer, f"`{piece}` {reason}"
            hint = self._instead(piece, consumer)
            self.problems.append(problem(place, ProblemCode.TYPE_MISMATCH, message, hint))

    def _instead(self, piece: Reference, consumer: Shape) -> str:
        """Say what would fit: a field beside the one that was read, else a text around it."""
        beside = piece.path[:-1]
        above = self._sight.resolve(replace(piece, path=beside), "") if piece.path else None
        if isinstance(above, Shape):
            named = above.rules.get("properties")
            fitting = [
                f"`{replace(piece, path=(*beside, name))}`"
                for name in sorted(named if isinstance(named, dict) else {})
                if isinstance(field := step_into(above, name), Shape)
                and mismatch(field, consumer) is None
            ]
            if fitting:
                return f"these would fit: {', '.join(fitting[:MAX_SUGGESTED])}"
        if "string" in consumer.types:
            return f'a text around it gives a string: "value {{{{{piece}}}}}"'
        return "read another value, or change the schema on either side"

    def _check_mismatch(
        self, producer: Shape, consumer: Shape, pointer: str, what: str, hint: str = ""
    ) -> None:
        reason = mismatch(producer, consumer)
        if reason is not None:
            place, message = self._at + pointer, f"{what} {reason}"
            self.problems.append(problem(place, ProblemCode.TYPE_MISMATCH, message, hint))

    def _check_fields(self, fields: dict[str, Piece], consumer: Shape, pointer: str) -> None:
        rules = consumer.rules
        properties = rules.get("properties")
        named = properties if isinstance(properties, dict) else {}
        if rules.get("additionalProperties") is False:
            self._check_unknown(fields, rules, named, pointer)
        required = rules.get("required")
        for name in required if isinstance(required, list) else []:
            if name not in fields:
                self._tell_missing(str(name), named, pointer)
        self._check_alternatives(fields, rules, pointer)
        for name, piece in fields.items():
            self.check(piece, _place(consumer, name), f"{pointer}{pointer_of(name)}")

    def _check_unknown(
        self, fields: dict[str, Piece], rules: JsonObject, named: JsonObject, pointer: str
    ) -> None:
        for name in extra_keys(rules, fields):
            place = self._at + pointer + pointer_of(name)
            hint = did_you_mean(name, named.keys() - fields.keys())
            message = f"the agent takes no input {name!r}"
            self.problems.append(problem(place, ProblemCode.UNKNOWN_INPUT, message, hint))

    def _check_alternatives(
        self, fields: dict[str, Piece], rules: JsonObject, pointer: str
    ) -> None:
        """Check `anyOf: [{required: [a]}, {required: [b]}]`: one of several names is needed."""
        for keyword in ("anyOf", "oneOf"):
            branches = rules.get(keyword)
            wanted = (
                [_required(branch) for branch in branches] if isinstance(branches, list) else []
            )
            if not wanted or any(fields.keys() >= names for names in wanted):
                continue
            named = " or ".join(repr(name) for names in wanted for name in sorted(names))
            message = f"the agent needs the input {named}"
            place = self._at + pointer
            hint = f"add `{min(wanted[0])}: ...` here"
            self.problems.append(problem(place, ProblemCode.MISSING_INPUT, message, hint))

    def _tell_missing(self, name: str, named: JsonObject, pointer: str) -> None:
        rule = named.get(name)
        kind = rule.get("type") if isinstance(rule, dict) else None
        kind = f" ({kind})" if isinstance(kind, str) else ""
        message = f"the agent needs the input {name!r}{kind}"
        hint = f"add `{name}: ...` here"
        place = self._at + pointer
        self.problems.append(problem(place, ProblemCode.MISSING_INPUT, message, hint))


def _required(schema: JsonValue) -> set[str]:
    names = schema.get("required") if isinstance(schema, dict) else None
    return {str(name) for name in names} if isinstance(names, list) else set()


def _place(consumer: Shape, step: str | int) -> Shape:
    """Give the schema of a part; where there is none, that has been told already."""
    place = step_into(consumer, step)
    return ANYTHING if isinstance(place, Absent) else place
