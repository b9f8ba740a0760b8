"""The world: what the processes share, the processes themselves, and what befalls them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from penstock_adapters.memory.artifacts import MemoryShelf, MemoryVault
from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.projection import MemoryProjection
from penstock_adapters.memory.publisher import MemoryPublisher
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_adapters.memory.signing import MemorySigner, MemoryVerifier
from penstock_adapters.memory.streams import MemoryServer
from penstock_approval.app import host as approval_host
from penstock_approval.app import shared as shared_approvals
from penstock_contracts import subjects
from penstock_contracts.ids import trigger_aggregate_id
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.records import ReadEvent, StoredRecord, read_published, read_record
from penstock_contracts.registry import name_of
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.values import JsonObject, Wire
from penstock_core.run.decider import RunDecider
from penstock_core.run.snapshot import document_hash, state_hash
from penstock_core.run.state import RunState
from penstock_runtime.cells import event_of
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.dispatch import Renderer
from penstock_runtime.host import PartitionHost
from penstock_runtime.keeping import ArtifactKeeper
from penstock_runtime.owner import Parts
from penstock_runtime.ports.inbox import Inbox, Source
from penstock_runtime.ports.keeping import Keeper, NoKeeper
from penstock_runtime.sharing import Sharing
from penstock_scheduler.app import SERVICE_ACTOR, Wiring
from penstock_scheduler.app import shared as shared_runs
from penstock_scheduler.runs import RunDomain
from penstock_testkit.builders.workflows import AGENTS
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.virtual_time import VirtualClock, until
from penstock_testkit.world.gates import Gate, through
from penstock_testkit.world.script import Script
from penstock_testkit.world.store import WorldLedger
from penstock_testkit.world.users import RUN_PARTITION, TENANT, Users
from penstock_webhook_gateway.following import OnApplied
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.projection import SOURCES, Projection

__all__ = ["RUN_PARTITION", "TENANT", "Instance", "World", "raw_of"]

SECRET = b"a secret of the schedulers of the world"
GRANT_SECRET = b"a secret of the approval service"
PAGE = 100_000
RETENTION_DAYS = 30.0


class Instance:
    """One process: tasks that can be ended at any moment, behind a gate of their own."""

    def __init__(
        self,
        name: str,
        gate: Gate,
        sharing: Sharing,
        keeper: ArtifactKeeper | None = None,
    ) -> None:
        """Begin to share, and to run the keeper of artifacts where there is one."""
        self.name = name
        self.gate = gate
        self.sharing = sharing
        self.tasks = [asyncio.create_task(sharing.run(), name=name)]
        if keeper is not None:
            self.tasks.append(asyncio.create_task(keeper.run(), name=f"{name}/artifacts"))

    @property
    def hosts(self) -> Sequence[PartitionHost]:
        """The hosts of all partitions that it knows by now."""
        return tuple(self.sharing.hosts)

    @property
    def owned(self) -> list[str]:
        """Names of the partitions that are owned here, in order."""
        return sorted(host.partition for host in self.hosts if host.ready)

    @property
    def ready(self) -> bool:
        """Whether all partitions are owned here."""
        return all(host.ready for host in self.hosts)

    async def kill(self) -> None:
        """End at once; whatever is held up at the gate never happens."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class World(Users):
    """Everything; use it as `async with World() as world`.

    Attributes:
        bus: streams and core subjects, with what can befall them.
        ledger: the scheduler's store.
        approvals: the approval service's store.
        views: the gateway's read model.
        script: the executor.
        cache: the object store.
        vault: the durable artifacts.
        metrics: of all processes together.
        gateway: holds the gateway up.
        make_inbox: what owners read their streams by; set it before anything starts.
    """

    def __init__(self) -> None:
        """Make empty stores and an empty bus; nothing runs yet."""
        self.clock = VirtualClock()
        super().__init__(MemoryServer(self.clock))
        self.ledger = WorldLedger(self.clock)
        self.approvals = WorldLedger(self.clock)
        self.views = MemoryProjection(self.clock)
        self.metrics = KeptMetrics()
        self.codes = TaskCodeBook(SECRET)
        self.make_inbox: Callable[[MemoryServer, Sequence[Source]], Inbox] = MemoryInbox
        self.cache = MemoryShelf()
        self.vault = MemoryVault(self.clock)
        verifier = MemoryVerifier(GRANT_SECRET)
        self.script = Script(self.bus, self.clock, AGENTS, verifier, self.cache)
        self.applied: list[tuple[ReadEvent, Wire]] = []
        self.gateway = Gate()
        self.projection = self._projection(self.views, gate=self.gateway)
        self.scheduler: Instance
        self.approval: Instance
        self._others: list[asyncio.Task[None]] = []
        self._gateway: asyncio.Task[None]
        self._instances: list[Instance] = []

    async def __aenter__(self) -> Self:
        """Start all processes and wait until they own what is theirs."""
        await self.prepare()
        self.scheduler = self.start_scheduler()
        self.approval = self.start_approval()
        self._others = [asyncio.create_task(self.script.run())]
        self.start_gateway()
        await self.until(lambda: self.scheduler.ready and self.approval.ready)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        for instance in self._instances:
            await instance.kill()
        for task in self._others:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # --- processes ----------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Create the streams that are absent, as every owner does."""
        self.bus.expect_up()
        self.bus.ensure_streams(Stream)
        self.bus.ensure_pool("default")

    def _parts(
        self,
        ledger: WorldLedger,
        gate: Gate,
        of: Sequence[Source],
        renderer: Renderer,
        keeper: Keeper | None = None,
    ) -> Parts:
        return Parts(
            ledger=through(ledger, gate),
            reader=through(ledger, gate),
            index=through(ledger, gate),
            inbox=through(self.make_inbox(self.bus, of), gate),
            sources=of,
            publisher=through(MemoryPublisher(self.bus), gate),
            relay_log=through(MemoryRelayLog(self.bus), gate),
            renderer=renderer,
            clock=self.clock,
            metrics=self.metrics,
            keeper=keeper or NoKeeper(),
        )

    def start_scheduler(self, name: str = "scheduler-1", run_partitions: int = 1) -> Instance:
        """Start a scheduler that wants so many partitions of runs."""
        gate = Gate()
        keeper = ArtifactKeeper(
            self.cache, self.vault, through(MemoryPublisher(self.bus), gate),
            Renderer("penstock/artifacts", SERVICE_ACTOR).render, self.clock, self.metrics,
            RETENTION_DAYS, self.prepare,
        )  # fmt: skip
        parts = partial(self._parts, self.ledger, gate, keeper=keeper)
        wiring = Wiring(name, self.codes, self.ledger, parts, self.prepare)
        book = through(self.ledger, gate)
        sharing = shared_runs(name, run_partitions, wiring, book, self.clock)
        return self._started(Instance(name, gate, sharing, keeper))

    def start_approval(self, name: str = "approval-1") -> Instance:
        """Start an approval service."""
        gate = Gate()
        parts = partial(self._parts, self.approvals, gate)
        signer = MemorySigner(GRANT_SECRET)
        host = partial(approval_host, name, parts, self.prepare, signer)
        book = through(self.approvals, gate)
        sharing = shared_approvals(name, host, book, self.clock)
        return self._started(Instance(name, gate, sharing))

    def _started(self, instance: Instance) -> Instance:
        self._instances.append(instance)
        return instance

    def _projection(
        self,
        views: MemoryProjection,
        name: str = "gateway-1",
        on_applied: OnApplied | None = None,
        gate: Gate | None = None,
    ) -> Projection:
        held = gate or Gate()
        behind = through(views, held)
        return Projection(
            name, behind, behind, lambda: through(MemoryInbox(self.bus, SOURCES), held),
            self.clock, self.metrics, on_applied or self.applied.extend,
        )  # fmt: skip

    def start_gateway(self) -> None:
        """Keep the read model, by a process that has just started."""
        self.projection = self._projection(self.views, gate=self.gateway)
        self._gateway = asyncio.create_task(self.projection.run())
        self._others.append(self._gateway)

    def add_gateway(self, name: str, on_applied: OnApplied, gate: Gate) -> Projection:
        """Start another gateway at the same read model; it tells `on_applied`."""
        another = self._projection(self.views, name, on_applied, gate)
        self._others.append(asyncio.create_task(another.run(), name=name))
        return another

    async def stop_all(self) -> None:
        """End the three services; executors and everything that is stored stay."""
        await self.scheduler.kill()
        await self.approval.kill()
        self._gateway.cancel()
        await asyncio.wait((self._gateway,))

    async def start_all(self) -> None:
        """Start the three services again."""
        self.scheduler, self.approval = self.start_scheduler(), self.start_approval()
        self.start_gateway()

    async def rebuilt_views(self) -> MemoryProjection:
        """Build another read model from the first event on."""
        views = MemoryProjection(self.clock)
        again = self._projection(views)
        task = asyncio.create_task(again.run())
        await self.until(lambda: again.ready and again.seen == self.projection.seen)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return views

    # --- what is the case ---------------------------------------------------------------------

    async def ready_for(self, document: JsonObject) -> None:
        """Register the agents and apply a workflow, and wait until both are there."""
        self.register(*AGENTS.values())
        self.apply(document)
        await self.until(
            lambda: bool(self.facts(CATALOG_PARTITION, "workflow.workflow_applied.v1"))
        )

    async def until(self, holds: Callable[[], bool], within_s: float = 120.0) -> None:
        """Wait until something holds."""
        await until(self.clock, holds, within_s)

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self.clock.sleep(seconds)

    def records(self, partition: str) -> Sequence[StoredRecord]:
        """Give all stored events of a partition."""
        ledger = self.approvals if partition == APPROVAL_PARTITION else self.ledger
        return ledger.all_of(partition)

    def facts(self, partition: str, topic: str = "") -> list[Wire]:
        """Give the stored events of a partition, of one type if it is named."""
        found = self.records(partition)
        return [event_of(record) for record in found if topic in ("", record.topic)]

    def story(self, run: str) -> list[str]:
        """Give the names of a run's events."""
        return [name_of(record.topic) for record in self.history(run)]

    def history(self, run: str) -> list[StoredRecord]:
        """Give a run's events, in whichever partition it is."""
        every = (record for name in self.run_partitions() for record in self.records(name))
        return [record for record in every if record.aggregate_id == run]

    def run_partitions(self) -> list[str]:
        """Name the partitions of runs that have an event."""
        return [name for name in self.ledger.with_events() if name != CATALOG_PARTITION]

    def count(self, run: str, name: str) -> int:
        """Count a run's events of one name."""
        return self.story(run).count(name)

    def ended(self, run: str) -> bool:
        """Tell whether a run has ended."""
        return bool({"run_succeeded", "run_failed", "run_cancelled"} & set(self.story(run)))

    async def state(self, run: str) -> RunState:
        """Fold a run from the store."""
        domain = RunDomain(Definitions(self.ledger), self.codes)
        history = self.history(run)
        state = await domain.blank(run, event_of(history[0]))
        for record in history:
            state = RunDecider().evolve(state, event_of(record))
        return state

    async def store_hash(self, run: str) -> str:
        """Give the hash of a run as the store folds it."""
        return state_hash(await self.state(run))

    async def view_hash(self, run: str) -> str:
        """Give the hash of a run as the gateway serves it."""
        row = await self.views.get(View.RUN, TENANT, run)
        nodes = await self.views.children(View.NODE, TENANT, run)
        assert row is not None
        return document_hash(row.body, {n.id[len(run) + 1 :]: n.body for n in nodes})

    def published(self, partition: str) -> list[ReadEvent]:
        """Give a partition's events as they stand in EVENTS, in stream order."""
        if not self.bus.exists(Stream.EVENTS):
            return []
        messages = self.bus.stream(Stream.EVENTS).after(0, subjects.events_of("*"))
        read = [read_published(message.payload) for message in messages]
        return [event for event in read if event.partition == partition]

    def relayed(self, partition: str) -> bool:
        """Tell whether all events of a partition stand in EVENTS."""
        wanted = {record.n for record in self.records(partition)}
        return wanted <= {event.n for event in self.published(partition)}

    def shown(self) -> bool:
        """Tell whether the gateway has applied everything that is stored."""
        partitions = (CATALOG_PARTITION, *self.run_partitions(), APPROVAL_PARTITION)
        return all(
            self.projection.seen.get(partition, 0) == len(self.records(partition))
            for partition in partitions
        )

    def parked(self, partition: str) -> list[MessageParked]:
        """Give the parked messages of a partition."""
        events = self.facts(partition, MessageParked.TYPE)
        return [event for event in events if isinstance(event, MessageParked)]

    def trigger_aggregate(self, trigger_id: str = "t1") -> str:
        """Give the aggregate of a trigger that was started by `trigger`."""
        return trigger_aggregate_id(TENANT, f"msg:{trigger_id}")

    def causes(self, partition: str) -> list[str]:
        """Give the causation id of each event of a partition."""
        return [read_record(record).meta.causation_id for record in self.records(partition)]


def raw_of(parked: MessageParked) -> bytes:
    """Give the bytes that were kept of a parked message."""
    return base64.b64decode(parked.raw)
