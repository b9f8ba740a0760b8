"""The bus on three servers: what the adapters find out, replicas added, and a server lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_artifacts, ensure_heartbeats, ensure_streams
from penstock_adapters.nats.work import NatsWorkQueue, ensure_pool
from penstock_contracts import subjects
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.subjects import ARTIFACT_STREAM, HEARTBEAT_BUCKET, Stream
from penstock_runtime.faults import Fenced, TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.ledger import Witness
from penstock_testkit.cluster import ClusterNode, RealCluster
from penstock_testkit.conformance.bus import RUN_0, commands, numbers, take_exactly
from penstock_testkit.conformance.relay import PARTITION, Writer

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

WITHIN_S = 60.0  # of everything that is to work again after a server was lost
RETRY_S = 0.1
BUCKET_BYTES = 64 * 1024 * 1024
ALL = tuple(Stream)


# Not shared: where a node was lost a moment ago no stream is created with it.
@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster.started(tmp_path_factory.mktemp("cluster") / "state") as started:
        yield started


@pytest.fixture
async def bus(cluster: RealCluster) -> AsyncIterator[NatsConnection]:
    connection = await login(cluster)
    yield connection
    await connection.close()


async def login(cluster: RealCluster, user: BusUser = BusUser.ADMIN) -> NatsConnection:
    told = cluster.login(user)
    return await connect(NatsSettings(told.url, told.user, told.password, told.inbox_prefix))


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Try again while the bus says that it cannot now, as every user of the adapters does."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            await work()
            return
        except (TransientFault, Fenced):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_S)


async def publish_all(publisher: NatsPublisher, batch: list[Outgoing]) -> None:
    """Publish until each is known to be there; one whose answer was lost may be there twice."""

    async def rest() -> None:
        outcomes = await publisher.publish(batch)
        left = [m for m, o in zip(batch, outcomes, strict=True) if o is not Published.DONE]
        batch[:] = left
        if left:
            raise TransientFault("not all yet")

    await patiently(rest)


async def unit(writer: Writer, count: int) -> None:
    """Publish a unit as the relay does: after a fault it looks where its marker is."""

    async def publish() -> None:
        placed = await writer.log.last_marker(PARTITION)
        writer.fence = await writer.log.last_sequence(PARTITION)
        writer.done = placed.marker.last if placed else 0
        if writer.done < wanted:
            await writer.unit(wanted - writer.done)

    wanted = writer.done + count
    await patiently(publish)
    assert writer.done == wanted


async def test_the_relay_finds_out_how_events_is_kept(bus: NatsConnection) -> None:
    await ensure_streams(bus, (Stream.EVENTS,))
    writer = Writer(NatsRelayLog(bus))
    await writer.unit(50)
    await ensure_streams(bus, (Stream.EVENTS,), replicas=3)
    await unit(writer, 50)
    for _ in range(3):
        await writer.unit(50)
    stubborn = NatsRelayLog(bus, "pipelined")
    with pytest.raises(TransientFault):
        await Writer(stubborn, "run-1").unit(50)
    await ensure_streams(bus, (Stream.EVENTS,), replicas=1)
    await unit(writer, 50)


async def test_relays_of_two_partitions_do_not_wait_for_each_other(bus: NatsConnection) -> None:
    await ensure_streams(bus, (Stream.EVENTS,), replicas=3)
    writers = [Writer(NatsRelayLog(bus), f"run-{number}") for number in range(4)]

    async def some(writer: Writer) -> None:
        for count in (1, 40, 0, 200, 3):
            await writer.unit(count)

    await asyncio.gather(*map(some, writers))


async def replicas_of(bus: NatsConnection, stream: str) -> tuple[int, int]:
    """How many are wanted, and how many others there are and are up to date."""
    told = await JetStreamApi(bus).call(f"STREAM.INFO.{stream}")
    others = (told.get("cluster") or {}).get("replicas") or ()
    return told["config"]["num_replicas"], sum(1 for other in others if other["current"])


async def test_replicas_are_added_to_what_is_there(cluster: RealCluster) -> None:
    """As the users that do so in production, by no more than their own rights."""
    owners = {user: await login(cluster, user) for user in OWNED_STREAMS}

    async def ensure(replicas: int | None) -> None:
        for user, connection in owners.items():
            await ensure_streams(connection, OWNED_STREAMS[user], replicas=replicas)
        await ensure_heartbeats(owners[BusUser.SCHEDULER], replicas=replicas)
        await ensure_artifacts(owners[BusUser.SCHEDULER], BUCKET_BYTES, replicas=replicas)

    admin = await login(cluster)
    scheduler = owners[BusUser.SCHEDULER]
    await ensure(None)
    await ensure_pool(scheduler, "default")
    await publish_all(NatsPublisher(scheduler), commands(1, 20))
    executor = await login(cluster, BusUser.EXECUTOR)
    await NatsHeartbeats(executor).put("one", {"up": True})
    before = await JetStreamApi(scheduler).stream_info("RUNS")
    message = await JetStreamApi(scheduler).message_at("RUNS", 10)
    assert message is not None

    await ensure(3)

    async def all_are_kept_thrice() -> None:
        for name in (*ALL, f"KV_{HEARTBEAT_BUCKET}", ARTIFACT_STREAM):
            if await replicas_of(admin, name) != (3, 2):
                raise TransientFault(f"{name} is not yet")
        told = await JetStreamApi(admin).call("CONSUMER.INFO.TASKS.pool-default")
        if len((told.get("cluster") or {}).get("replicas") or ()) != 2:
            raise TransientFault("the pool's queue is not yet")

    await patiently(all_are_kept_thrice)
    after = await JetStreamApi(scheduler).stream_info("RUNS")
    assert (after.created_us, after.messages) == (before.created_us, 20)
    inbox = NatsInbox(scheduler, [RUN_0])
    attached = await inbox.attach({"RUNS": Witness(before.created_us, 10, message.time_us)})
    assert not attached.renewed
    assert numbers(await take_exactly(inbox, 10)) == list(range(11, 21))
    assert set(await NatsHeartbeats(scheduler).entries()) == {"one"}

    await ensure(None)  # whoever was not told of replicas takes none away
    assert await replicas_of(admin, "RUNS") == (3, 2)
    await ensure(1)
    assert (await replicas_of(admin, "RUNS"))[0] == 1
    for connection in (admin, executor, *owners.values()):
        await connection.close()


async def lose(node: ClusterNode, how: str) -> None:
    if how == "killed":
        await asyncio.to_thread(node.kill)
    else:
        node.pause()


async def find(node: ClusterNode, how: str) -> None:
    if how == "killed":
        await asyncio.to_thread(node.start)
    else:
        node.resume()


@pytest.mark.long  # of every change a test of the whole stack sees a server killed
@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_without_one_server_everything_goes_on(
    cluster: RealCluster,
    bus: NatsConnection,
    how: str,
) -> None:
    """The server that leads the streams is lost, and comes back."""
    await ensure_streams(bus, ALL, replicas=3)
    await ensure_pool(bus, "default")
    writer, publisher = Writer(NatsRelayLog(bus)), NatsPublisher(bus)
    inbox = NatsInbox(bus, [RUN_0])
    queue = NatsWorkQueue(bus, "default")
    await inbox.attach({})
    await publish_all(publisher, commands(1, 50))
    seen = numbers(await take_exactly(inbox, 50))
    await unit(writer, 50)

    victim = await asyncio.to_thread(cluster.stream_leader, "RUNS")
    await lose(victim, how)
    lost = time.monotonic()
    try:
        await publish_all(publisher, commands(51, 100))
        log.info("%s: published again after %.1f s", how, time.monotonic() - lost)
        seen += await until_seen(inbox, seen, 100)
        log.info("%s: read again after %.1f s", how, time.monotonic() - lost)
        await unit(writer, 50)
        log.info("%s: relayed again after %.1f s", how, time.monotonic() - lost)
        task = subjects.task("default", "default", "noop", "one")
        await publish_all(publisher, [Outgoing(Stream.TASKS, task, b"work")])
        await finish(queue)
        log.info("%s: worked again after %.1f s", how, time.monotonic() - lost)
    finally:
        await find(victim, how)
    await asyncio.to_thread(cluster.wait_healthy)
    await publish_all(publisher, commands(101, 150))
    seen += await until_seen(inbox, seen, 150)
    await unit(writer, 50)
    assert set(seen) == set(range(1, 151))
    await queue.close()
    await inbox.close()


async def until_seen(inbox: NatsInbox, seen: list[int], last: int) -> list[int]:
    """Take until all up to `last` have come; a copy of one whose answer was lost may come, too."""
    taken: list[int] = []
    deadline = time.monotonic() + WITHIN_S
    while set(range(1, last + 1)) - {*seen, *taken}:
        assert time.monotonic() < deadline
        taken += numbers(await inbox.take(100, 1.0))
    return taken


async def finish(queue: NatsWorkQueue) -> None:
    async def take_and_acknowledge() -> None:
        (item,) = await queue.take(1, 1.0) or [None]
        if item is None:
            raise TransientFault("no task yet")
        await item.ack_sync()

    await patiently(take_and_acknowledge)
