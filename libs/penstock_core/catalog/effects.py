"""What the catalog asks of others: that a matched run be started."""

from penstock_contracts import subjects
from penstock_contracts.ids import derive
from penstock_contracts.run.v1 import StartRun
from penstock_contracts.subjects import Stream
from penstock_contracts.trigger.v1 import MatchedRun
from penstock_core.catalog.state import EntryState
from penstock_core.effects import SendCommand


def start_run(state: EntryState, run: MatchedRun) -> SendCommand:
    """Ask the run's partition to start it."""
    body = StartRun(
        run_id=run.run_id,
        tenant=state.tenant,
        workflow=run.workflow,
        definition_digest=run.definition_digest,
        agents=run.agents,
        trigger_id=state.trigger_id,
        trigger_aggregate=state.aggregate_id,
        partition=run.partition,
        inputs=run.inputs,
        requested_by=state.requested_by,
        traceparent=state.traceparent,
        matched_us=state.asked_us,
    )
    return SendCommand(
        stream=Stream.RUNS,
        subject=subjects.run(state.tenant, run.partition, run.run_id, "start_run"),
        about=run.run_id,
        key=derive("start_run", run.run_id),
        body=body,
        tenant=state.tenant,
        correlation_id=run.run_id,
        traceparent=state.traceparent,
    )
