"""A bus to run the suites on, and what can befall it: in memory, or a real server."""
# ruff: noqa: D102 - what each of these does is said by `Bus` and its ports

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.publisher import MemoryPublisher
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_adapters.memory.streams import MemoryServer, MemoryStream
from penstock_adapters.memory.tail import MemoryStreamTail
from penstock_adapters.memory.work import MemoryControl, MemoryWorkQueue
from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.jetstream import JetStreamApi, RefusedError
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.relay import NatsRelayLog, RelayMode
from penstock_adapters.nats.streams import ensure_streams, stream_settings
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.nats.work import NatsControl, NatsWorkQueue, ensure_pool
from penstock_adapters.system.clock import SystemClock
from penstock_contracts import subjects
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.bus import Outgoing, Publisher, RelayLog
from penstock_runtime.ports.inbox import Inbox, Received, Source
from penstock_runtime.ports.tail import StreamTail
from penstock_runtime.ports.work import ControlChannel, WorkQueue
from penstock_testkit.cluster import RealCluster
from penstock_testkit.servers import RealNats

WAIT_S = 10.0  # bound of everything that is expected to happen
QUIET_S = 0.1  # how long to look for what must not arrive
ACK_WAIT_S = 1.0  # of work queues here: short, so that a redelivery can be awaited


class Bus(Protocol):
    """All ports over one bus. Every test starts with all streams created and empty."""

    def inbox(self, *sources: Source) -> Inbox: ...
    def publisher(self) -> Publisher: ...
    def relay_log(self) -> RelayLog: ...
    def work_queue(self, pool: str) -> WorkQueue: ...
    def control(self) -> ControlChannel: ...
    def tail(self) -> StreamTail: ...

    async def ensure_pool(self, pool: str) -> None:
        """Create the consumer of `pool`."""
        ...

    async def recreate(self, stream: Stream) -> None:
        """Delete a stream and create it again."""
        ...

    async def limit(self, stream: Stream, max_messages: int) -> None:
        """Bound a stream's messages."""
        ...

    async def keep_copy(self) -> None:
        """Copy what is stored."""
        ...

    async def put_copy_back(self) -> None:
        """Replace what is stored by the copy; the server is not running meanwhile."""
        ...

    async def break_connections(self) -> None:
        """Break every connection once."""
        ...

    async def crash(self) -> None:
        """End the server as a crash would and start it again."""
        ...

    async def stop(self) -> None:
        """Leave everyone without a server, and return when that was noticed."""
        ...

    async def start(self) -> None:
        """Start it again, and return when that was noticed."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class MemoryBus:
    """The bus in memory."""

    def __init__(self) -> None:
        self.server = MemoryServer(SystemClock())
        self.server.ensure_streams(Stream)
        self._copy: Mapping[str, MemoryStream] = {}

    def inbox(self, *sources: Source) -> Inbox:
        return MemoryInbox(self.server, sources)

    def publisher(self) -> Publisher:
        return MemoryPublisher(self.server)

    def relay_log(self) -> RelayLog:
        return MemoryRelayLog(self.server)

    def work_queue(self, pool: str) -> WorkQueue:
        return MemoryWorkQueue(self.server, pool, ACK_WAIT_S)

    def control(self) -> ControlChannel:
        return MemoryControl(self.server)

    def tail(self) -> StreamTail:
        return MemoryStreamTail(self.server)

    async def ensure_pool(self, pool: str) -> None:
        self.server.ensure_pool(pool)

    async def recreate(self, stream: Stream) -> None:
        self.server.recreate(stream)

    async def limit(self, stream: Stream, max_messages: int) -> None:
        self.server.limit(stream, max_messages)

    async def keep_copy(self) -> None:
        self._copy = self.server.keep_copy()

    async def put_copy_back(self) -> None:
        self.server.put_back(self._copy)

    async def break_connections(self) -> None:
        self.server.drop_connections()

    async def crash(self) -> None:
        self.server.stop()
        self.server.start()

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()

    async def close(self) -> None:
        self.server.start()


class RealBus:
    """A real server, or a cluster, and one connection of a user who may do everything."""

    def __init__(
        self,
        nats: RealNats | RealCluster,
        connection: NatsConnection,
        copy: Path,
        mode: RelayMode | None = None,
        replicas: int = 1,
    ) -> None:
        """Use a running server.

        Args:
            nats: the server, or the cluster.
            connection: to it; closed by `close`.
            copy: folder that does not exist yet, for a copy of the store.
            mode: how the relay publishes; None: as it finds out itself.
            replicas: of each stream.
        """
        self.nats = nats
        self.connection = connection
        self._copy = copy
        self._mode: RelayMode | None = mode
        self._replicas = replicas
        self._inboxes: list[Inbox] = []

    async def reset(self) -> None:
        """Delete every stream and create it again."""
        await asyncio.gather(*(self._delete(stream) for stream in Stream))
        await asyncio.gather(*(self._create(stream) for stream in Stream))

    async def _create(self, stream: Stream) -> None:
        await ensure_streams(self.connection, (stream,), replicas=self._replicas, timeout_s=WAIT_S)

    async def _delete(self, stream: Stream) -> None:
        with suppress(RefusedError):
            await JetStreamApi(self.connection).call(f"STREAM.DELETE.{stream}")

    def inbox(self, *sources: Source) -> Inbox:
        inbox = NatsInbox(self.connection, sources)
        self._inboxes.append(inbox)
        return inbox

    def publisher(self) -> Publisher:
        return NatsPublisher(self.connection)

    def relay_log(self) -> RelayLog:
        return NatsRelayLog(self.connection, self._mode)

    def work_queue(self, pool: str) -> WorkQueue:
        return NatsWorkQueue(self.connection, pool)

    def control(self) -> ControlChannel:
        return NatsControl(self.connection)

    def tail(self) -> StreamTail:
        return NatsStreamTail(self.connection)

    async def ensure_pool(self, pool: str) -> None:
        await ensure_pool(self.connection, pool, ack_wait_s=ACK_WAIT_S)

    async def recreate(self, stream: Stream) -> None:
        await self._delete(stream)
        await self._create(stream)

    async def limit(self, stream: Stream, max_messages: int) -> None:
        settings = stream_settings(stream, self._replicas) | {"max_msgs": max_messages}
        await JetStreamApi(self.connection).call(f"STREAM.UPDATE.{stream}", settings)

    async def keep_copy(self) -> None:
        await self.stop()
        await asyncio.to_thread(shutil.copytree, self.nats.store, self._copy)
        await self.start()

    async def put_copy_back(self) -> None:
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.nats.store)
        await asyncio.to_thread(shutil.copytree, self._copy, self.nats.store)
        await self.start()

    async def break_connections(self) -> None:
        session = self.connection.session
        await self.connection.reconnect()
        assert await self.connection.wait_disconnected(session, WAIT_S)
        assert await self.connection.wait_connected(WAIT_S)

    async def crash(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        session = self.connection.session
        self.nats.kill()
        assert await self.connection.wait_disconnected(session, WAIT_S)

    async def start(self) -> None:
        self.nats.start()
        assert await self.connection.wait_connected(WAIT_S)

    async def close(self) -> None:
        for inbox in self._inboxes:
            await inbox.close()
        if not self.nats.running:
            self.nats.start()
        await self.connection.close()


RUN_0 = Source(Stream.RUNS, subjects.runs_of_partition(subjects.run_partition(0)))
RUN_1 = Source(Stream.RUNS, subjects.runs_of_partition(subjects.run_partition(1)))
CATALOG = Source(Stream.CATALOG, subjects.STREAM_SUBJECTS[Stream.CATALOG][0])


def command(number: int, partition: int = 0) -> Outgoing:
    """A command to a run; its payload is its number."""
    path = subjects.run("default", subjects.run_partition(partition), f"run{number}", "cancel_run")
    return Outgoing(Stream.RUNS, path, str(number).encode())


def commands(first: int, last: int, partition: int = 0) -> list[Outgoing]:
    """Commands `first` to `last`, both included."""
    return [command(number, partition) for number in range(first, last + 1)]


def numbers(messages: Sequence[Received]) -> list[int]:
    """What `command` wrote into the payloads."""
    return [int(message.payload) for message in messages]


async def take_exactly(inbox: Inbox, count: int) -> list[Received]:
    """Take until there are `count`, and see that there are no more than that on hand."""
    taken: list[Received] = []
    while len(taken) < count:
        more = await inbox.take(count - len(taken), WAIT_S)
        assert more, f"only {len(taken)} of {count} messages came"
        taken.extend(more)
    return taken
