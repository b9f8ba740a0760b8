"""A gateway over memory adapters, with a scripted rest of the world behind the bus."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from penstock_adapters.memory.artifacts import MemoryShelf
from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.projection import MemoryProjection
from penstock_adapters.memory.publisher import MemoryPublisher
from penstock_adapters.memory.streams import MemoryServer
from penstock_adapters.memory.tail import MemoryStreamTail
from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import (
    derive,
    gateway_trigger_id,
    run_id,
    token_id,
    trigger_aggregate_id,
    workflow_id,
)
from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    chain_hash,
    encode_state,
    genesis_hash,
    published_form,
)
from penstock_contracts.registry import kind_of, name_of, type_of
from penstock_contracts.run import v1 as run
from penstock_contracts.subjects import CATALOG_PARTITION, Stream
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_contracts.workflow.v1 import WorkflowApplied
from penstock_core.binding import bind
from penstock_core.workflow.plan import definition_digest
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.heartbeat import HeartbeatReader, NoHeartbeats
from penstock_testkit.fakes.clock import ManualClock, turns
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_webhook_gateway.app import application
from penstock_webhook_gateway.http.access import token_hash
from penstock_webhook_gateway.http.context import Doors, Waits
from penstock_webhook_gateway.projection import SOURCES, Projection
from penstock_webhook_gateway.waiting import Waiters

RUNS = "run-0"
DOCUMENT = {"name": "demo", "nodes": {"ask": {"approval": {"title": "Go on?"}}}}
DIGEST = definition_digest(DOCUMENT)
QUICK = Waits(outcome_s=0.2, trigger_s=0.2, keepalive_s=0.05, log_end_s=0.05, restore_s=0.0)
PATIENT = Waits(outcome_s=20, trigger_s=20, keepalive_s=20, log_end_s=0.05, restore_s=20)
STARTED_US = 1_800_000_000_000_000

NOTHING = bind(Proposal())

Said = tuple[str, str, Wire]
"""Partition, aggregate and event."""
Script = Callable[[Envelope], Sequence[Said]]


class World:
    """The bus, the read model, the gateway's parts, and answers by type of command."""

    def __init__(
        self,
        rate: int = 10_000,
        waits: Waits = PATIENT,
        *,
        forwarded: bool = False,
        heartbeats: HeartbeatReader | None = None,
    ):
        self.clock = ManualClock()
        self.metrics = KeptMetrics()
        self.server = MemoryServer(self.clock)
        self.server.ensure_streams(Stream)
        self.store = MemoryProjection(self.clock)
        self.waiters = Waiters()
        self.artifacts = MemoryShelf()
        self.publisher = _Listening(self)
        self.scripts: dict[str, Script] = {}
        self.sent: list[tuple[str, Envelope]] = []
        self.refuse: Published | None = None
        self.projection = Projection(
            "gateway-1", self.store, self.store, lambda: MemoryInbox(self.server, SOURCES),
            self.clock, self.metrics, self.waiters.applied, self.waiters.wants,
        )  # fmt: skip
        doors = Doors(
            self.publisher, self.store, MemoryStreamTail(self.server), self.waiters, self.clock,
            waits, heartbeats or NoHeartbeats(), self.artifacts,
        )  # fmt: skip
        self.app = application(
            doors, self.projection, self.metrics, rate, trust_forwarded_for=forwarded
        )
        self._n: dict[str, int] = defaultdict(int)
        self._versions: dict[str, int] = defaultdict(int)
        self._chains: dict[str, bytes] = {}

    def published(
        self,
        partition: str,
        aggregate: str,
        event: Wire,
        cause: str = "",
        tenant: str = "",
        actor: str = "",
    ) -> tuple[str, bytes]:
        """Give subject and bytes of the next event of a partition."""
        self._n[partition] += 1
        self._versions[aggregate] += 1
        head = self._chains.get(partition, genesis_hash(partition))
        meta = EventMeta(
            time_us=STARTED_US + self._n[partition],
            tenant=tenant or DEFAULT_TENANT,
            causation_id=cause,
            actor=actor,
        )
        topic = type_of(event)
        state = encode_state(meta, head, event.to_data())
        version = self._versions[aggregate]
        self._chains[partition] = chain_hash(head, aggregate, version, topic, state)
        record = StoredRecord(aggregate, version, topic, state, partition, self._n[partition], 0)
        subject = subjects.event(meta.tenant, kind_of(topic), aggregate, name_of(topic))
        return subject, published_form(record)

    def emit(
        self,
        partition: str,
        aggregate: str,
        event: Wire,
        cause: str = "",
        tenant: str = "",
        actor: str = "",
    ) -> None:
        """Relay the next event of a partition."""
        self.server.store(*self.published(partition, aggregate, event, cause, tenant, actor))

    def token(
        self, name: str, *roles: str, tenant: str = DEFAULT_TENANT, groups: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """Issue a token; gives the headers that carry it."""
        secret = f"secret-{tenant}-{name}"
        issued = trigger.TokenIssued(
            tenant=tenant, name=name, sha256=token_hash(secret), roles=roles, groups=groups
        )
        self.emit(CATALOG_PARTITION, token_id(tenant, name), issued, tenant=tenant)
        return {"Authorization": f"Bearer {secret}"}

    def apply_workflow(self) -> None:
        """Make the workflow `demo` known."""
        applied = WorkflowApplied(tenant=DEFAULT_TENANT, digest=DIGEST, document=DOCUMENT)
        self.emit(CATALOG_PARTITION, workflow_id(DEFAULT_TENANT, "demo"), applied)

    def start_run(self, trigger_id: str = "t-1", cause: str = "") -> str:
        """Start a run of `demo` that waits at its gate."""
        run_ = run_id(DEFAULT_TENANT, "demo", trigger_id)
        started = run.RunStarted(
            tenant=DEFAULT_TENANT,
            workflow="demo",
            definition_digest=DIGEST,
            trigger_id=trigger_id,
            trigger_aggregate=trigger_aggregate_id(DEFAULT_TENANT, trigger_id),
            partition=RUNS,
            started_us=STARTED_US,
            ends_by_us=STARTED_US + 1,
        )
        self.emit(RUNS, run_, started, cause or derive("start_run", run_))
        return run_

    def open_gate(self, run_: str) -> None:
        """Let the run's only node wait for a decision."""
        opened = run.GateOpened(
            node="ask",
            attempt=1,
            approval_id=derive("approval", run_),
            binding=NOTHING,
            opened_us=STARTED_US,
            expires_us=STARTED_US + 9,
        )
        self.emit(RUNS, run_, opened)

    def cancelled(self, run_: str, cause: str = "") -> None:
        """End the run."""
        ended = run.RunCancelled(by="token:operator", ended_us=STARTED_US + 5)
        self.emit(RUNS, run_, ended, cause)

    async def settled(self) -> None:
        """Wait until the read model holds everything that was relayed."""
        async with asyncio.timeout(5):
            while dict(self.projection.seen) != self._n or not self.projection.ready:
                await turns(1)

    async def until_sent(self, count: int) -> None:
        """Wait until the gateway has published so many messages."""
        async with asyncio.timeout(10):
            while len(self.sent) < count:
                await turns(1)


class _Listening:
    """A publisher whose messages the world answers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        if self._world.refuse is not None:
            return [self._world.refuse for _ in batch]
        outcomes = await MemoryPublisher(self._world.server).publish(batch)
        for message in batch:
            envelope = Envelope.decode(message.payload)
            self._world.sent.append((message.subject, envelope))
            cause = envelope.id
            if message.stream == Stream.TRIGGERS:
                cause = gateway_trigger_id(envelope.source, envelope.id)
            script = self._world.scripts.get(envelope.type)
            for partition, aggregate, event in script(envelope) if script else ():
                self._world.emit(
                    partition, aggregate, event, cause, envelope.tenant, envelope.actor or ""
                )
        return outcomes

    async def purge_subject(self, stream: str, subject: str) -> None:
        self._world.server.purge(stream, subject)


Client = TestClient[Any, Any]


@asynccontextmanager
async def serving(world: World) -> AsyncGenerator[Client]:
    """Serve the API of a world whose projection runs."""
    following = asyncio.create_task(world.projection.run())
    try:
        async with TestClient(TestServer(world.app)) as client:
            await world.settled()
            yield client
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def problem_of(answer: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem of RFC 9457, and give it."""
    body = await answer.json(content_type="application/problem+json")
    assert (answer.status, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:penstock:problem:{code}"
    assert body["title"]
    assert body["instance"].startswith("/")
    return body
