"""Effects on their way out: rendered, published in commit order, then handed to the relay.

The events of a commit are relayed only after its effects were acknowledged, so that a marker
proves that everything before it has been asked for at least once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from penstock_contracts.grant.v1 import Grant
from penstock_contracts.registry import type_of
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import CANCEL_TYPE, CLAIM_ANSWER_TYPE, TASK_TYPE, CancelTask
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import (
    Answer,
    BringBack,
    Effect,
    KeepDead,
    PutBack,
    QueueTask,
    SendCommand,
    StopTask,
    StoreArtifacts,
)
from penstock_runtime.domain import TaskCodes
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.keeping import Keeper, NoKeeper
from penstock_runtime.ports.signing import GrantSigner
from penstock_runtime.telemetry.metrics import EFFECTS, Metrics
from penstock_runtime.telemetry.trace import child_header

log = logging.getLogger(__name__)

BACKLOG_MAX = 20_000  # effects waiting to be published; beyond, commits wait
QUEUED_MAX = 20_000  # tasks of this epoch that a sweep is known not to have to ask for again
RETRY_FIRST_S = 0.05
RETRY_CAP_S = 1.0  # a cluster chooses a stream's next leader within seconds
RETRIES_MAX = 14  # some 11 s


BusEffect = SendCommand | QueueTask | StopTask | Answer | KeepDead | PutBack
"""What becomes a message."""


@dataclass(frozen=True, slots=True)
class _Commit:
    effects: Sequence[Effect]
    last_n: int


class Renderer:
    """Turns effects into messages."""

    def __init__(
        self,
        source: str,
        actor: str,
        codes: TaskCodes | None = None,
        signer: GrantSigner | None = None,
    ) -> None:
        """Speak as `source` (CloudEvents) and `actor`.

        Args:
            source: the partition.
            actor: the service.
            codes: where tasks are sent.
            signer: where grants are given.
        """
        self._source = source
        self._actor = actor
        self._codes = codes
        self._signer = signer

    def render(self, effect: BusEffect) -> Outgoing:
        """Give the message of an effect (of a `StopTask`: its core-subject half)."""
        match effect:
            case SendCommand():
                trace = child_header(effect.traceparent, "send", effect.subject, effect.key)
                payload = self._command(effect, trace)
                return Outgoing(
                    effect.stream, effect.subject, payload, effect.key, trace, effect.traceparent
                )
            case QueueTask():
                trace = child_header(effect.traceparent, "send", effect.subject)
                payload = self._task(effect, trace)
                return Outgoing(
                    Stream.TASKS, effect.subject, payload, None, trace, effect.traceparent
                )
            case StopTask():
                body = CancelTask(task_id=effect.task_id, reason=effect.reason).to_data()
                payload = self._envelope(CANCEL_TYPE, effect.task_id, effect.task_id, body)
                return Outgoing(None, effect.control_subject, payload)
            case Answer():
                body = effect.body.to_data()
                payload = self._envelope(CLAIM_ANSWER_TYPE, "claim", None, body)
                return Outgoing(None, effect.subject, payload)
            case KeepDead():
                return Outgoing(Stream.DEAD, effect.subject, effect.payload, effect.key)
            case PutBack():
                return Outgoing(effect.stream, effect.subject, effect.payload)

    def _command(self, effect: SendCommand, trace: str | None) -> bytes:
        extra: dict[str, object] = {
            "tenant": effect.tenant,
            "correlationid": effect.correlation_id,
            "traceparent": trace,
        }
        topic, data = type_of(effect.body), effect.body.to_data()
        if effect.seal is not None:
            data["grant"] = self._sealed(effect.seal)
        return self._envelope(topic, effect.key, effect.about, data, extra)

    def _sealed(self, grant: Grant) -> dict[str, object]:
        if self._signer is None:
            raise BrokenInvariant("a grant is to be given, and there is no key to sign it with")
        return self._signer.sign(grant).to_data()

    def _task(self, effect: QueueTask, trace: str | None) -> bytes:
        data = effect.task.to_data()
        if self._codes is not None:
            data["token"] = self._codes.code(effect.task.task_id)
        extra: dict[str, object] = {
            "tenant": effect.tenant,
            "correlationid": effect.task.run_id,
            "traceparent": trace,
        }
        task_id = effect.task.task_id
        return self._envelope(TASK_TYPE, task_id, task_id, data, extra)

    def _envelope(
        self,
        topic: str,
        message_id: str,
        about: str | None,
        data: dict[str, object],
        extra: dict[str, object] | None = None,
    ) -> bytes:
        body: dict[str, object] = {
            "specversion": "1.0",
            "id": message_id,
            "source": self._source,
            "type": topic,
            "actor": self._actor,
        }
        if about is not None:
            body["subject"] = about
        body.update({key: value for key, value in (extra or {}).items() if value})
        body["data"] = data
        return to_json(body)


class Dispatch:
    """Publishes effects of commits in their order, retrying until the bus has them."""

    def __init__(
        self,
        partition: str,
        publisher: Publisher,
        renderer: Renderer,
        clock: Clock,
        metrics: Metrics,
        relayable: Callable[[int], None],
        keeper: Keeper | None = None,
    ) -> None:
        """Call `relayable(n)` once the effects of all events up to n are out."""
        self._keeper = keeper or NoKeeper()
        self._partition = partition
        self._publisher = publisher
        self._renderer = renderer
        self._clock = clock
        self._metrics = metrics
        self._relayable = relayable
        self._waiting: deque[_Commit] = deque()
        self._backlog = 0
        self._queued: set[str] = set()
        self._sweeps = True
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def submit(self, effects: Sequence[Effect], last_n: int) -> None:
        """Queue what a commit calls for; waits while the backlog is full."""
        await self._room.wait()
        self._waiting.append(_Commit(effects, last_n))
        self._backlog += len(effects)
        if self._backlog >= BACKLOG_MAX:
            self._room.clear()
        self._wake.set()

    def has_queued(self, task: QueueTask) -> bool:
        """Tell whether a task was put on its queue in this epoch, before the sweep ended.

        It may be done by now, with its result on the way: asked for again it would run again.
        """
        return task.subject in self._queued

    def end_sweep(self) -> None:
        """Forget which tasks were queued in this epoch."""
        self._sweeps = False
        self._queued.clear()

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            TransientFault: as `publish`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                commits = list(self._waiting)
                self._waiting.clear()
                effects = [effect for commit in commits for effect in commit.effects]
                await self.publish(effects)
                self._backlog -= len(effects)
                if self._backlog < BACKLOG_MAX:
                    self._room.set()
                self._relayable(commits[-1].last_n)

    async def publish(self, effects: Sequence[Effect]) -> None:
        """Publish effects until each is acknowledged, there already, or refused for space.

        Raises:
            TransientFault: some are refused for long: a stream may be gone, which the next epoch
                makes again before it publishes everything behind the last marker.
        """
        wait_s = RETRY_FIRST_S
        left = await self._attempt(self._for_the_bus(effects))
        for _ in range(RETRIES_MAX):
            if not left:
                return
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)
            left = await self._attempt(left)
        if left:
            raise TransientFault(f"{self._partition}: the bus does not take {len(left)} effects")

    def _for_the_bus(self, effects: Sequence[Effect]) -> Sequence[BusEffect]:
        """Hand what is about artifacts to the keeper; what it has no room for is asked again."""
        messages: list[BusEffect] = []
        for effect in effects:
            if not isinstance(effect, StoreArtifacts | BringBack):
                messages.append(effect)
            elif self._keeper.ask(effect):
                self._metrics.add(EFFECTS, self._partition, type(effect).__name__)
            else:
                log.warning("too many artifacts wait; it will be asked again")
        return messages

    async def _attempt(self, effects: Sequence[BusEffect]) -> list[BusEffect]:
        if not effects:
            return []
        outcomes = await self._publisher.publish([self._renderer.render(e) for e in effects])
        failed: list[BusEffect] = []
        for effect, outcome in zip(effects, outcomes, strict=True):
            lost = outcome is Published.FULL and isinstance(effect, PutBack)  # nobody asks again
            if outcome is Published.FAILED or lost:
                failed.append(effect)
                continue
            if isinstance(effect, QueueTask) and outcome is not Published.FULL:
                self._note_queued(effect)
            self._metrics.add(EFFECTS, self._partition, type(effect).__name__)
            if outcome is Published.FULL:
                log.warning("a stream is full; the effect is asked again later")
        stops = [effect for effect in effects if isinstance(effect, StopTask)]
        for stop in stops:
            try:
                await self._publisher.purge_subject(Stream.TASKS, stop.task_subject)
            except TransientFault:
                log.warning("a task's subject was not purged", extra={"task": stop.task_id})
        return failed

    def _note_queued(self, task: QueueTask) -> None:
        if self._sweeps and len(self._queued) < QUEUED_MAX:
            self._queued.add(task.subject)
