"""Plans are compiled from exactly the versions that a run is pinned to, once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_contracts.agent.v1 import AgentRegistered
from penstock_contracts.ids import agent_id, workflow_id
from penstock_contracts.records import EventMeta, NewRecord, StoredRecord, chain_hash, encode_state
from penstock_contracts.registry import type_of
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_contracts.workflow.v1 import WorkflowApplied
from penstock_core.decision import BrokenInvariant
from penstock_core.workflow.plan import definition_digest, manifest_digest
from penstock_runtime.definitions import Definitions
from penstock_runtime.ports.ledger import Commit, PartitionRow
from penstock_testkit.builders.workflows import WORK, linear, workflow
from penstock_testkit.conformance.ledger import owned
from penstock_testkit.fakes.clock import ManualClock

FLOW = workflow(nodes=linear("a"))
LONGER = workflow(nodes=linear("a", "b"))
OLD_WORK = WORK.model_copy(update={"command": ("work", "--slow")})
AGENTS = {"work": manifest_digest(WORK)}


class CountedLedger(MemoryLedger):
    """A ledger that counts its loads."""

    loads = 0

    async def load(self, aggregate_ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        self.loads += 1
        return await super().load(aggregate_ids)


async def add(store: MemoryLedger, row: PartitionRow, aggregate: str, *events: Wire) -> None:
    """Commit an aggregate's events."""
    head = row.chain_head
    records: list[NewRecord] = []
    for version, event in enumerate(events, 1):
        state = encode_state(EventMeta(time_us=version), head, event.to_data())
        records.append(NewRecord(aggregate, version, type_of(event), state))
        head = chain_hash(head, aggregate, version, type_of(event), state)
    now = await store.row(row.partition)
    last = now.n + len(records)
    await store.commit(Commit(row.partition, row.epoch, now.commit_number, last, head, records))


@pytest.fixture
async def store() -> CountedLedger:
    """Two versions of a workflow and of its agent; the earlier ones are not forgotten."""
    made = CountedLedger(ManualClock())
    row = await owned(made, CATALOG_PARTITION)
    registered = (
        AgentRegistered(tenant=DEFAULT_TENANT, digest=manifest_digest(one), manifest=one)
        for one in (OLD_WORK, WORK)
    )
    await add(made, row, agent_id(DEFAULT_TENANT, "work"), *registered)
    applied = (
        WorkflowApplied(tenant=DEFAULT_TENANT, digest=definition_digest(one), document=one)
        for one in (FLOW, LONGER)
    )
    await add(made, row, workflow_id(DEFAULT_TENANT, "flow"), *applied)
    return made


async def test_a_run_keeps_the_versions_it_was_started_with(store: CountedLedger) -> None:
    definitions = Definitions(store)
    earlier = {"work": manifest_digest(OLD_WORK)}
    first = await definitions.plan(DEFAULT_TENANT, "flow", definition_digest(FLOW), earlier)
    second = await definitions.plan(DEFAULT_TENANT, "flow", definition_digest(LONGER), AGENTS)

    assert (set(first.nodes), dict(first.agents)) == ({"a"}, earlier)
    assert (set(second.nodes), dict(second.agents)) == ({"a", "b"}, AGENTS)


async def test_a_plan_is_compiled_once(store: CountedLedger) -> None:
    definitions = Definitions(store)
    digest = definition_digest(FLOW)
    first = await definitions.plan(DEFAULT_TENANT, "flow", digest, AGENTS)

    assert await definitions.plan(DEFAULT_TENANT, "flow", digest, dict(AGENTS)) is first
    assert store.loads == 1


@pytest.mark.parametrize(
    ("tenant", "name", "digest", "agents", "says"),
    [
        (DEFAULT_TENANT, "flow", "0" * 64, AGENTS, "no workflow flow 0000"),
        (DEFAULT_TENANT, "other", definition_digest(FLOW), AGENTS, "no workflow other"),
        (DEFAULT_TENANT, "flow", definition_digest(FLOW), {"work": "0" * 64}, "no agents work"),
        ("acme", "flow", definition_digest(FLOW), AGENTS, "no agents work"),
    ],
)
async def test_what_the_store_does_not_hold_is_named(
    store: CountedLedger, tenant: str, name: str, digest: str, agents: dict[str, str], says: str
) -> None:
    with pytest.raises(BrokenInvariant, match=says):
        await Definitions(store).plan(tenant, name, digest, agents)
