"""The executor's own composition on a real bus, with the permissions it has in production."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.streams import ensure_heartbeats, ensure_streams
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.nats.work import NatsControl, ensure_pool
from penstock_adapters.signing import Ed25519Signer, make_key, open_signer
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.ids import approval_id, idempotency_key, run_id, task_id
from penstock_contracts.permissions import BusUser
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import CLAIM_ANSWER_TYPE, TASK_TYPE, ClaimAnswer, TaskMessage
from penstock_contracts.values import Phase
from penstock_core.binding import bind
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.live import run
from penstock_executor.settings import ExecutorSettings, SandboxKind
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.servers import RealServers

pytestmark = pytest.mark.real

NOOP, NOOP_ONCE, NOOP_PLANNER = builtin_manifests()
SIGNER, STRANGER = open_signer(make_key()), open_signer(make_key())
RUN = run_id("default", "hello", "t1")
ALL = (Stream.RUNS, Stream.TASKS, Stream.LOGS, Stream.DEAD)
WAIT_S = 20.0


@pytest.fixture(scope="module")
def servers() -> Iterator[RealServers]:
    with RealServers.started() as started:
        yield started


def bus(servers: RealServers, user: BusUser) -> NatsSettings:
    login = servers.nats.login(user)
    return NatsSettings(login.url, login.user, login.password, login.inbox_prefix)


@asynccontextmanager
async def scheduler_side(servers: RealServers) -> AsyncIterator[NatsConnection]:
    connection = await connect(bus(servers, BusUser.SCHEDULER))
    try:
        await ensure_streams(connection, ALL)
        await ensure_heartbeats(connection)
        await ensure_pool(connection, "default")
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def executor(servers: RealServers, scratch: Path) -> AsyncIterator[asyncio.Event]:
    login = servers.nats.login(BusUser.EXECUTOR)
    settings = ExecutorSettings(
        name="executor-1",
        nats_url=login.url,
        nats_user=login.user,
        nats_password=SecretStr(login.password),
        nats_inbox_prefix=login.inbox_prefix,
        sandbox=SandboxKind.INLINE,
        grant_keys=(SIGNER.key,),
        scratch=scratch,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(running, WAIT_S)


def task_of(
    manifest: AgentManifest, node: str, phase: Phase = Phase.RUN, **given: object
) -> TaskMessage:
    return TaskMessage(
        task_id=task_id(RUN, node, 1, phase),
        phase=phase,
        run_id=RUN,
        partition="run-0",
        workflow="hello",
        node=node,
        attempt=1,
        agent=manifest.name,
        agent_digest=manifest_digest(manifest),
        idempotency_key=idempotency_key(RUN, node),
        token="t",
        ends_by_us=2**53,
        running_s=60,
        input=given,  # type: ignore[arg-type]
    )


def queued(task: TaskMessage) -> Outgoing:
    envelope = Envelope(id=task.task_id, source="test", type=TASK_TYPE, data=task.to_data())
    subject = subjects.task("default", "default", task.agent, task.task_id)
    return Outgoing(Stream.TASKS, subject, envelope.encode())


async def collect(
    connection: NatsConnection, stream: Stream, pattern: str, count: int
) -> list[Envelope]:
    found: list[Envelope] = []
    async with (
        asyncio.timeout(WAIT_S),
        NatsStreamTail(connection).follow(stream, pattern) as messages,
    ):
        async for message in messages:
            found.append(Envelope.decode(message.payload))
            if len(found) == count:
                break
    return found


async def result_of(connection: NatsConnection, node: str) -> ReportResult:
    pattern = subjects.run("default", "run-0", RUN, "report_result")
    tail = NatsStreamTail(connection)
    async with asyncio.timeout(WAIT_S), tail.follow(Stream.RUNS, pattern) as messages:
        async for message in messages:
            result = ReportResult.model_validate(Envelope.decode(message.payload).data)
            if result.node == node:
                return result
    raise AssertionError("the stream ended")


async def grant_claim(connection: NatsConnection, task: TaskMessage) -> str:
    pattern = subjects.run("default", "run-0", RUN, "claim_task")
    tail = NatsStreamTail(connection)
    async with asyncio.timeout(WAIT_S), tail.follow(Stream.RUNS, pattern) as messages:
        async for message in messages:
            claim = ClaimTask.model_validate(Envelope.decode(message.payload).data)
            if claim.task_id == task.task_id:
                break
        else:
            raise AssertionError("the stream ended")
    answer = ClaimAnswer(task_id=task.task_id, nonce=claim.nonce, granted=True)
    said = Envelope(id="claim", source="t", type=CLAIM_ANSWER_TYPE, data=answer.to_data())
    subject = subjects.control("default", task.task_id, "claim")
    await NatsControl(connection).send(subject, said.encode())
    return claim.nonce


async def test_tasks_become_results_and_leave_the_queue(
    servers: RealServers, tmp_path: Path
) -> None:
    async with scheduler_side(servers) as connection, executor(servers, tmp_path):
        nodes = [f"many_{number}" for number in range(300)]
        publisher = NatsPublisher(connection)
        tasks = [task_of(NOOP, node, payload={"node": node}) for node in nodes]
        outcomes = await publisher.publish([queued(task) for task in tasks])
        assert set(outcomes) == {Published.DONE}

        pattern = subjects.run("default", "run-0", RUN, "report_result")
        results = [
            ReportResult.model_validate(envelope.data)
            for envelope in await collect(connection, Stream.RUNS, pattern, len(nodes))
        ]
        # The subject is free again once its task was acknowledged.
        async with asyncio.timeout(WAIT_S):
            while await publisher.publish([queued(tasks[0])]) != [Published.DONE]:
                pass  # each turn is a round trip to the server

    assert {result.node for result in results} == set(nodes)
    assert all(result.output == {"payload": {"node": result.node}} for result in results)


async def test_a_once_task_waits_for_its_grant(servers: RealServers, tmp_path: Path) -> None:
    async with scheduler_side(servers) as connection, executor(servers, tmp_path):
        task = task_of(NOOP_ONCE, "apply")
        await NatsPublisher(connection).publish([queued(task)])
        nonce = await grant_claim(connection, task)
        result = await result_of(connection, "apply")

    assert result.nonce == nonce


def approved(task: TaskMessage, signer: Ed25519Signer) -> TaskMessage:
    proposal = Proposal(
        agent=task.agent, agent_digest=task.agent_digest, input=task.input, plan=task.plan
    )
    grant = Grant(
        tenant="default",
        run_id=RUN,
        node=task.node,
        attempt=1,
        approval_id=approval_id(RUN, task.node, 1),
        binding=bind(proposal),
        principals=("ada",),
        granted_us=0,
        expires_us=2**53 - 1,
        key_id=signer.key_id,
    )
    return task.model_copy(update={"grant": signer.sign(grant)})


async def test_a_plan_is_made_and_applied_under_a_signed_grant(
    servers: RealServers, tmp_path: Path
) -> None:
    async with scheduler_side(servers) as connection, executor(servers, tmp_path):
        publisher = NatsPublisher(connection)
        planning = task_of(NOOP_PLANNER, "planned", Phase.PLAN, payload=1)
        await publisher.publish([queued(planning)])
        plan = (await result_of(connection, "planned")).plan
        assert plan is not None
        applying = task_of(NOOP_PLANNER, "applied", Phase.APPLY, payload=1)
        applying = approved(applying.model_copy(update={"plan": plan}), SIGNER)
        await publisher.publish([queued(applying)])
        await grant_claim(connection, applying)
        applied = await result_of(connection, "applied")

        forged = task_of(NOOP_PLANNER, "forged", Phase.APPLY, payload=1)
        forged = approved(forged.model_copy(update={"plan": plan}), STRANGER)
        await publisher.publish([queued(forged)])
        refused = await result_of(connection, "forged")

    assert applied.output == {"payload": 1}
    assert refused.error is not None
    assert refused.error.code == Code.GRANT_REFUSED


async def test_garbage_reaches_dead_with_the_executors_permissions(
    servers: RealServers, tmp_path: Path
) -> None:
    async with scheduler_side(servers) as connection, executor(servers, tmp_path):
        subject = subjects.task("default", "default", "noop", "not-a-task")
        await NatsPublisher(connection).publish([Outgoing(Stream.TASKS, subject, b"nonsense")])
        (dead,) = await collect(
            connection, Stream.DEAD, subjects.dead("default", Stream.TASKS, ">"), 1
        )

    assert isinstance(dead.data, dict)
    assert dead.data["subject"] == subject


async def test_logs_are_streamed_and_the_heartbeat_is_seen(
    servers: RealServers, tmp_path: Path
) -> None:
    async with scheduler_side(servers) as connection, executor(servers, tmp_path):
        task = task_of(NOOP, "chatty", lines=100)
        await NatsPublisher(connection).publish([queued(task)])
        logs = await collect(connection, Stream.LOGS, subjects.log("default", RUN, "chatty"), 2)
        async with asyncio.timeout(WAIT_S):
            while "executor-1" not in (entries := await NatsHeartbeats(connection).entries()):
                pass  # each turn is a round trip to the server

    assert isinstance(logs[1].data, dict)
    assert logs[1].data["first"] == 64
    assert entries["executor-1"]["pool"] == "default"
