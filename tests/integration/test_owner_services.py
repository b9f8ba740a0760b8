"""Scheduler and approval service, composed as in production: own user, own roles, own database.

Both run in this process over real servers; the rest of the system is played by the test.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from pydantic_core import from_json, to_json

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.streams import ensure_streams
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.nats.work import NatsWorkQueue, durable_of
from penstock_adapters.postgres.faults import SchemaOutdated
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentRegistered, RegisterAgent
from penstock_contracts.approval.v1 import (
    CastVote,
    Choice,
    CommandRejected,
    Proposal,
    RequestApproval,
)
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import agent_id, approval_id, run_id, workflow_id
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.records import ReadEvent, read_published
from penstock_contracts.registry import name_of, type_of
from penstock_contracts.run.v1 import ApplyDecision, ReportResult, RunSucceeded, Verdict
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.task.v1 import Outcome, TaskMessage
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_contracts.workflow.v1 import ApplyWorkflow, WorkflowApplied
from penstock_core.binding import bind
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.faults import TransientFault
from penstock_runtime.grants import read_payload
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.builders.workflows import WORK, linear, workflow
from penstock_testkit.servers import RealServers
from tests.integration.owner_services import (
    OWNED,
    SECRET,
    WAIT_S,
    bus_as,
    composed,
    consumers,
    held,
    serving,
)

pytestmark = pytest.mark.real

TENANT = DEFAULT_TENANT
FIRST_RUNS, SECOND_RUNS = subjects.run_partition(0), subjects.run_partition(1)
FLOW = workflow(nodes=linear("a", "b"))
RUN = run_id(TENANT, "flow", "msg:t1")
APPROVAL = approval_id(RUN, "ok", 1)
FAR_US = 4_000_000_000_000_000  # in the year 2096
NUMBERS = itertools.count(1)
OWNERS = (BusUser.SCHEDULER, BusUser.APPROVAL)


@pytest.fixture(scope="module")
def started() -> Iterator[RealServers]:
    with RealServers.started() as both:
        yield both


@pytest.fixture
def servers(started: RealServers) -> RealServers:
    """Both servers; the bus is as empty as a fresh database, or its owner would see a rollback."""
    started.nats.lose_jetstream()
    return started


# --- the rest of the system ----------------------------------------------------------------------


async def send(bus: NatsConnection, stream: Stream, path: str, body: Wire) -> str:
    """Publish a command; give its id."""
    command_id = f"command-{next(NUMBERS)}"
    message = Envelope(
        id=command_id, source="test", type=type_of(body), actor="user:ann", data=body.to_data()
    )
    out = Outgoing(stream, path, message.encode())
    assert await NatsPublisher(bus).publish([out]) == [Published.DONE]
    return command_id


async def events(bus: NatsConnection, kind: str, aggregate: str, last: str) -> list[ReadEvent]:
    """Read an aggregate's events from EVENTS up to the first of type `last`."""
    found: list[ReadEvent] = []
    path = subjects.events_of(TENANT, kind, aggregate)
    async with asyncio.timeout(WAIT_S), NatsStreamTail(bus).follow(Stream.EVENTS, path) as tail:
        async for message in tail:
            event = read_published(message.payload)
            if event.aggregate_id != aggregate:
                continue  # of another in the same shard
            found.append(event)
            if event.topic == last:
                break
    return found


async def define(bus: NatsConnection) -> None:
    """Register the agent and apply the workflow, and wait until both are there."""
    path = subjects.catalog(TENANT, "agent", WORK.name, "register_agent")
    await send(bus, Stream.CATALOG, path, RegisterAgent(manifest=WORK))
    await events(bus, "agent", agent_id(TENANT, WORK.name), AgentRegistered.TYPE)
    path = subjects.catalog(TENANT, "workflow", "flow", "apply_workflow")
    await send(bus, Stream.CATALOG, path, ApplyWorkflow(document=FLOW))
    await events(bus, "workflow", workflow_id(TENANT, "flow"), WorkflowApplied.TYPE)


async def execute(bus: NatsConnection) -> TaskMessage:
    """Take one task as an executor and report its success."""
    queue = NatsWorkQueue(bus, "default")
    async with asyncio.timeout(WAIT_S):
        while not (items := await queue.take(1, 1.0)):
            pass  # each turn waits up to a second at the server
    task = TaskMessage.model_validate(from_json(items[0].payload)["data"])
    done = ReportResult(
        task_id=task.task_id, node=task.node, attempt=task.attempt, executor="test",
        token=task.token, outcome=Outcome.SUCCEEDED, output={"node": task.node},
    )  # fmt: skip
    path = subjects.run(TENANT, task.partition, task.run_id, "report_result")
    await send(bus, Stream.RUNS, path, done)
    await items[0].ack_sync()
    await queue.close()
    return task


@asynccontextmanager
async def schedulers_streams(servers: RealServers) -> AsyncIterator[NatsConnection]:
    """Be the scheduler as far as others see it: its connection, and its streams."""
    async with bus_as(servers, BusUser.SCHEDULER) as scheduler:
        await ensure_streams(scheduler, OWNED_STREAMS[BusUser.SCHEDULER])
        yield scheduler


# --- scheduler -----------------------------------------------------------------------------------


async def test_a_trigger_becomes_tasks_and_their_results_end_the_run(servers: RealServers):
    scheduler = composed(servers, BusUser.SCHEDULER)
    async with serving(scheduler) as service:
        await service.until_owned(CATALOG_PARTITION, FIRST_RUNS)
        async with (
            bus_as(servers, BusUser.GATEWAY) as gateway,
            bus_as(servers, BusUser.TRIGGER) as git,
            bus_as(servers, BusUser.EXECUTOR) as executor,
        ):
            await define(gateway)
            path = subjects.trigger(TENANT, "workflow.flow")
            push = Outgoing(Stream.TRIGGERS, path, to_json({"inputs": {}}), "t1")
            assert await NatsPublisher(git).publish([push]) == [Published.DONE]
            tasks = [await execute(executor), await execute(executor)]
            told = await events(gateway, "run", RUN, RunSucceeded.TYPE)
        _, metrics = await service.get("/metrics")

    assert [(task.run_id, task.node) for task in tasks] == [(RUN, "a"), (RUN, "b")]
    codes = TaskCodeBook(SECRET.encode())
    assert [task.token for task in tasks] == [codes.code(task.task_id) for task in tasks]
    assert [event.n for event in told] == list(range(1, len(told) + 1))
    assert [name_of(event.topic) for event in told].count("node_succeeded") == 2
    assert f'penstock_partition_owned{{partition="{FIRST_RUNS}"}} 1.0' in metrics.decode()


async def test_partitions_grow_and_pools_are_made_but_partitions_never_shrink(
    servers: RealServers,
):
    more = {"run_partitions": 2, "pools": "default, gpu", "ack_wait_s": 7.0}
    first = composed(servers, BusUser.SCHEDULER, **more)
    async with serving(first) as service:
        await service.until_owned(CATALOG_PARTITION, FIRST_RUNS, SECOND_RUNS)
        async with bus_as(servers, BusUser.ADMIN) as admin:
            pools = [
                (await JetStreamApi(admin).call(f"CONSUMER.INFO.TASKS.{durable_of(pool)}"))[
                    "config"
                ]
                for pool in ("default", "gpu")
            ]
    again = composed(servers, BusUser.SCHEDULER, first.urls, run_partitions=1)
    async with serving(again) as service:
        await service.until_owned(CATALOG_PARTITION, FIRST_RUNS, SECOND_RUNS)

    assert [pool["filter_subject"] for pool in pools] == [
        subjects.tasks_of_pool("default"),
        subjects.tasks_of_pool("gpu"),
    ]
    assert [pool["ack_wait"] for pool in pools] == [7_000_000_000] * 2


# --- approval ------------------------------------------------------------------------------------


async def test_a_request_and_a_vote_become_a_decision(servers: RealServers):
    request = RequestApproval(
        approval_id=APPROVAL, tenant=TENANT, run_id=RUN, partition=FIRST_RUNS, workflow="flow",
        node="ok", attempt=1, title="Go on?", requested_by="user:ann", expires_us=FAR_US,
        binding=bind(Proposal()),
    )  # fmt: skip
    stranger = CastVote(approval_id=APPROVAL, choice=Choice.REJECT, user="user:eve")
    vote = CastVote(
        approval_id=APPROVAL, choice=Choice.APPROVE, reason="fine", user="user:bob",
        roles=("approver",),
    )  # fmt: skip
    cast = subjects.approval(TENANT, APPROVAL, "cast_vote")
    decided = subjects.run(TENANT, FIRST_RUNS, RUN, "apply_decision")
    async with (
        schedulers_streams(servers) as scheduler,
        bus_as(servers, BusUser.GATEWAY) as gateway,
        serving(composed(servers, BusUser.APPROVAL)) as service,
    ):
        await service.until_owned(APPROVAL_PARTITION)
        path = subjects.approval(TENANT, APPROVAL, "request_approval")
        await send(scheduler, Stream.APPROVALS, path, request)
        refused = await send(gateway, Stream.APPROVALS, cast, stranger)
        told = await events(gateway, "approval", APPROVAL, CommandRejected.TYPE)
        await send(gateway, Stream.APPROVALS, cast, vote)
        async with (
            asyncio.timeout(WAIT_S),
            NatsStreamTail(scheduler).follow(Stream.RUNS, decided) as commands,
        ):
            envelope = Envelope.decode((await anext(commands)).payload)
        end = "approval.approval_granted.v1"
        names = [name_of(e.topic) for e in await events(gateway, "approval", APPROVAL, end)]

    decision = ApplyDecision.model_validate(envelope.data)
    assert (envelope.type, envelope.actor) == (ApplyDecision.TYPE, "service:approval")
    assert (decision.approval_id, decision.node) == (APPROVAL, "ok")
    assert (decision.verdict, decision.by) == (Verdict.APPROVED, "user:bob")
    assert decision.grant is not None
    grant = read_payload(decision.grant.payload, decision.grant.key_id)
    assert (grant.principals, grant.binding) == (("user:bob",), bind(Proposal()))
    rejection = CommandRejected.model_validate(told[-1].data)
    assert (rejection.command_id, rejection.code) == (refused, Code.NOT_ALLOWED)
    assert names == ["approval_requested", "command_rejected", "vote_cast", "approval_granted"]


async def test_the_approval_service_waits_for_the_schedulers_streams(servers: RealServers):
    async with serving(composed(servers, BusUser.APPROVAL)) as service:
        await service.until(lambda checks: "EVENTS" in checks.get(APPROVAL_PARTITION, ""))
        async with schedulers_streams(servers):
            await service.until_owned(APPROVAL_PARTITION)


# --- both ----------------------------------------------------------------------------------------

PARTITIONS = {
    BusUser.SCHEDULER: (CATALOG_PARTITION, FIRST_RUNS),
    BusUser.APPROVAL: (APPROVAL_PARTITION,),
}
INPUTS = {
    BusUser.SCHEDULER: (Stream.TRIGGERS, Stream.CATALOG, Stream.RUNS),
    BusUser.APPROVAL: (Stream.APPROVALS,),
}


@pytest.mark.parametrize("user", OWNERS)
async def test_a_stop_gives_everything_up_at_once(servers: RealServers, user: BusUser):
    first = composed(servers, user)
    owned, inputs = PARTITIONS[user], INPUTS[user]
    async with schedulers_streams(servers):
        async with serving(first) as service:
            await service.until_owned(*owned)
            assert await held(first, *owned) == list(owned)
            assert all(await consumers(servers, *inputs))
            await service.stop()
            assert (await service.get("/health/live"))[0] == 0
        assert await held(first, *owned) == []
        assert not any(await consumers(servers, *inputs))


@pytest.mark.parametrize("user", OWNERS)
async def test_a_second_instance_takes_its_share_and_all_of_it_once_the_first_has_stopped(
    servers: RealServers, user: BusUser
):
    first = composed(servers, user)
    second = composed(servers, user, first.urls, name="second")
    kept, *given = PARTITIONS[user]
    ours = f"owned by {user.value}-1"
    shares = {"nats": "connected", kept: ours, **dict.fromkeys(given, OWNED)}
    async with schedulers_streams(servers), serving(first) as service:
        await service.until_owned(*PARTITIONS[user])
        async with serving(second) as another:
            await another.until(lambda checks: checks == shares)
            assert (await another.get("/health/ready"))[0] == 200
            await service.stop()
            await another.until_owned(*PARTITIONS[user])


@pytest.mark.parametrize("user", OWNERS)
async def test_without_a_bus_it_is_alive_and_not_ready(servers: RealServers, user: BusUser):
    async with schedulers_streams(servers), serving(composed(servers, user)) as service:
        await service.until_owned(*PARTITIONS[user])
        servers.nats.kill()
        await service.until(lambda checks: checks["nats"] == "not connected")
        assert (await service.get("/health/live"))[0] == 200
        servers.nats.start()
        await service.until_owned(*PARTITIONS[user])


@pytest.mark.parametrize("user", OWNERS)
async def test_a_database_without_tables_is_said_and_not_waited_for(
    servers: RealServers, user: BusUser
):
    with pytest.raises(SchemaOutdated, match="no tables yet: migrate it first"):
        async with serving(composed(servers, user, postgres_owner_url=None)) as service:
            await service.task


@pytest.mark.parametrize("user", OWNERS)
async def test_a_refused_login_names_the_user_and_never_its_password(
    servers: RealServers, user: BusUser
):
    wrong = composed(servers, user, nats_password=SecretStr("hunter2"))
    with pytest.raises(TransientFault, match=f"as {user.value}: .*Authorization") as caught:
        async with serving(wrong) as service:
            await service.task
    assert "hunter2" not in str(caught.value)
    async with PostgresLedger(wrong.urls.service) as ledger:
        assert await ledger.partitions() == []
