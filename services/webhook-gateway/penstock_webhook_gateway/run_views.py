"""Folding run events into the read model with the core's own `evolve`."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import kind_of
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.values import JsonObject, Wire
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_core.decision import BrokenInvariant
from penstock_core.run.evolve import evolve
from penstock_core.run.snapshot import (
    header_document,
    node_document,
    read_header,
    read_node,
    with_nodes,
)
from penstock_core.run.state import NodeStatus, RunState
from penstock_core.workflow.plan import Plan, compile_plan
from penstock_runtime.ports.projection import ViewReader, ViewRow
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.kinds import View, artifact_row_id, node_row_id

RUNS_MAX = 5_000  # states kept in memory
PLANS_MAX = 500
AHEAD_MAX = 200  # runs that are read by one question
KIND = "run"


def _listed(status: NodeStatus) -> str:
    """Give the state by which nodes are listed: only of those that an operator has to settle."""
    return status.value if status is NodeStatus.UNKNOWN else ""


def _put_artifacts(
    changes: Changes, run: RunState, node: str, place: int, before: tuple[Artifact, ...]
) -> None:
    """Put the rows of what a node has left; what it left before it began anew is not its own."""
    for artifact in before:
        row_id = artifact_row_id(artifact.digest, run.run_id, node, artifact.name)
        changes.drop(View.ARTIFACT, run.tenant, row_id)
    for artifact in run.nodes[node].artifacts:
        body: JsonObject = {
            "run_id": run.run_id,
            "node": node,
            "name": artifact.name,
            "digest": artifact.digest,
            "size": artifact.size,
            "media_type": artifact.media_type,
            "partition": run.partition,
        }
        row_id = artifact_row_id(artifact.digest, run.run_id, node, artifact.name)
        changes.put(ViewRow(View.ARTIFACT, run.tenant, row_id, run.run_id, place, "", "", body))


class NotYet(Exception):
    """What a run refers to has not been applied: partitions have no order among each other."""


class RunViews:
    """States of runs as far as events were applied; what is not in memory is read from rows."""

    def __init__(self) -> None:
        """Begin with nothing in memory."""
        self._kept: OrderedDict[str, RunState] = OrderedDict()
        self._written: dict[str, RunState] = {}  # runs of this batch as their rows hold them
        self._plans: OrderedDict[tuple[str, str, str], Plan] = OrderedDict()

    def forget(self) -> None:
        """Drop everything: a commit has failed."""
        self._kept.clear()
        self._written.clear()

    async def knows(self, changes: Changes, event: ReadEvent) -> bool:
        """Tell whether the event's aggregate is a run of ours."""
        if event.aggregate_id in self._kept:
            return True
        row = await changes.get(View.RUN, event.meta.tenant, event.aggregate_id)
        return row is not None

    async def read_ahead(
        self, reader: ViewReader, changes: Changes, events: Sequence[ReadEvent]
    ) -> None:
        """Read the states that a batch needs and that are not in memory, together.

        What cannot be read is left to `apply`, which says so.

        Args:
            reader: of the rows as they were committed last.
            changes: of the batch; nothing of a run yet.
            events: all of the batch, in their order.
        """
        for tenant, run_ids in self._missing(events).items():
            for first in range(0, len(run_ids), AHEAD_MAX):
                some = run_ids[first : first + AHEAD_MAX]
                rows = await reader.get_many(View.RUN, tenant, some)
                nodes = await reader.children_of(View.NODE, tenant, list(rows))
                for run_id, row in rows.items():
                    with suppress(NotYet, BrokenInvariant, ValueError, KeyError, TypeError):
                        self._kept[run_id] = await self._as_kept(
                            changes, row, nodes.get(run_id, ())
                        )

    def _missing(self, events: Sequence[ReadEvent]) -> Mapping[str, list[str]]:
        begun: set[str] = set()
        missing: dict[str, dict[str, None]] = {}
        for event in events:
            run_id = event.aggregate_id
            if event.topic == RunStarted.TYPE:
                begun.add(run_id)
            elif kind_of(event.topic) == KIND and run_id not in begun and run_id not in self._kept:
                missing.setdefault(event.meta.tenant, {})[run_id] = None
        return {tenant: list(run_ids) for tenant, run_ids in missing.items()}

    async def apply(self, changes: Changes, event: ReadEvent, body: Wire) -> None:
        """Fold one event; its rows are put by `flush`, once a run however many events it had.

        Raises:
            BrokenInvariant: the event does not follow from what was applied before.
        """
        run_id, tenant = event.aggregate_id, event.meta.tenant
        before = await self._state(changes, run_id, tenant, body)
        after = evolve(before, body)
        self._written.setdefault(run_id, before)
        self._kept[run_id] = after
        self._kept.move_to_end(run_id)

    def flush(self, changes: Changes) -> None:
        """Put the rows of every run that this batch has changed."""
        for run_id, before in self._written.items():
            self._put(changes, before, self._kept[run_id])
        self._written.clear()
        while len(self._kept) > RUNS_MAX:
            self._kept.popitem(last=False)

    def _put(self, changes: Changes, before: RunState, after: RunState) -> None:
        header = header_document(after)
        changes.put(
            ViewRow(
                View.RUN, after.tenant, after.run_id, after.trigger_aggregate,
                after.started_us, after.status.value, after.workflow, header,
            )
        )  # fmt: skip
        if after.nodes is before.nodes or after.plan is None:
            return
        for place, name in enumerate(after.plan.order):
            node = after.nodes[name]
            earlier = before.nodes.get(name)
            if earlier is not node:
                left = () if earlier is None else earlier.artifacts
                if left is not node.artifacts:
                    _put_artifacts(changes, after, name, place, left)
                changes.put(
                    ViewRow(
                        View.NODE, after.tenant, node_row_id(after.run_id, name), after.run_id,
                        place, _listed(node.status), "", node_document(node),
                    )
                )  # fmt: skip

    async def _state(self, changes: Changes, run_id: str, tenant: str, body: Wire) -> RunState:
        kept = self._kept.get(run_id)
        if kept is not None:
            return kept
        if isinstance(body, RunStarted):
            plan = await self._plan(
                changes, tenant, body.workflow, body.definition_digest, dict(body.agents)
            )
            return RunState(run_id, plan=plan)
        row = await changes.get(View.RUN, tenant, run_id)
        if row is None:
            raise BrokenInvariant(f"no row for run {run_id}")
        return await self._as_kept(changes, row, await changes.children(View.NODE, tenant, run_id))

    async def _as_kept(self, changes: Changes, row: ViewRow, nodes: Sequence[ViewRow]) -> RunState:
        started = read_header(row.body, None)
        agents = row.body.get("agents")
        plan = await self._plan(
            changes, row.tenant, started.workflow, started.definition_digest,
            {str(key): str(value) for key, value in agents.items()}
            if isinstance(agents, dict)
            else {},
        )  # fmt: skip
        prefix = len(row.id) + 1
        read = {node.id[prefix:]: read_node(node.body) for node in nodes}
        return with_nodes(read_header(row.body, plan), read)

    async def _plan(
        self, changes: Changes, tenant: str, workflow: str, digest: str, agents: dict[str, str]
    ) -> Plan:
        key = (tenant, digest, ",".join(f"{k}={v}" for k, v in sorted(agents.items())))
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        row = await changes.get(View.DEFINITION, tenant, digest)
        if row is None:
            raise NotYet(f"no row for workflow {workflow} {digest}")
        manifests: dict[str, AgentManifest] = {}
        for name, wanted in agents.items():
            manifest = await changes.get(View.MANIFEST, tenant, wanted)
            if manifest is None:
                raise NotYet(f"no row for agent {name} {wanted}")
            manifests[name] = AgentManifest.model_validate(manifest.body)
        definition = WorkflowDefinition.model_validate(row.body)
        plan = compile_plan(definition, digest, manifests, agents)
        self._plans[key] = plan
        if len(self._plans) > PLANS_MAX:
            self._plans.popitem(last=False)
        return plan
