"""Each bus user on a real server: what it needs works, what it must not do is refused."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

from penstock_contracts import subjects
from penstock_contracts.permissions import BusUser, inbox_prefix
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.servers import RealServers

pytestmark = pytest.mark.real

WITHIN_S = 5
RUN = "6f1f7a3e-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def servers() -> Iterator[RealServers]:
    with RealServers.started() as running:
        yield running


class Connection:
    """A client and the permission violations the server told it about."""

    def __init__(self, client: Client, violations: "asyncio.Queue[str]") -> None:
        self.client = client
        self.violations = violations

    async def refused(self, attempt: Callable[[], Awaitable[object]]) -> bool:
        """Tell whether the server refuses `attempt`.

        It answers in order, so a flush brings the refusal; a second one lets the client's own
        callback for it run.
        """
        while not self.violations.empty():
            self.violations.get_nowait()
        await attempt()
        await self.client.flush(timeout=WITHIN_S)
        await self.client.flush(timeout=WITHIN_S)
        return not self.violations.empty()

    async def may_publish(self, subject: str) -> bool:
        return not await self.refused(lambda: self.client.publish(subject, b"{}"))

    async def may_subscribe(self, subject: str) -> bool:
        return not await self.refused(lambda: self.client.subscribe(subject))


@asynccontextmanager
async def connected(servers: RealServers, user: BusUser) -> AsyncIterator[Connection]:
    violations: asyncio.Queue[str] = asyncio.Queue(maxsize=100)

    async def note(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            violations.put_nowait(str(error))

    client = await nats.connect(
        **servers.nats.connect_options(user), error_cb=note, allow_reconnect=False
    )
    try:
        yield Connection(client, violations)
    finally:
        await client.close()


As = Callable[[BusUser], AbstractAsyncContextManager[Connection]]


@pytest.fixture
def as_user(servers: RealServers) -> As:
    return lambda user: connected(servers, user)


def command(name: str) -> str:
    return subjects.run(DEFAULT_TENANT, subjects.run_partition(0), RUN, name)


PUBLISH = {
    "apply_decision": (command("apply_decision"), {BusUser.APPROVAL}),
    "start_run": (command("start_run"), {BusUser.SCHEDULER}),
    "cancel_run": (command("cancel_run"), {BusUser.SCHEDULER, BusUser.GATEWAY}),
    "claim_task": (command("claim_task"), {BusUser.SCHEDULER, BusUser.EXECUTOR}),
    "report_result": (command("report_result"), {BusUser.SCHEDULER, BusUser.EXECUTOR}),
    "task": (subjects.task(DEFAULT_TENANT, "default", "noop", RUN), {BusUser.SCHEDULER}),
    # The owner of an inbox may publish to it: redrive puts parked messages back.
    "trigger": (
        subjects.trigger(DEFAULT_TENANT, "nats.push"),
        {BusUser.SCHEDULER, BusUser.GATEWAY, BusUser.TRIGGER},
    ),
    "gateway's trigger": (
        subjects.gateway_trigger(DEFAULT_TENANT, "workflow.demo"),
        {BusUser.SCHEDULER, BusUser.GATEWAY},
    ),
    "foreign trigger": (
        subjects.trigger("other", "nats.push"),
        {BusUser.SCHEDULER, BusUser.GATEWAY},
    ),
    "vote": (subjects.approval(DEFAULT_TENANT, RUN, "cast_vote"), {BusUser.GATEWAY}),
    "request": (
        subjects.approval(DEFAULT_TENANT, RUN, "request_approval"),
        {BusUser.SCHEDULER, BusUser.APPROVAL},
    ),
    "run event": (
        subjects.event(DEFAULT_TENANT, "run", RUN, "run_started"),
        {BusUser.SCHEDULER},
    ),
    "approval event": (
        subjects.event(DEFAULT_TENANT, "approval", RUN, "vote_cast"),
        {BusUser.APPROVAL},
    ),
    "run marker": (subjects.relay_marker(subjects.run_partition(0)), {BusUser.SCHEDULER}),
    "approval marker": (
        subjects.relay_marker(subjects.APPROVAL_PARTITION),
        {BusUser.APPROVAL},
    ),
    "log": (subjects.log(DEFAULT_TENANT, RUN, "scan"), {BusUser.EXECUTOR}),
    "breaker": (
        subjects.breaker_report(DEFAULT_TENANT, "executor-1"),
        {BusUser.SCHEDULER, BusUser.EXECUTOR, BusUser.GATEWAY},
    ),
    "cancel": (subjects.control(DEFAULT_TENANT, RUN, "cancel"), {BusUser.SCHEDULER}),
    "heartbeat": (f"$KV.{subjects.HEARTBEAT_BUCKET}.executor-1", {BusUser.EXECUTOR}),
}


@pytest.mark.parametrize("user", [user for user in BusUser if user is not BusUser.ADMIN])
async def test_each_subject_is_published_by_its_users_only(as_user: As, user: BusUser) -> None:
    async with as_user(user) as connection:
        found = {
            name: await connection.may_publish(subject) for name, (subject, _) in PUBLISH.items()
        }
    assert found == {name: user in allowed for name, (_, allowed) in PUBLISH.items()}


@pytest.mark.parametrize("user", [user for user in BusUser if user is not BusUser.ADMIN])
async def test_nobody_listens_to_streams_or_foreign_inboxes(as_user: As, user: BusUser) -> None:
    foreign = BusUser.APPROVAL if user is not BusUser.APPROVAL else BusUser.SCHEDULER
    async with as_user(user) as connection:
        for patterns in STREAM_SUBJECTS.values():
            for pattern in patterns:
                assert not await connection.may_subscribe(pattern)
        for pattern in (">", "_INBOX.>", "$JS.>", f"{inbox_prefix(foreign)}.>"):
            assert not await connection.may_subscribe(pattern)
        assert await connection.may_subscribe(f"{inbox_prefix(user)}.mine.>")


@pytest.mark.parametrize("user", [BusUser.EXECUTOR, BusUser.GATEWAY, BusUser.TRIGGER])
async def test_who_owns_no_stream_can_neither_make_nor_empty_one(
    as_user: As, user: BusUser
) -> None:
    async with as_user(user) as connection:
        for stream in Stream:
            for verb in ("CREATE", "UPDATE", "PURGE", "DELETE", "MSG.DELETE", "RESTORE"):
                assert not await connection.may_publish(f"$JS.API.STREAM.{verb}.{stream.value}")
        for subject in ("$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.SERVER.REMOVE"):
            assert not await connection.may_publish(subject)


@pytest.mark.parametrize("user", [BusUser.EXECUTOR, BusUser.TRIGGER])
async def test_who_reads_nothing_can_make_no_consumer(as_user: As, user: BusUser) -> None:
    async with as_user(user) as connection:
        for stream in Stream:
            for request in (
                f"CONSUMER.CREATE.{stream.value}",
                f"CONSUMER.CREATE.{stream.value}.mine.>",
                f"CONSUMER.DURABLE.CREATE.{stream.value}.mine",
                f"STREAM.MSG.GET.{stream.value}",
                f"DIRECT.GET.{stream.value}",
            ):
                assert not await connection.may_publish(f"$JS.API.{request}")


async def make_streams(as_user: As, owner: BusUser, *streams: Stream) -> None:
    async with as_user(owner) as connection:
        js = connection.client.jetstream(timeout=WITHIN_S)
        for stream in streams:
            try:
                await js.stream_info(stream.value)
            except NotFoundError:
                wanted = StreamConfig(name=stream.value, subjects=list(STREAM_SUBJECTS[stream]))
                await js.add_stream(wanted)


async def test_an_executor_pulls_its_tasks_and_acknowledges_them(as_user: As) -> None:
    await make_streams(as_user, BusUser.SCHEDULER, Stream.TASKS, Stream.RUNS)
    async with as_user(BusUser.SCHEDULER) as scheduler, as_user(BusUser.EXECUTOR) as executor:
        js = scheduler.client.jetstream(timeout=WITHIN_S)
        durable = ConsumerConfig(
            durable_name="pool-default", filter_subject=subjects.tasks_of_pool("default")
        )
        await js.add_consumer(Stream.TASKS.value, durable)
        task = subjects.task(DEFAULT_TENANT, "default", "noop", RUN)
        await js.publish(task, b"work")

        tasks = executor.client.jetstream(timeout=WITHIN_S)
        pull = await tasks.pull_subscribe_bind("pool-default", Stream.TASKS.value)
        (message,) = await pull.fetch(1, timeout=WITHIN_S)
        assert message.data == b"work"
        await message.in_progress()
        ack = await tasks.publish(command("report_result"), b"{}")
        assert ack.stream == Stream.RUNS.value
        await message.ack_sync(timeout=WITHIN_S)
        assert executor.violations.empty()


async def test_known_limit_of_the_server_a_reply_subject_is_not_checked(as_user: As) -> None:
    """Why a consumer compares a command's type with its subject: the subject proves nothing."""
    await make_streams(as_user, BusUser.SCHEDULER, Stream.RUNS, Stream.LOGS)
    async with as_user(BusUser.EXECUTOR) as executor, as_user(BusUser.SCHEDULER) as scheduler:
        log = subjects.log(DEFAULT_TENANT, RUN, "scan")
        await executor.client.publish(log, b"line", reply=command("apply_decision"))
        await executor.client.flush(timeout=WITHIN_S)
        js = scheduler.client.jetstream(timeout=WITHIN_S)
        noise = await js.get_last_msg(Stream.RUNS.value, command("apply_decision"))
        assert noise.data is not None
        assert json.loads(noise.data)["stream"] == Stream.LOGS.value  # an ack, no CloudEvent


async def test_the_scheduler_owns_and_an_executor_fills_the_heartbeats(as_user: As) -> None:
    async with as_user(BusUser.SCHEDULER) as scheduler, as_user(BusUser.EXECUTOR) as executor:
        bucket = await scheduler.client.jetstream().create_key_value(
            bucket=subjects.HEARTBEAT_BUCKET
        )
        written = await executor.client.jetstream().key_value(subjects.HEARTBEAT_BUCKET)
        await written.put("executor-1", b"alive")
        assert (await bucket.get("executor-1")).value == b"alive"
        watcher = await bucket.watchall()
        seen = await watcher.updates(timeout=WITHIN_S)
        assert isinstance(seen, KeyValue.Entry)
        assert seen.value == b"alive"
        await watcher.stop()
        assert scheduler.violations.empty()
        assert executor.violations.empty()


async def test_the_gateway_reads_events_and_logs_and_approval_its_marker(as_user: As) -> None:
    await make_streams(as_user, BusUser.SCHEDULER, Stream.EVENTS, Stream.LOGS)
    await make_streams(as_user, BusUser.APPROVAL, Stream.APPROVALS)
    marker = subjects.relay_marker(subjects.APPROVAL_PARTITION)
    async with as_user(BusUser.APPROVAL) as approval, as_user(BusUser.GATEWAY) as gateway:
        await approval.client.jetstream(timeout=WITHIN_S).publish(marker, b"{}")
        last = await approval.client.jetstream().get_last_msg(Stream.EVENTS.value, marker)
        assert last.data == b"{}"
        assert await approval.may_publish("$JS.API.STREAM.CREATE.APPROVALS")
        assert not await approval.may_publish("$JS.API.CONSUMER.CREATE.EVENTS")

        js = gateway.client.jetstream(timeout=WITHIN_S)
        for stream in (Stream.EVENTS, Stream.LOGS):
            await js.stream_info(stream.value)
            reader = await js.pull_subscribe(
                ">", stream=stream.value, config=ConsumerConfig(inactive_threshold=5.0)
            )
            await reader.consumer_info()
            await reader.unsubscribe()
        assert gateway.violations.empty()


async def test_a_trigger_publisher_gets_its_acknowledgement(as_user: As) -> None:
    await make_streams(as_user, BusUser.SCHEDULER, Stream.TRIGGERS)
    async with as_user(BusUser.TRIGGER) as publisher:
        subject = subjects.trigger(DEFAULT_TENANT, "nats.push")
        ack = await publisher.client.jetstream(timeout=WITHIN_S).publish(subject, b"{}")
        assert ack.stream == Stream.TRIGGERS.value


@pytest.mark.parametrize("login", [{}, {"user": "admin", "pass": "admin"}, {"user": "nobody"}])
def test_whoever_is_not_known_is_refused(servers: RealServers, login: dict[str, str]) -> None:
    address = urlsplit(servers.nats.url)
    # The client library leaks its socket when it is refused, so the protocol is spoken by hand.
    with socket.create_connection((address.hostname, address.port), timeout=WITHIN_S) as plain:
        plain.settimeout(WITHIN_S)
        plain.sendall(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
        with plain.makefile("rb") as answers:
            assert answers.readline().startswith(b"INFO ")
            assert answers.readline() == b"-ERR 'Authorization Violation'\r\n"


async def test_a_payload_over_the_limit_is_refused_by_the_client(as_user: As) -> None:
    async with as_user(BusUser.TRIGGER) as publisher:
        assert publisher.client.max_payload == 12 * 1024 * 1024
