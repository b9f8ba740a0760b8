"""Which runs a trigger starts."""

from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.ids import run_id
from penstock_contracts.subjects import run_partition
from penstock_contracts.trigger.v1 import (
    DIRECT_SOURCE,
    MatchedRun,
    ReceiveTrigger,
    TriggerIgnored,
    TriggerMatched,
)
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import TriggerRule
from penstock_core.catalog.library import WorkflowEntry
from penstock_core.decision import Context
from penstock_core.workflow.conditions import ConditionError
from penstock_core.workflow.templating import TemplateError, compile_template
from penstock_core.workflow.validation import check_inputs, match_rule, with_defaults


@dataclass(frozen=True, slots=True)
class _Fault:
    code: Code
    detail: str


def match_trigger(command: ReceiveTrigger, context: Context) -> TriggerMatched | TriggerIgnored:
    """Match a trigger against every workflow of its tenant, or the one it names."""
    source, _, rest = command.path.partition(".")
    if source == DIRECT_SOURCE:
        outcomes = [_direct(rest, command, context)]
    else:
        outcomes = [
            outcome
            for (tenant, _name), entry in sorted(context.library.workflows.items())
            if tenant == context.tenant
            and (outcome := _by_rules(entry, command, context)) is not None
        ]
    runs = tuple(outcome for outcome in outcomes if isinstance(outcome, MatchedRun))
    faults = tuple(outcome for outcome in outcomes if isinstance(outcome, _Fault))
    if not runs:
        return _ignored(command, context, faults)
    return TriggerMatched(
        tenant=context.tenant,
        trigger_id=command.trigger_id,
        path=command.path,
        requested_by=context.actor,
        runs=runs,
        faults=tuple(fault.detail for fault in faults),
        matched_us=context.now_us,
        traceparent=context.traceparent,
    )


def _ignored(
    command: ReceiveTrigger, context: Context, faults: tuple[_Fault, ...]
) -> TriggerIgnored:
    if faults:
        code, detail = faults[0].code, "; ".join(fault.detail for fault in faults)
    else:
        code, detail = Code.NO_MATCH, f"no workflow is triggered by {command.path}"
    return TriggerIgnored(
        tenant=context.tenant,
        trigger_id=command.trigger_id,
        path=command.path,
        code=code,
        detail=detail[:4096],
    )


def _direct(name: str, command: ReceiveTrigger, context: Context) -> MatchedRun | _Fault:
    entry = context.library.workflows.get((context.tenant, name))
    if entry is None:
        return _Fault(Code.UNKNOWN_WORKFLOW, f"there is no workflow {name!r}")
    data = command.event.get("data")
    inputs = data.get("inputs", {}) if isinstance(data, dict) else data
    return _run(entry, inputs, command, context)


def _by_rules(
    entry: WorkflowEntry, command: ReceiveTrigger, context: Context
) -> MatchedRun | _Fault | None:
    name = entry.definition.name
    for rule in entry.definition.triggers:
        try:
            if not match_rule(rule, command.path, command.event):
                continue
            return _run(entry, _rule_inputs(rule, command), command, context)
        except ConditionError as error:
            return _Fault(Code.CONDITION_FAILED, f"{name}: trigger condition: {error}")
        except TemplateError as error:
            return _Fault(Code.TEMPLATE_FAILED, f"{name}: trigger inputs: {error}")
    return None


def _rule_inputs(rule: TriggerRule, command: ReceiveTrigger) -> JsonValue:
    if not rule.inputs:
        return command.event.get("data")
    scope: JsonObject = {"trigger": command.event}
    return compile_template(rule.inputs).render(scope)


def _run(
    entry: WorkflowEntry, inputs: JsonValue, command: ReceiveTrigger, context: Context
) -> MatchedRun | _Fault:
    definition = entry.definition
    if inputs is None:
        inputs = {}
    if not isinstance(inputs, dict):
        return _Fault(Code.INVALID_INPUTS, f"{definition.name}: inputs must be a JSON object")
    inputs = with_defaults(definition.inputs, inputs)
    if len(to_json(inputs)) > MAX_INLINE_BYTES:
        limit = f"inputs are larger than {MAX_INLINE_BYTES // 1024} KiB"
        return _Fault(Code.INVALID_INPUTS, f"{definition.name}: {limit}")
    fault = check_inputs(definition.inputs, inputs)
    if fault is not None:
        return _Fault(Code.INVALID_INPUTS, f"{definition.name}: {fault}")
    names = frozenset(node.agent for node in definition.nodes.values() if node.agent)
    agents = context.library.digests_of(context.tenant, names)
    missing = sorted(names - agents.keys())
    if missing:
        return _Fault(Code.UNKNOWN_AGENT, f"{definition.name}: no agent {', '.join(missing)}")
    run = run_id(context.tenant, definition.name, command.trigger_id)
    number = int(run[:8], 16) % context.run_partitions
    return MatchedRun(
        run_id=run,
        partition=run_partition(number),
        workflow=definition.name,
        definition_digest=entry.digest,
        agents=agents,
        inputs=inputs,
    )
