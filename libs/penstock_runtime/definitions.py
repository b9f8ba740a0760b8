"""Plans by digest, compiled from the catalog's events."""

from collections import OrderedDict
from collections.abc import Mapping

from penstock_contracts.agent.v1 import AgentManifest, AgentRegistered
from penstock_contracts.ids import agent_id, workflow_id
from penstock_contracts.records import read_record
from penstock_contracts.registry import read_event
from penstock_contracts.workflow.v1 import WorkflowApplied, WorkflowDefinition
from penstock_core.decision import BrokenInvariant
from penstock_core.workflow.plan import Plan, compile_plan
from penstock_runtime.ports.ledger import EventReader

PLANS_MAX = 1_000  # compiled plans kept

PlanKey = tuple[str, str, str, tuple[tuple[str, str], ...]]


class Definitions:
    """Reads definitions and manifests by digest from the store, once each."""

    def __init__(self, reader: EventReader) -> None:
        """Read from `reader`."""
        self._reader = reader
        self._plans: OrderedDict[PlanKey, Plan] = OrderedDict()

    async def plan(
        self, tenant: str, workflow: str, digest: str, agents: Mapping[str, str]
    ) -> Plan:
        """Give the plan of one workflow version with the agents a run is pinned to.

        Raises:
            BrokenInvariant: the store holds no such definition or manifest.
            TransientFault: the store does not answer.
        """
        key: PlanKey = (tenant, workflow, digest, tuple(sorted(agents.items())))
        plan = self._plans.get(key)
        if plan is None:
            plan = await self._compile(tenant, workflow, digest, agents)
            self._plans[key] = plan
            if len(self._plans) > PLANS_MAX:
                self._plans.popitem(last=False)
        return plan

    async def _compile(
        self, tenant: str, workflow: str, digest: str, agents: Mapping[str, str]
    ) -> Plan:
        owner = workflow_id(tenant, workflow)
        agent_ids = {name: agent_id(tenant, name) for name in agents}
        records = await self._reader.load([owner, *agent_ids.values()])
        manifests: dict[str, AgentManifest] = {}
        document = None
        for aggregate_id, history in records.items():
            for record in history:
                event = read_event(record.topic, read_record(record).data)
                if isinstance(event, WorkflowApplied) and event.digest == digest:
                    document = event.document
                if isinstance(event, AgentRegistered):
                    name = event.manifest.name
                    if agent_ids.get(name) == aggregate_id and agents[name] == event.digest:
                        manifests[name] = event.manifest
        missing = sorted(agents.keys() - manifests.keys())
        if document is None or missing:
            what = f"agents {', '.join(missing)}" if missing else f"workflow {workflow} {digest}"
            raise BrokenInvariant(f"the store holds no {what}")
        definition = WorkflowDefinition.model_validate(document)
        return compile_plan(definition, digest, manifests, dict(agents))
