"""A simulated world: the services' own code around one bus and its stores, all in one process."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pydantic_core import from_json

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.publisher import MemoryPublisher
from penstock_adapters.memory.signing import MemorySigner, MemoryVerifier
from penstock_adapters.memory.work import MemoryControl, MemoryWorkQueue
from penstock_approval.app import host as approval_host
from penstock_approval.app import shared as shared_approval
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import TaskMessage
from penstock_executor.app import Executor, Options, Ports
from penstock_executor.secret_grants import SecretGrant
from penstock_executor.workspaces import Workspaces
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.dispatch import Renderer
from penstock_runtime.faults import StoreRolledBack, TransientFault
from penstock_runtime.keeping import ArtifactKeeper
from penstock_runtime.owner import Parts
from penstock_runtime.ports.inbox import Source
from penstock_runtime.ports.keeping import Keeper, NoKeeper
from penstock_scheduler.app import SERVICE_ACTOR, Wiring
from penstock_scheduler.app import shared as shared_scheduler
from penstock_testkit.checking.delivered import reported_in
from penstock_testkit.checking.history import Reported
from penstock_testkit.fakes.bus import KeptHeartbeats
from penstock_testkit.fakes.executor import FixedSecrets
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.fakes.repositories import FolderTemporaries, KeptRepositories
from penstock_testkit.sim.agents import (
    AGENTS,
    CANARY,
    DOOR_KEY,
    Deeds,
    SimBundles,
    SimSandbox,
)
from penstock_testkit.sim.bus import SimBus
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.door import Door
from penstock_testkit.sim.gateways import Around, Gateway
from penstock_testkit.sim.links import (
    Link,
    LinkedControl,
    LinkedInbox,
    LinkedPublisher,
    LinkedQueue,
    LinkedRelayLog,
    Weather,
    linked,
)
from penstock_testkit.sim.loop import ShuffledLoop
from penstock_testkit.sim.plan import Plan
from penstock_testkit.sim.processes import Life, Process, ProcessClock, follow
from penstock_testkit.sim.shelves import LinkedShelf, LinkedVault, SimShelf, SimVault
from penstock_testkit.sim.stores import SimLedger, SimProjection
from penstock_testkit.virtual_time import VirtualClock

log = logging.getLogger(__name__)
TASK_SECRET = b"the schedulers' secret of a simulated world"
GRANT_SECRET = b"the approval service's secret of a simulated world"
POOL = "default"
RETENTION_DAYS = 30.0
RESTART_S = (0.2, 20.0)
CAPACITY = 4
Begin = Callable[[Life], None]


class SimWorld:
    """Servers, processes and weather of one seed.

    Attributes:
        processes: all of them, the schedulers first.
        partitions: how many of runs a scheduler asks for when it begins.
        alerts: what an operator would be woken for.
        defects: what ended a process that no service foresees.
        doors: process -> where clients knock, in its newest life.
    """

    def __init__(self, plan: Plan, loop: ShuffledLoop, scratch: Path) -> None:
        """Make everything; nothing lives yet. Executors write below `scratch`."""
        self.plan = plan
        self._scratch = scratch
        self.loop = loop
        follow(loop)
        self.clock = VirtualClock()
        self.bus = SimBus(self.clock, Dice(plan.seed, "bus"))
        self.bus.repeats = plan.repeats
        self.ledger = SimLedger(self.clock)
        self.approvals = SimLedger(self.clock)
        self.views = SimProjection(self.clock)
        self.stores = (self.ledger, self.approvals, self.views)
        self.shelf = SimShelf(self.bus)
        self.vault = SimVault(self.clock, self.ledger)
        self.heartbeats = KeptHeartbeats()
        self.metrics = KeptMetrics()
        self.deeds = Deeds(self.clock)
        self.partitions = plan.topology.partitions
        self.alerts: list[str] = []
        self.defects: list[str] = []
        self._codes = TaskCodeBook(TASK_SECRET)
        self._weather: dict[tuple[str, str], Weather] = {}
        self._dice = Dice(plan.seed, "world")
        self._restarts = True
        self._links = 0
        self.doors: dict[str, Door] = {}
        self.reported: list[Reported] = []
        self.bus.on_stored = self._note_task
        self.processes = self._populate()
        for process in self.processes:
            process.on_death = self._restart_later

    def _populate(self) -> Sequence[Process]:
        topology, made = self.plan.topology, list[Process]()
        kinds: tuple[tuple[str, int, Begin], ...] = (
            ("scheduler", topology.schedulers, self._begin_scheduler),
            ("approval", topology.approvals, self._begin_approval),
            ("executor", topology.executors, self._begin_executor),
            ("gateway", topology.gateways, self._begin_gateway),
        )
        for kind, how_many, begin in kinds:
            for number in range(1, how_many + 1):
                name = f"{kind}-{number}"
                made.append(Process(name, begin, Dice(self.plan.seed, name)))
        return made

    def start(self) -> None:
        """Let every process live."""
        for process in self.processes:
            process.start()

    def _restart_later(self, process: Process) -> None:
        if self._restarts:
            self.loop.call_later(self._dice.seconds(*RESTART_S), self._restart, process)

    def _restart(self, process: Process) -> None:
        if self._restarts:
            process.start()

    def calm(self) -> None:
        """End the storm: servers and links are as they should be."""
        self.bus.repeats = 0.0
        self.bus.start()
        for name in self.bus.streams:
            self.bus.limit(name, None)
        for store in self.stores:
            store.up = True
        for weather in self._weather.values():
            weather.clear()

    def heal(self) -> None:
        """End the storm: everything is up, and everybody lives."""
        self.calm()
        for process in self.processes:
            process.skew_us = 0
            process.resume()
            process.start()
            if process.life is not None:
                process.life.dies_at = 0

    async def stop(self) -> None:
        """Kill everything, and leave it dead."""
        self._restarts = False
        lives = [process.life for process in self.processes if process.life is not None]
        for life in lives:
            life.die()
        for life in lives:
            await life.ended()

    def resume(self) -> None:
        """Let everything live again, and be started again after each death."""
        self._restarts = True
        self.start()

    def lose_buckets(self, *, heartbeats: bool = True, artifacts: bool = True) -> None:
        """Lose what JetStream holds beside its streams."""
        if heartbeats:
            self.heartbeats.entries.clear()
        if artifacts:
            self.shelf.content.clear()

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Give what is on the bus and in artifacts beside EVENTS, and where."""
        for number, (_, payload, _) in enumerate(self.bus.said):
            yield f"said/{number}", payload
        for name in (Stream.TASKS, Stream.DEAD, Stream.LOGS):
            for message in self.bus.streams[name].messages.values():
                yield f"{name}/{message.sequence}", message.payload
        for shelf in (self.shelf, self.vault):
            yield from ((key.digest, content) for key, content in shelf.content.items() if content)

    def weather_of(self, process: str, server: str) -> Weather:
        """Give how things are between a process and `bus` or `store`."""
        found = self._weather.get((process, server))
        if found is None:
            of = self.plan.weather
            found = Weather(of.slow, of.slow_s, of.lost, of.unanswered)
            self._weather[process, server] = found
        return found

    def _note_task(self, stream: str, subject: str, payload: bytes) -> None:
        reported = reported_in(subject, payload, self.clock.now_us())
        if reported is not None:
            self.reported.append(reported)
        if stream == Stream.TASKS:
            task = TaskMessage.model_validate(from_json(payload)["data"])
            self.deeds.tasks[task.task_id] = task

    # --- processes ----------------------------------------------------------------------------

    def _link(self, life: Life, server: str) -> Link:
        name = life.process.name
        self._links += 1  # no two links draw alike, or what fails once would fail for ever
        dice = Dice(self.plan.seed, f"{name}/{server}/{self._links}")
        return Link(life, self.weather_of(name, server), self.clock, dice)

    async def _prepare(self, life: Life) -> None:
        await self._link(life, "bus").there()
        self.bus.expect_up()
        self.bus.ensure_streams(Stream)
        self.bus.ensure_pool(POOL)

    def _parts(
        self,
        life: Life,
        ledger: SimLedger,
        of: Sequence[Source],
        renderer: Renderer,
        keeper: Keeper | None = None,
    ) -> Parts:
        bus, store = self._link(life, "bus"), self._link(life, "store")
        return Parts(
            ledger=linked(ledger, store),
            reader=linked(ledger, store),
            index=linked(ledger, store),
            inbox=LinkedInbox(MemoryInbox(self.bus, of), bus),  # type: ignore[arg-type]
            sources=of,
            publisher=self._publisher(bus),
            relay_log=LinkedRelayLog(self.bus, bus, self.bus.bring_fenced),
            renderer=renderer,
            clock=ProcessClock(life, self.clock),
            metrics=self.metrics,
            keeper=keeper or NoKeeper(),
        )

    def _publisher(self, bus: Link) -> LinkedPublisher:
        return LinkedPublisher(MemoryPublisher(self.bus), bus, self.bus.bring_later)

    def _begin_scheduler(self, life: Life) -> None:
        name, clock = life.process.name, ProcessClock(life, self.clock)
        keeper = ArtifactKeeper(
            LinkedShelf(self.shelf, self._link(life, "bus")),
            LinkedVault(self.vault, self._link(life, "store")),
            self._publisher(self._link(life, "bus")),
            Renderer("penstock/artifacts", SERVICE_ACTOR).render, clock, self.metrics,
            RETENTION_DAYS, partial(self._prepare, life),
        )  # fmt: skip
        parts = partial(self._parts, life, self.ledger, keeper=keeper)
        book = linked(self.ledger, self._link(life, "store"))
        wiring = Wiring(name, self._codes, book, parts, partial(self._prepare, life))
        sharing = shared_scheduler(name, self.partitions, wiring, book, clock)
        life.spawn(self._watched(life, sharing.run))
        life.spawn(self._watched(life, keeper.run))

    def _begin_approval(self, life: Life) -> None:
        name, clock = life.process.name, ProcessClock(life, self.clock)
        parts = partial(self._parts, life, self.approvals)
        prepare = partial(self._prepare, life)
        signer = MemorySigner(GRANT_SECRET)
        book = linked(self.approvals, self._link(life, "store"))
        make = partial(approval_host, name, parts, prepare, signer)
        life.spawn(self._watched(life, shared_approval(name, make, book, clock).run))

    def _begin_executor(self, life: Life) -> None:
        name, bus = life.process.name, self._link(life, "bus")
        ports = Ports(
            queue=LinkedQueue(MemoryWorkQueue(self.bus, POOL), bus),
            publisher=self._publisher(bus),
            control=LinkedControl(MemoryControl(self.bus), bus),
            sandbox=SimSandbox(self.plan.seed, name, AGENTS, self.deeds, self.clock),
            bundles=SimBundles(tuple(AGENTS.values())),
            secrets=FixedSecrets({DOOR_KEY: CANARY}),
            verifier=MemoryVerifier(GRANT_SECRET),
            repositories=KeptRepositories(),
            temporaries=FolderTemporaries(self._scratch / f"{name}-{life.process.deaths}"),
            heartbeats=linked(self.heartbeats, bus),
            artifacts=LinkedShelf(self.shelf, bus),
            clock=ProcessClock(life, self.clock),
            metrics=self.metrics,
            draw=self.deeds.draw,
        )
        grants = {SecretGrant(agent, DOOR_KEY) for agent in AGENTS}
        options = Options(name, POOL, CAPACITY, 5.0, Workspaces(()), secret_grants=grants)
        executor = Executor(ports, options)
        life.spawn(self._watched(life, lambda: executor.run(asyncio.Event())))

    def _begin_gateway(self, life: Life) -> None:
        bus, store = self._link(life, "bus"), self._link(life, "store")
        around = Around(
            self.bus, self.views, self.shelf, self.clock, self.metrics, bus, store,
            self._publisher(bus),
        )  # fmt: skip
        name = life.process.name
        dice = Dice(self.plan.seed, f"{name}/door/{life.process.deaths}")
        gateway = Gateway(life, around, dice)
        self.doors[name] = gateway.door
        life.spawn(self._watched(life, gateway.run))

    async def _watched(self, life: Life, main: Callable[[], Awaitable[None]]) -> None:
        """Serve; what ends the service ends its process, as the exit of `main` would."""
        name = life.process.name
        try:
            await main()
        except* StoreRolledBack as found:
            self.alerts.extend(map(str, _leaves(found)))
        except* TransientFault:
            log.info("%s ends by itself", name)
        except* Exception as found:  # noqa: BLE001 - a task boundary: a defect is a finding
            told = "".join(traceback.format_exception(found, limit=-4))
            self.defects.append(f"{name}: {told}")
        finally:
            life.die()


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
