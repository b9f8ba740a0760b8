"""The protocol's sharpest moments on real servers: each held up exactly where it matters.

The owners run in this process, behind gates, over their real adapters and their production roles
in the store; only the executor is a script.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from pydantic_core import from_json, to_json

from penstock_adapters.memory.signing import MemorySigner
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_heartbeats, ensure_streams
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.nats.work import NatsWorkQueue, ensure_pool
from penstock_adapters.owning import AUDITOR_ROLE
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.system.clock import SystemClock
from penstock_approval.app import host as approval_host
from penstock_approval.app import shared as shared_approvals
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import RegisterAgent
from penstock_contracts.approval.v1 import CastVote, Choice
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import approval_id, run_id
from penstock_contracts.records import ReadEvent, StoredRecord, read_published
from penstock_contracts.registry import name_of, type_of
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.task.v1 import Outcome, TaskMessage
from penstock_contracts.values import JsonObject, Wire
from penstock_contracts.workflow.v1 import ApplyWorkflow, WorkflowApplied
from penstock_core.run.decider import RunDecider
from penstock_core.run.snapshot import state_hash
from penstock_runtime.cells import event_of
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.dispatch import Renderer
from penstock_runtime.faults import TransientFault
from penstock_runtime.owner import Parts
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.inbox import Source
from penstock_scheduler.app import Wiring
from penstock_scheduler.app import shared as shared_runs
from penstock_scheduler.runs import RunDomain
from penstock_testkit.builders.workflows import WORK, gate, linear, node, workflow
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.servers import RealServers
from penstock_testkit.world import Gate, Instance
from penstock_testkit.world.gates import through

pytestmark = [pytest.mark.real, pytest.mark.slow]

TENANT = "default"
RUN_PARTITION = subjects.run_partition(0)
WAIT_S = 60.0
LOOK_S = 0.05
FOLLOW_S = 10.0
CODES = TaskCodeBook(b"a secret of the schedulers of this test")


@pytest.fixture(scope="module")
def servers() -> Iterator[RealServers]:
    with RealServers.started() as started:
        yield started


class RealWorld:
    """Owners over real servers."""

    def __init__(
        self, bus: NatsConnection, ledger: PostgresLedger, approvals: PostgresLedger
    ) -> None:
        self.bus = bus
        self.ledger = ledger
        self.approvals = approvals
        self.instances: list[Instance] = []
        self.number = 0

    async def prepare(self) -> None:
        await ensure_streams(self.bus, tuple(Stream))
        await ensure_heartbeats(self.bus)
        await ensure_pool(self.bus, "default")

    def _parts(
        self, ledger: PostgresLedger, at: Gate, of: Sequence[Source], renderer: Renderer
    ) -> Parts:
        return Parts(
            ledger=through(ledger, at),
            reader=through(ledger, at),
            index=through(ledger, at),
            inbox=through(NatsInbox(self.bus, of), at),
            sources=of,
            publisher=through(NatsPublisher(self.bus), at),
            relay_log=through(NatsRelayLog(self.bus), at),
            renderer=renderer,
            clock=SystemClock(),
            metrics=KeptMetrics(),
        )

    def scheduler(self, name: str) -> Instance:
        at = Gate()
        parts = partial(self._parts, self.ledger, at)
        wiring = Wiring(name, CODES, self.ledger, parts, self.prepare)
        sharing = shared_runs(name, 1, wiring, through(self.ledger, at), SystemClock())
        self.instances.append(Instance(name, at, sharing))
        return self.instances[-1]

    def approval(self) -> Instance:
        at = Gate()
        parts = partial(self._parts, self.approvals, at)
        signer = MemorySigner(b"a secret of the approval service")
        make = partial(approval_host, "approval", parts, self.prepare, signer)
        sharing = shared_approvals("approval", make, through(self.approvals, at), SystemClock())
        self.instances.append(Instance("approval", at, sharing))
        return self.instances[-1]

    async def execute(self) -> None:
        while True:
            with suppress(TransientFault):
                queue = NatsWorkQueue(self.bus, "default")
                for item in await queue.take(10, 1.0):
                    task = TaskMessage.model_validate(from_json(item.payload)["data"])
                    result = ReportResult(
                        task_id=task.task_id, node=task.node, attempt=task.attempt,
                        executor="script", token=task.token, outcome=Outcome.SUCCEEDED,
                        output={"node": task.node},
                    )  # fmt: skip
                    path = subjects.run(TENANT, task.partition, task.run_id, "report_result")
                    await self.send(path, result)
                    await item.ack_sync()
                await queue.close()

    async def send(self, path: str, body: Wire) -> None:
        self.number += 1
        message = Envelope(
            id=f"c-{self.number}", source="test", type=type_of(body), data=body.to_data()
        )
        await self.publish(path, message.encode())

    async def publish(self, path: str, payload: bytes, message_id: str | None = None) -> None:
        stream = {"trigger": "TRIGGERS", "catalog": "CATALOG", "run": "RUNS"}
        name = stream.get(subjects.parse(path).kind, "APPROVALS")
        out = Outgoing(name, path, payload, message_id)
        (done,) = await NatsPublisher(self.bus).publish([out])
        assert done is Published.DONE

    async def ready_for(self, document: JsonObject) -> None:
        catalog = partial(subjects.catalog, TENANT)
        await self.send(catalog("agent", "work", "register_agent"), RegisterAgent(manifest=WORK))
        name = str(document["name"])
        path = catalog("workflow", name, "apply_workflow")
        await self.send(path, ApplyWorkflow(document=document))
        await self.until_stored(CATALOG_PARTITION, WorkflowApplied.TYPE)

    async def trigger(self) -> str:
        path = subjects.trigger(TENANT, "workflow.flow")
        await self.publish(path, to_json({"inputs": {}}), "t1")
        return run_id(TENANT, "flow", "msg:t1")

    async def records(self, partition: str) -> Sequence[StoredRecord]:
        ledger = self.approvals if partition == APPROVAL_PARTITION else self.ledger
        return await ledger.after(partition, 0, 10_000)

    async def until_stored(self, partition: str, topic: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while topic not in {record.topic for record in await self.records(partition)}:
                await SystemClock().sleep(LOOK_S)

    async def hash_of(self, run: str) -> str:
        history = (await self.ledger.load([run]))[run]
        domain = RunDomain(Definitions(self.ledger), CODES)
        state = await domain.blank(run, event_of(history[0]))
        for record in history:
            state = RunDecider().evolve(state, event_of(record))
        return state_hash(state)

    async def published(self, partition: str) -> list[ReadEvent]:
        """Read EVENTS until it holds all that is stored of a partition."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(TransientFault, TimeoutError):  # it may just be made again
                    async with asyncio.timeout(FOLLOW_S):
                        return await self._read(partition)
                await SystemClock().sleep(LOOK_S)

    async def _read(self, partition: str) -> list[ReadEvent]:
        wanted = len(await self.records(partition))
        found: list[ReadEvent] = []
        tail = NatsStreamTail(self.bus)
        async with tail.follow("EVENTS", subjects.events_of("*")) as messages:
            async for message in messages:
                event = read_published(message.payload)
                if event.partition == partition:
                    found.append(event)
                    if event.n == wanted:
                        break
        return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await SystemClock().sleep(LOOK_S)


@asynccontextmanager
async def world(servers: RealServers) -> AsyncIterator[RealWorld]:
    urls = {name: servers.postgres.fresh_database(name) for name in (SCHEDULER, APPROVAL)}
    for name, url in urls.items():
        migrate(url.owner, f"{name}_service", AUDITOR_ROLE, Schema.LEDGER)
    servers.nats.lose_jetstream()
    login = servers.nats.login()
    settings = NatsSettings(
        login.url, login.user, login.password, login.inbox_prefix, reconnect_wait_s=0.05
    )
    bus = await connect(settings)
    async with (
        PostgresLedger(urls[SCHEDULER].service) as ledger,
        PostgresLedger(urls[APPROVAL].service) as approvals,
    ):
        made = RealWorld(bus, ledger, approvals)
        await made.prepare()
        executor = asyncio.create_task(made.execute())
        try:
            yield made
        finally:
            executor.cancel()
            with suppress(asyncio.CancelledError):
                await executor
            for instance in made.instances:
                await instance.kill()
            await bus.close()


SCHEDULER, APPROVAL = "penstock_scheduler", "penstock_approval"


@pytest.mark.parametrize("held", ["commit", "publish_unit"])
async def test_an_owner_that_was_overtaken_while_it_stood_still_changes_nothing(
    servers: RealServers, held: str
):
    async with world(servers) as real:
        first = real.scheduler("scheduler-1")
        await until(lambda: first.ready)
        await real.ready_for(workflow(nodes=linear("a", "b")))
        await real.published(CATALOG_PARTITION)
        first.gate.hold(held)
        run = await real.trigger()
        await until(lambda: held in first.gate.waiting)
        first.gate.hold()
        second = real.scheduler("scheduler-2")
        await until(lambda: second.ready)
        await real.until_stored(RUN_PARTITION, "run.run_succeeded.v1")
        first.gate.let_go()
        await until(lambda: not first.ready)
        for partition in (CATALOG_PARTITION, RUN_PARTITION):
            numbers = [event.n for event in await real.published(partition)]
            assert numbers == list(range(1, len(await real.records(partition)) + 1))
        names = [name_of(record.topic) for record in (await real.ledger.load([run]))[run]]
        assert names.count("run_started") == names.count("run_succeeded") == 1
        assert names.count("node_succeeded") == 2
        await until(lambda: len(first.owned) == len(second.owned) == 1)  # its share, in a new epoch


async def test_the_whole_bus_is_lost_while_a_run_waits_at_its_gate(servers: RealServers):
    async with world(servers) as real:
        scheduler, approval = real.scheduler("scheduler-1"), real.approval()
        await until(lambda: scheduler.ready and approval.ready)
        await real.ready_for(workflow(nodes={"a": node(), "ok": gate("a"), "b": node("ok")}))
        run = await real.trigger()
        await real.until_stored(APPROVAL_PARTITION, "approval.approval_requested.v1")
        before = await real.hash_of(run)
        servers.nats.lose_jetstream()
        for partition in (CATALOG_PARTITION, RUN_PARTITION, APPROVAL_PARTITION):
            numbers = [event.n for event in await real.published(partition)]
            assert numbers == list(range(1, len(await real.records(partition)) + 1))
        assert await real.hash_of(run) == before
        approved = CastVote(
            approval_id=approval_id(run, "ok", 1), choice=Choice.APPROVE, reason="fine",
            user="user:bob", roles=("approver",),
        )  # fmt: skip
        await until(lambda: scheduler.ready and approval.ready)
        await real.send(subjects.approval(TENANT, approved.approval_id, "cast_vote"), approved)
        await real.until_stored(RUN_PARTITION, "run.run_succeeded.v1")
