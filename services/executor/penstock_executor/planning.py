"""Reading what the `plan` of an agent yields: a plan that waits for approval, or an output.

What is accepted here is what people are shown, what they approve and what `apply` is handed, to
the letter; so nothing in it is cut, redacted or filled in. A plan that cannot be kept as it is,
is refused.
"""

from collections.abc import Iterable

from pydantic import JsonValue, ValidationError
from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES, first_fault
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import Failure, JsonObject
from penstock_core.workflow.canonical import uncanonical
from penstock_executor.outcomes import Ending, accepted, failed, read_output
from penstock_executor.redaction import Redactor
from penstock_executor.shapes import Shape

PLAN, OUTPUT = "plan", "output"
_MAX_NAMED_CHARS = 200
_FIELDS = frozenset(PlannedChange.model_fields)
_EXPECTED = (
    'a plan phase writes {"plan": {"effect": .., "base": .., "summary": ".."}}, '
    'or {"output": ..} if there is nothing to apply'
)


def planned(raw: bytes | None, shape: Shape, redact: Redactor) -> Ending:
    """Judge the output of a plan phase that ended well."""
    read = read_output(raw)
    if isinstance(read, Failure):
        return Ending(None, read)
    match read:
        case {"output": dict() as output, **rest} if not rest:
            value = accepted(output, shape, redact)
            return Ending(None, value) if isinstance(value, Failure) else Ending(value, None)
        case {"plan": dict() as plan, **rest} if not rest:
            change = _read_plan(plan, redact)
            if isinstance(change, Failure):
                return Ending(None, change)
            fault = plan_fault(change, redact)
            return Ending(None, fault) if fault else Ending(None, None, plan=change)
        case _:
            message = redact.text(f"{_EXPECTED}; {_found(read)}")
            return Ending(None, failed(Code.INVALID_OUTPUT, message))


def plan_fault(plan: PlannedChange, redact: Redactor) -> Failure | None:
    """Say why a plan cannot be kept, shown and approved as it is; None: it can."""
    data: JsonObject = {"effect": plan.effect, "base": plan.base, "summary": plan.summary}
    for pointer, what in uncanonical(data):
        return failed(Code.INVALID_OUTPUT, f"the plan has no canonical form: {pointer}: {what}")
    size = len(to_json(data))
    if size > MAX_INLINE_BYTES:
        message = f"the plan has {size} bytes; {MAX_INLINE_BYTES} are allowed: propose less at once"
        return failed(Code.OUTPUT_TOO_LARGE, message)
    if redact.value(data) != data:
        message = (
            "the plan holds the value of a secret, and plans are kept and shown: let the agent "
            "name the secret and put it in when it applies"
        )
        return failed(Code.INVALID_OUTPUT, message)
    return None


def _read_plan(plan: JsonObject, redact: Redactor) -> PlannedChange | Failure:
    unknown = plan.keys() - _FIELDS
    if unknown:
        # Nothing that the agent means to be approved may be left out of what is shown.
        message = f"the plan has fields nobody knows: {_names(unknown)}; {_EXPECTED}"
        return failed(Code.INVALID_OUTPUT, redact.text(message))
    try:
        return PlannedChange.model_validate(plan)
    except ValidationError as error:
        return failed(Code.INVALID_OUTPUT, f"the plan does not fit: {first_fault(error)}")


def _found(read: dict[str, JsonValue]) -> str:
    if PLAN in read and OUTPUT in read:
        return "this one wrote both"
    for name in (PLAN, OUTPUT):
        if name in read and not isinstance(read[name], dict):
            return f"`{name}` of this one is not an object"
    return f"this one wrote the fields: {_names(read)}" if read else "this one wrote no field"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))[:_MAX_NAMED_CHARS]
