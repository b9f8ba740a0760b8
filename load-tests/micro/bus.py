"""What the bus adapters reach: `python load-tests/micro/bus.py [messages]`.

Starts a nats-server of its own and prints publishes per second, messages read per second, the
CPU time of this process for each, the latency from publish to take, and how long a relay unit of
each size takes in both modes.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_adapters.nats.streams import ensure_streams
from penstock_adapters.nats.work import NatsWorkQueue, ensure_pool
from penstock_contracts import subjects
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.conformance.bus import RUN_0
from penstock_testkit.conformance.relay import Writer
from penstock_testkit.servers import RealServers

PAYLOAD = b"x" * 400
UNITS = (0, 1, 2, 10, 100, 500, 999)
ROUNDS = 30
LATENCY_ROUNDS = 1000
BATCH = 500


async def timed(name: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` and print its rate and the CPU time of one message."""
    started, cpu = time.perf_counter(), time.process_time()
    await work()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    print(f"{name:<28}{count / wall_s:>10,.0f} /s{cpu_s / count * 1e6:>8.1f} us CPU each")


async def streams(bus: NatsConnection, count: int) -> None:
    """Publish, read, and the way from one to the other."""
    publisher, inbox = NatsPublisher(bus), NatsInbox(bus, [RUN_0])
    batch = [
        Outgoing(
            Stream.RUNS, subjects.run("default", "run-0", f"r{n}", "x"), PAYLOAD, f"message-{n}"
        )
        for n in range(count)
    ]

    async def publish() -> None:
        assert set(await publisher.publish(batch)) == {Published.DONE}

    async def read() -> None:
        left = count
        while left:
            left -= len(await inbox.take(BATCH, 5))

    await timed("publish, pipelined", count, publish)
    await inbox.attach({})
    await timed("read, batches of 500", count, read)
    waits: list[float] = []
    for message in batch[:LATENCY_ROUNDS]:
        started = time.perf_counter()
        taking = asyncio.ensure_future(inbox.take(1, 5))
        await publisher.publish([message])
        assert await taking
        waits.append((time.perf_counter() - started) * 1e3)
    print(f"{'publish to take':<28}{statistics.median(waits):>10.2f} ms p50")
    await inbox.close()


async def work(bus: NatsConnection, count: int) -> None:
    """Tasks through the work queue, each acknowledged and confirmed."""
    await ensure_pool(bus, "default")
    queue = NatsWorkQueue(bus, "default")
    publisher = NatsPublisher(bus)
    tasks = [
        Outgoing(Stream.TASKS, subjects.task("default", "default", "a", str(n)), PAYLOAD)
        for n in range(count)
    ]
    await publisher.publish(tasks)

    async def settle() -> None:
        left = count
        while left:
            items = await queue.take(BATCH, 5)
            await asyncio.gather(*(item.ack_sync() for item in items))
            left -= len(items)

    await timed("tasks taken, acknowledged", count, settle)
    await queue.close()


async def relay(bus: NatsConnection) -> None:
    """Units of several sizes in both modes."""
    for mode in ("pipelined", "atomic"):
        writer = Writer(NatsRelayLog(bus, mode))
        writer.fence = await writer.log.last_sequence(writer.partition)
        line: list[str] = []
        for size in UNITS:
            waits: list[float] = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                await writer.unit(size)
                waits.append((time.perf_counter() - started) * 1e3)
            line.append(f"{size}: {statistics.median(waits):.2f}")
        print(f"{'unit, ' + mode:<28}" + "  ".join(line) + "  (events: ms p50)")


async def run(count: int) -> None:
    """All of it on one server."""
    with tempfile.TemporaryDirectory(prefix="penstock-bus-") as folder:
        nats = RealServers(Path(folder) / "state").nats
        nats.start()
        try:
            login = nats.login()
            bus = await connect(
                NatsSettings(login.url, login.user, login.password, login.inbox_prefix)
            )
            await ensure_streams(bus, tuple(Stream))
            await streams(bus, count)
            await work(bus, count // 4)
            await relay(bus)
            await bus.close()
        finally:
            nats.kill()


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000))
