"""Whether an agent's manifest can be relied on: its schemas are what values are believed by."""

from dataclasses import dataclass
from itertools import islice

from pydantic import JsonValue

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.canonical import uncanonical
from penstock_core.workflow.problems import MAX_PROBLEMS, ProblemCode, pointer_of, problem
from penstock_core.workflow.schema_check import check_schema
from penstock_core.workflow.schemas import shape_of


def validate_manifest(manifest: AgentManifest) -> tuple[Problem, ...]:
    """Give every problem of an agent's manifest; none: it may be registered.

    Both schemas must be usable, because inputs and outputs are believed only if they fit them.
    """
    found: list[Problem] = []
    for name, schema in (("input", manifest.input), ("output", manifest.output)):
        odd = uncanonical_problems(schema, name)
        found.extend(odd)
        for fault in check_schema(schema) if not odd else ():
            pointer = pointer_of(name) + fault.pointer
            found.append(
                problem(pointer, ProblemCode.INVALID_SCHEMA, fault.message, fault.suggestion)
            )
        if schema and "object" not in shape_of(schema).types:
            message = f"an agent's {name} is an object, so its schema must allow one"
            found.append(problem(pointer_of(name, "type"), ProblemCode.INVALID_SCHEMA, message))
    return tuple(found)[:MAX_PROBLEMS]


def uncanonical_problems(value: JsonValue, *place: str) -> tuple[Problem, ...]:
    """Give what in a value, found at `place`, could not be hashed."""
    return tuple(
        problem(pointer_of(*place) + pointer, ProblemCode.INVALID_VALUE, message)
        for pointer, message in islice(uncanonical(value), MAX_PROBLEMS)
    )


@dataclass(frozen=True, slots=True)
class AgentSchemas:
    """What an agent takes and gives."""

    input: JsonObject
    output: JsonObject


def sound(schema: JsonObject) -> JsonObject:
    """Give a schema that can be used: itself, or one that says nothing."""
    return {} if check_schema(schema) else schema
