"""Folding catalog and parking events into rows."""

from penstock_contracts.agent import v1 as agent
from penstock_contracts.executor import v1 as executor
from penstock_contracts.partition import v1 as partition
from penstock_contracts.records import ReadEvent
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import SYSTEM_TENANT, JsonObject, Wire
from penstock_contracts.workflow import v1 as workflow
from penstock_core.workflow.plan import canonical_document
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.kinds import View


async def apply_catalog(changes: Changes, event: ReadEvent, body: Wire) -> None:
    """Put the rows of agents, workflows, tokens, triggers and executors."""
    tenant, at = event.meta.tenant, event.meta.time_us
    match body:
        case agent.AgentRegistered():
            manifest = body.manifest.to_data()
            name = body.manifest.name
            changes.put(ViewRow(View.MANIFEST, tenant, body.digest, body=manifest))
            shown: JsonObject = {"digest": body.digest, "manifest": manifest, "registered_us": at}
            changes.put(ViewRow(View.AGENT, tenant, name, sort_key=at, body=shown))
        case agent.AgentRemoved():
            changes.drop(View.AGENT, tenant, body.name)
        case workflow.WorkflowApplied():
            name = str(body.document["name"])
            document = canonical_document(body.document)
            changes.put(ViewRow(View.DEFINITION, tenant, body.digest, body=document))
            shown = {"digest": body.digest, "document": body.document, "applied_us": at}
            changes.put(ViewRow(View.WORKFLOW, tenant, name, sort_key=at, body=shown))
        case workflow.WorkflowRemoved():
            changes.drop(View.WORKFLOW, tenant, body.name)
        case trigger.TokenIssued():
            await _drop_token(changes, tenant, body.name)
            changes.put(_token_row(event, body))
        case trigger.TokenRevoked():
            await _drop_token(changes, tenant, body.name)
        case trigger.TriggerMatched() | trigger.TriggerIgnored():
            changes.put(_trigger_row(event, body))
        case executor.BreakerChanged():
            changes.put(_executor_row(event, body))
        case _:
            pass


def _token_row(event: ReadEvent, body: trigger.TokenIssued) -> ViewRow:
    tenant = event.meta.tenant
    shown: JsonObject = {
        "name": body.name,
        "roles": list(body.roles),
        "groups": list(body.groups),
        "tenant": tenant,
        "issued_us": event.meta.time_us,
    }
    return ViewRow(
        View.TOKEN, SYSTEM_TENANT, body.sha256, token_holder(tenant, body.name), group=tenant,
        body=shown,
    )  # fmt: skip


def token_holder(tenant: str, name: str) -> str:
    """Name the row under which a token's row is listed: a name has one token at a time."""
    return f"{tenant}/{name}"


async def _drop_token(changes: Changes, tenant: str, name: str) -> None:
    for row in await changes.children(View.TOKEN, SYSTEM_TENANT, token_holder(tenant, name)):
        changes.drop(View.TOKEN, SYSTEM_TENANT, row.id)


def _trigger_row(
    event: ReadEvent, body: trigger.TriggerMatched | trigger.TriggerIgnored
) -> ViewRow:
    shown: JsonObject = {"trigger_id": body.trigger_id, "path": body.path}
    if isinstance(body, trigger.TriggerMatched):
        shown["runs"] = [{"run_id": run.run_id, "workflow": run.workflow} for run in body.runs]
        shown["faults"] = list(body.faults)
    else:
        shown["code"], shown["detail"] = body.code, body.detail
    return ViewRow(
        View.TRIGGER, event.meta.tenant, event.aggregate_id, sort_key=event.meta.time_us,
        body=shown,
    )  # fmt: skip


def _executor_row(event: ReadEvent, body: executor.BreakerChanged) -> ViewRow:
    breaker: JsonObject = {
        "state": body.state.value,
        "failures": body.failures,
        "reason": body.reason,
        "since_us": body.since_us,
        "until_us": body.until_us,
    }
    shown: JsonObject = {"pool": body.pool, "adapter": body.adapter, "breaker": breaker}
    return ViewRow(
        View.EXECUTOR, event.meta.tenant, body.executor, sort_key=event.meta.time_us,
        state=body.state.value, group=body.pool, body=shown,
    )  # fmt: skip


async def apply_parking(changes: Changes, event: ReadEvent, body: Wire) -> None:
    """Put the row of a parked message."""
    tenant = event.meta.tenant
    match body:
        case partition.MessageParked():
            shown: JsonObject = {
                **body.to_data(),
                "status": "parked",
                "partition": event.partition,
                "holder": event.aggregate_id,
                "parked_us": event.meta.time_us,
            }
            row_id = dead_id(event.aggregate_id, body.stream, body.sequence)
            changes.put(
                ViewRow(
                    View.DEAD, tenant, row_id, event.aggregate_id, event.meta.time_us,
                    "parked", body.stream, shown,
                )
            )  # fmt: skip
        case partition.MessageRedriven():
            row_id = dead_id(event.aggregate_id, body.stream, body.sequence)
            await changes.amend(View.DEAD, tenant, row_id, status="redriven", redriven_by=body.by)
        case _:
            pass


def dead_id(holder: str, stream: str, sequence: int) -> str:
    """Id of a parked message's row."""
    return f"{holder[:8]}-{stream.lower()}-{sequence}"
