"""The adapters work with no more than each user's own permissions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_heartbeats, ensure_streams
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.nats.work import NatsControl, NatsWorkQueue, ensure_pool
from penstock_contracts import subjects
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.inbox import Source
from penstock_testkit.conformance.bus import WAIT_S, take_exactly
from penstock_testkit.conformance.relay import Writer
from penstock_testkit.servers import RealNats, RealServers

pytestmark = pytest.mark.real

SCHEDULER_INPUTS = (
    Source(Stream.TRIGGERS, STREAM_SUBJECTS[Stream.TRIGGERS][0]),
    Source(Stream.CATALOG, STREAM_SUBJECTS[Stream.CATALOG][0]),
    Source(Stream.RUNS, subjects.runs_of_partition("run-0")),
)
Login = Callable[[BusUser], Awaitable[NatsConnection]]


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("users") / "state").nats
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def login(nats: RealNats) -> AsyncIterator[Login]:
    """Connections by user; an error the server reports on one of them fails the test."""
    opened: list[NatsConnection] = []
    refused: list[Exception] = []

    async def open_as(user: BusUser) -> NatsConnection:
        as_user = nats.login(user)
        settings = NatsSettings(
            as_user.url, as_user.user, as_user.password, as_user.inbox_prefix, user.value
        )
        opened.append(await connect(settings, refused.append))
        return opened[-1]

    for owner, streams in OWNED_STREAMS.items():
        await ensure_streams(await open_as(owner), streams, timeout_s=WAIT_S)
    yield open_as
    for connection in opened:
        await connection.close()
    assert refused == []


async def test_the_scheduler_reads_relays_publishes_and_purges(login: Login):
    bus = await login(BusUser.SCHEDULER)
    inbox = NatsInbox(bus, SCHEDULER_INPUTS)
    attachment = await inbox.attach({})
    await NatsPublisher(await login(BusUser.TRIGGER)).publish(
        [Outgoing(Stream.TRIGGERS, subjects.trigger("default", "nats.push"), b"{}")]
    )
    (message,) = await take_exactly(inbox, 1)
    assert await inbox.confirm_empty()
    await inbox.purge(SCHEDULER_INPUTS[0], message.sequence)
    assert await inbox.verify(attachment.positions) == frozenset()
    await inbox.close()

    writer = Writer(NatsRelayLog(bus))
    writer.fence = await writer.log.last_sequence("run-0")
    await writer.unit(3)
    placed = await writer.log.last_marker("run-0")
    assert placed is not None
    assert placed.sequence == writer.fence

    task = Outgoing(Stream.TASKS, subjects.task("default", "default", "a", "t0"), b"")
    assert await NatsPublisher(bus).publish([task]) == [Published.DONE]
    await NatsPublisher(bus).purge_subject(Stream.TASKS, task.subject)


async def test_the_executor_pulls_acknowledges_and_listens(login: Login):
    scheduler, executor = await login(BusUser.SCHEDULER), await login(BusUser.EXECUTOR)
    await ensure_pool(scheduler, "default")
    task = Outgoing(Stream.TASKS, subjects.task("default", "default", "a", "t1"), b"work")
    await NatsPublisher(scheduler).publish([task])
    queue = NatsWorkQueue(executor, "default")
    (item,) = await queue.take(1, WAIT_S)
    await item.in_progress()
    await item.ack_sync()
    assert await NatsPublisher(scheduler).publish([task]) == [Published.DONE], "it is off the queue"
    await NatsPublisher(scheduler).purge_subject(Stream.TASKS, task.subject)
    await queue.close()

    result = subjects.run("default", "run-0", "r", "report_result")
    line = subjects.log("default", "r", "scan")
    breaker = subjects.breaker_report("default", "host.one")
    assert (
        await NatsPublisher(executor).publish(
            [
                Outgoing(Stream.RUNS, result, b"{}"),
                Outgoing(Stream.LOGS, line, b"{}"),
                Outgoing(Stream.CATALOG, breaker, b"{}"),
            ]
        )
        == [Published.DONE] * 3
    )

    heard: asyncio.Queue[str] = asyncio.Queue(10)

    async def handler(subject: str, _payload: bytes) -> None:
        heard.put_nowait(subject)

    end = await NatsControl(executor).listen(subjects.control_filter(verb="cancel"), handler)
    cancel = subjects.control("default", "t1", "cancel")
    await NatsControl(scheduler).send(cancel, b"")
    assert await asyncio.wait_for(heard.get(), WAIT_S) == cancel
    await end()


async def test_the_approval_service_reads_its_own_and_relays_beside_the_scheduler(login: Login):
    bus, scheduler = await login(BusUser.APPROVAL), await login(BusUser.SCHEDULER)
    inbox = NatsInbox(bus, [Source(Stream.APPROVALS, STREAM_SUBJECTS[Stream.APPROVALS][0])])
    await inbox.attach({})
    request = subjects.approval("default", "a1", "request_approval")
    await NatsPublisher(scheduler).publish([Outgoing(Stream.APPROVALS, request, b"{}")])
    assert len(await take_exactly(inbox, 1)) == 1
    await inbox.close()
    log = NatsRelayLog(bus)
    fence = await log.last_sequence("approval")
    writer = Writer(log, "approval")
    writer.fence = fence
    await writer.unit(0)
    assert await log.last_sequence("approval") == writer.fence
    decision = subjects.run("default", "run-0", "r", "apply_decision")
    assert await NatsPublisher(bus).publish([Outgoing(Stream.RUNS, decision, b"{}")]) == [
        Published.DONE
    ]


async def test_the_gateway_reads_events_and_logs(login: Login):
    bus, scheduler = await login(BusUser.GATEWAY), await login(BusUser.SCHEDULER)
    inbox = NatsInbox(bus, [Source(Stream.EVENTS, subjects.events_of("*"))])
    await inbox.attach({})
    writer = Writer(NatsRelayLog(scheduler), "catalog")
    writer.fence = await writer.log.last_sequence("catalog")
    await writer.unit(2)
    assert len(await take_exactly(inbox, 2)) == 2
    await inbox.close()
    line = subjects.log("default", "r2", "scan")
    async with NatsStreamTail(bus).follow(Stream.LOGS, subjects.logs_of("default", "r2")) as lines:
        executor = await login(BusUser.EXECUTOR)
        await NatsPublisher(executor).publish([Outgoing(Stream.LOGS, line, b"hello")])
        assert (await asyncio.wait_for(anext(lines), WAIT_S)).payload == b"hello"


async def test_the_gateway_reads_who_lives(login: Login):
    await ensure_heartbeats(await login(BusUser.SCHEDULER))
    beating = NatsHeartbeats(await login(BusUser.EXECUTOR))
    await beating.put("host-one", {"name": "host.one"})
    await beating.put("host-two", {"name": "host.two"})
    await beating.remove("host-two")
    reading = NatsHeartbeats(await login(BusUser.GATEWAY))
    assert await reading.entries() == {"host-one": {"name": "host.one"}}
