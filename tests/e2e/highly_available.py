"""The four services on a NATS cluster and on PostgreSQL with a standby, and clients at work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_contracts.permissions import BusUser
from penstock_contracts.records import ReadEvent, read_published
from penstock_contracts.subjects import Stream, parse
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.cluster import RealCluster
from penstock_testkit.stack import RunningStack
from penstock_testkit.standby import RealPair

log = logging.getLogger(__name__)

WAIT_S = 90.0
CLIENT_PAUSE_S = 0.05
RETRY_S = 0.1
STORES = {"penstock_scheduler": ("catalog", "run-0"), "penstock_approval": ("approval",)}
WORKFLOW = "steps"


def nodes(*, once: bool) -> dict[str, dict[str, object]]:
    """A chain of three, the one in the middle to be executed at most once if asked for.

    Not for long outages: a claim that is answered after half a minute finds nobody waiting for it,
    and what may have happened is for a person to say.
    """
    return {
        "read": {"agent": "noop", "with": {"sleep_ms": 20}},
        "charge": {"agent": "noop-once" if once else "noop", "needs": ["read"]},
        "tell": {"agent": "noop", "needs": ["charge"]},
    }


@dataclass
class Client:
    """Publishes triggers one after the other, each until the bus says that it has it."""

    bus: NatsConnection
    accepted: dict[str, float] = field(default_factory=dict)  # run id: when it was acknowledged
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Publish until stopped; what is on its way then is still awaited."""
        while not self.stopped.is_set():
            await self.publish(f"trigger-{len(self.accepted)}")
            await asyncio.sleep(CLIENT_PAUSE_S)

    async def publish(self, message_id: str) -> str:
        """Publish one trigger; gives the id of its run."""
        subject = subjects.trigger("default", f"workflow.{WORKFLOW}")
        message = Outgoing(Stream.TRIGGERS, subject, b'{"inputs": {}}', message_id)
        deadline = time.monotonic() + WAIT_S
        while (await NatsPublisher(self.bus).publish([message])) != [Published.DONE]:
            assert time.monotonic() < deadline, "nobody takes triggers"
            await asyncio.sleep(RETRY_S)
        run = run_id("default", WORKFLOW, f"msg:{message_id}")
        self.accepted[run] = time.monotonic()
        return run


@dataclass
class Scene:
    """All of it.

    Attributes:
        client: at work until the runs are to end.
        work: its work; ends with an error if nobody takes its triggers.
        cluster: None: a NATS server of the stack's own.
        pair: None: a PostgreSQL of the stack's own.
    """

    stack: RunningStack
    client: Client
    work: asyncio.Task[None]
    cluster: RealCluster | None
    pair: RealPair | None

    async def works_again(self, what: str) -> float:
        """Wait until a run that is asked for now has ended; gives the seconds that took."""
        began = time.monotonic()
        run = await self.client.publish(f"probe-{what}-{began}")
        await self.stack.ended(run, WAIT_S)
        took = time.monotonic() - began
        log.info("%s: a run asked for at once has ended after %.1f s", what, took)
        return took

    async def all_have_ended(self) -> None:
        """Stop the client, and check that every run it was promised has succeeded, once."""
        self.client.stopped.set()
        async with asyncio.timeout(2 * WAIT_S):
            await self.work
        for run in self.client.accepted:
            shown = await self.stack.ended(run, WAIT_S)
            assert shown["run"]["status"] == "succeeded", shown["run"]
        events = self.stack.partition("run-0")
        claims = Counter(
            (event.aggregate_id, event.data["node"], event.data["attempt"])
            for event in events
            if event.topic == "run.task_started.v1" and event.data["node"] == "charge"
        )
        assert set(claims.values()) <= {1}
        succeeded = Counter(
            (event.aggregate_id, event.data["node"])
            for event in events
            if event.topic == "run.node_succeeded.v1"
        )
        names = nodes(once=False)
        expected = {(run, node): 1 for run in self.client.accepted for node in names}
        assert {
            key: n for key, n in succeeded.items() if key[0] in self.client.accepted
        } == expected

    async def events_are_the_store(self) -> None:
        """Who reads EVENTS as its readers do has the store's events, in its order."""
        wanted = {name: self.stack.partition(name, db) for db in STORES for name in STORES[db]}
        read: dict[str, list[ReadEvent]] = {name: [] for name in wanted}
        tail = NatsStreamTail(await self.stack.bus())
        async with asyncio.timeout(WAIT_S), tail.follow("EVENTS", ">") as messages:
            while any(len(read[name]) < len(wanted[name]) for name in wanted):
                message = await anext(aiter(messages))
                if parse(message.subject).kind != "event":
                    continue
                event = read_published(message.payload)
                if event.n == len(read[event.partition]) + 1:
                    read[event.partition].append(event)
        for database, names in STORES.items():
            for name in names:
                assert read[name][: len(wanted[name])] == wanted[name]
                assert [event.n for event in wanted[name]] == list(range(1, len(wanted[name]) + 1))
                assert self.stack.chain_fault(name, database) is None


@asynccontextmanager
async def scene(
    root: Path,
    *,
    cluster: bool = False,
    pair: bool = False,
    synchronous: bool = True,
    once: bool = False,
) -> AsyncGenerator[Scene]:
    """Servers, services and a client at work; all of it is ended afterwards."""
    folder = StateFolder.at(root / "home")
    folder.create()
    secrets = SecretBook(folder.secrets)
    environ = {"PENSTOCK_SANDBOX": "inline"}
    async with AsyncExitStack() as opened:
        nats = postgres = None
        if cluster:
            nats = opened.enter_context(RealCluster.started(root / "nats", secrets))
            environ |= {"PENSTOCK_NATS_URL": nats.url, "PENSTOCK_NATS_REPLICAS": "3"}
        if pair:
            postgres = opened.enter_context(
                RealPair.started(root / "postgres", secrets, synchronous=synchronous)
            )
            environ |= {"PENSTOCK_POSTGRES_URL": postgres.url}
        stack = await opened.enter_async_context(_started(folder.root, environ))
        await stack.bus(BusUser.SCHEDULER)
        await stack.register_builtin()
        await stack.apply(WORKFLOW, nodes(once=once))
        client = Client(await opened.enter_async_context(_trigger_user(stack)))
        work = asyncio.create_task(client.run())
        try:
            yield Scene(stack, client, work, nats, postgres)
        finally:
            work.cancel()
            await asyncio.wait((work,))
            if not work.cancelled():
                work.result()  # a client that has died is a fault, whoever else has not noticed it


@asynccontextmanager
async def _started(home: Path, environ: Mapping[str, str]) -> AsyncGenerator[RunningStack]:
    async with RunningStack.started(home, **environ) as stack:
        yield stack


@asynccontextmanager
async def _trigger_user(stack: RunningStack) -> AsyncGenerator[NatsConnection]:
    login = stack.endpoints.logins[BusUser.TRIGGER]
    connection = await connect(
        NatsSettings(login.url, login.user, login.password, login.inbox_prefix)
    )
    try:
        yield connection
    finally:
        await connection.close()
