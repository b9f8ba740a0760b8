"""The life of one task here: read, checked, claimed, run, reported, acknowledged."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.values import MICROSECONDS, Failure, Phase
from penstock_executor.artifacts import Artifacts, Room
from penstock_executor.claims import Claim, Claims
from penstock_executor.fates import (
    DELAY_AWAY_S,
    Away,
    Drop,
    Fate,
    GiveBack,
    broken,
    cut_short,
    interrupted,
    left_alone,
)
from penstock_executor.growth import Overgrown, within
from penstock_executor.intake import Delivery, buried, read_task
from penstock_executor.landing import Landings, Refused
from penstock_executor.log_stream import LogStream
from penstock_executor.messages import Messages
from penstock_executor.outbox import Outbox
from penstock_executor.outcomes import Ending, ending_of, failed
from penstock_executor.preparing import Prepared, Preparer
from penstock_executor.presence import Presence
from penstock_executor.running import Running, RunningTasks
from penstock_executor.said import with_partial
from penstock_executor.workspaces import Source
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.repositories import Opened
from penstock_runtime.ports.sandbox import ExitReason, Sandbox, SandboxSpec
from penstock_runtime.ports.work import WorkItem
from penstock_runtime.telemetry import metrics as m
from penstock_runtime.telemetry.fields import bind, bind_place
from penstock_runtime.telemetry.trace import handling_of

NONCE_BYTES = 16
DELAY_SILENT_S = 5.0  # a claim without an answer: the scheduler may be away
DELAY_UNPUBLISHED_S = 5.0  # a result that could not be published
DELAY_DUPLICATE_S = 30.0  # a second delivery of what runs here
DELAY_UNREADABLE_S = 30.0  # DEAD did not take it

_SENT = (Published.DONE, Published.ALREADY_THERE)
_log = logging.getLogger(__name__)


def draw_nonce() -> str:
    """Draw a nonce that nobody can guess."""
    return secrets.token_hex(NONCE_BYTES)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt works with; `draw` gives a fresh nonce for each delivery."""

    tasks: RunningTasks
    preparer: Preparer
    landings: Landings
    artifacts: Artifacts
    sandbox: Sandbox
    presence: Presence
    outbox: Outbox
    claims: Claims
    messages: Messages
    clock: Clock
    metrics: m.Metrics
    draw: Callable[[], str] = draw_nonce


class Attempts:
    """Handles deliveries; whatever happens to one, the others go on."""

    def __init__(self, pool: str, tools: Tools) -> None:
        self._pool = pool
        self._tasks = tools.tasks
        self._preparer = tools.preparer
        self._landings = tools.landings
        self._artifacts = tools.artifacts
        self._sandbox = tools.sandbox
        self._presence = tools.presence
        self._outbox = tools.outbox
        self._claims = tools.claims
        self._messages = tools.messages
        self._clock = tools.clock
        self._metrics = tools.metrics
        self._draw = tools.draw

    async def handle(self, item: WorkItem) -> None:
        """See a delivery through to its acknowledgement, or give it back."""
        self._metrics.add(m.TASKS_TAKEN, self._pool)
        try:
            delivery = read_task(item.subject, item.payload)
        except MalformedMessage as fault:
            await self._bury(item, str(fault))
            return
        if self._tasks.find(delivery.task.task_id) is not None:
            await self._give_back(item, GiveBack(DELAY_DUPLICATE_S, "duplicate"))
            return
        _bind(delivery)
        running = Running(item, delivery, beat_us=self._clock.now_us())
        running.handler = running.work = asyncio.current_task()
        self._tasks.add(running)
        self._metrics.set(m.TASKS_RUNNING, len(self._tasks), self._pool)
        try:
            fate = await self._fate(running)
            running.work = None  # the outcome stands: nobody interrupts its report
            await self._settle(running, fate)
        finally:
            self._tasks.remove(running)
            self._metrics.set(m.TASKS_RUNNING, len(self._tasks), self._pool)

    async def _fate(self, running: Running) -> Fate:
        fate: Fate | None = None
        try:
            fate = cut_short(running, await self._work(running))
        except Away as away:
            self._presence.doubt()
            fate = left_alone(running, away)
        except asyncio.CancelledError:
            if running.interruption is None:
                raise  # the process itself ends at once
        except Exception as error:  # noqa: BLE001 - a task boundary: a defect ends this task only
            _log.exception("task failed by a defect of the executor or its sandbox")
            self._presence.doubt()
            fate = broken(running, error)
        finally:
            self._close_logs(running)
        if running.interruption is not None or fate is None:
            if running.work is not None:
                _ = running.work.uncancel()
            return interrupted(running)
        return fate

    def _close_logs(self, running: Running) -> None:
        logs = running.logs
        if logs is None or not logs.printed:
            return
        logs.finish()
        self._metrics.add(m.LOG_LINES, self._pool, amount=logs.printed)
        if logs.dropped:
            self._metrics.add(m.LOG_LINES_DROPPED, self._pool, amount=logs.dropped)

    async def _work(self, running: Running) -> Fate:
        prepared = await self._preparer.prepare(running.delivery)
        if isinstance(prepared, Failure):
            return Ending(None, prepared)
        running.repeats = prepared.repeats
        async with self._artifacts.room() as room:
            given = await self._artifacts.given(running.delivery, prepared, room)
            if isinstance(given, Failure):
                return Ending(None, given)
            return await self._work_in(running, given, room)

    async def _work_in(self, running: Running, prepared: Prepared, room: Room) -> Fate:
        source = prepared.shown.source
        if source is None:
            stopped = await self._claim(running, prepared)
            return stopped or await self._run(running, prepared, prepared.spec, room)
        try:
            async with self._landings.opened(prepared.task, source) as opened:
                stopped = await self._claim(running, prepared)
                return stopped or await self._work_on(running, prepared, source, opened, room)
        except Refused as refusal:
            return Ending(None, refusal.failure)

    async def _claim(self, running: Running, prepared: Prepared) -> Fate | None:
        """Take the right to begin, once everything that could be checked has been."""
        if prepared.repeats:
            return None
        if not await self._presence.available():  # a claim that leads to nothing is spent
            return GiveBack(DELAY_AWAY_S, f"sandbox {ExitReason.UNAVAILABLE.value}")
        nonce, task = self._draw(), prepared.task
        until_us = self._clock.now_us() + int(task.running_s * MICROSECONDS)
        answer = await self._claims.ask(nonce, self._messages.claim(running.delivery, nonce))
        if answer is Claim.REFUSED:
            return Drop("claim refused")
        if answer is Claim.SILENT:
            return GiveBack(DELAY_SILENT_S, "no answer to the claim")
        running.nonce, running.until_us = nonce, min(until_us, task.ends_by_us)
        late = self._preparer.late(prepared)
        return None if late is None else Ending(None, late)

    async def _work_on(
        self, running: Running, prepared: Prepared, source: Source, opened: Opened, room: Room
    ) -> Ending:
        phase = prepared.task.phase
        if phase is Phase.APPLY:
            running.lands_in = source.path
        run = self._run(running, prepared, prepared.spec_with(opened.clone), room)
        try:
            ending = await within(run, opened.clone, prepared.spec.limits.disk_bytes, self._clock)
        except Overgrown as fault:
            error = failed(Code.OUTPUT_TOO_LARGE, f"the agent was ended: {fault}")
            ending = Ending(None, error)
        match phase:
            case Phase.PLAN:
                return await self._landings.plan(prepared, source, opened, ending)
            case Phase.APPLY:
                running.seal()

                def in_time() -> bool:
                    return self._clock.now_us() < running.until_us

                return await self._landings.land(prepared, source, opened, ending, in_time)
            case Phase.RUN:
                return ending

    async def _run(
        self, running: Running, prepared: Prepared, spec: SandboxSpec, room: Room
    ) -> Ending:
        delivery = running.delivery

        def compose(first: int, at_us: int, lines: tuple[tuple[str, str], ...]) -> Outgoing:
            return self._messages.log(delivery, first, at_us, lines)

        logs = running.logs = LogStream(compose, self._outbox.post, prepared.redact)
        running.begun_us = begun_us = self._clock.now_us()
        waited_us = max(begun_us - running.item.queued_us, 0)
        self._metrics.observe(m.TASK_QUEUE_SECONDS, waited_us / MICROSECONDS, self._pool)
        spec = self._artifacts.with_folder(spec, room)
        result = await self._sandbox.run(spec, logs.write)
        logs.finish()
        spent_s = (self._clock.now_us() - begun_us) / MICROSECONDS
        if result.reason in (ExitReason.UNAVAILABLE, ExitReason.LOST):
            raise Away(result.reason, prepared.redact.text(result.detail) or "it does not answer")
        self._metrics.observe(m.TASK_SECONDS, spent_s, self._pool, delivery.task.agent)
        ending = ending_of(result, prepared.judge, prepared.redact, logs.last_line)
        raw_bytes = len(result.output or b"")
        return await self._artifacts.taken(delivery, prepared, room, ending, raw_bytes)

    async def _settle(self, running: Running, fate: Fate) -> None:
        match fate:
            case Ending():
                await self._report(running, fate)
            case GiveBack():
                await self._give_back(running.item, fate)
            case Drop():
                _log.info("task dropped", extra={"reason": fate.reason})
                self._count(running, fate.reason.replace(" ", "_"))
                await self._acknowledge(running.item)

    async def _report(self, running: Running, ending: Ending) -> None:
        ending = with_partial(ending, running.logs.partial if running.logs else None)
        message = self._messages.result(running.delivery, running.nonce, ending)
        outcome = await self._outbox.send(message)
        if outcome not in _SENT:
            _log.error("result not published", extra={"outcome": outcome.value})
            await self._give_back(running.item, GiveBack(DELAY_UNPUBLISHED_S, "unpublished"))
            return
        if ending.error is not None:
            code, text = ending.error.code, ending.error.message
            _log.info("task failed", extra={"code": code, "reason": text})
            self._count(running, code)
        else:
            # The built-in no-ops take no time at all; a line for each would drown the others.
            level = logging.INFO if ending.usage.wall_s > 0 else logging.DEBUG
            _log.log(level, "task succeeded", extra={"wall_s": ending.usage.wall_s})
            self._count(running, "succeeded")
        await self._acknowledge(running.item)

    def _count(self, running: Running, outcome: str) -> None:
        self._metrics.add(m.TASKS_ENDED, self._pool, running.delivery.task.agent, outcome)

    async def _acknowledge(self, item: WorkItem) -> None:
        try:
            await item.ack_sync()
        except TransientFault as fault:
            # It may be delivered again; the scheduler counts the second result as stale.
            self._metrics.add(m.ACK_FAILURES, "TASKS")
            _log.warning("task not acknowledged", extra={"reason": str(fault)})

    async def _give_back(self, item: WorkItem, fate: GiveBack) -> None:
        self._metrics.add(m.TASKS_GIVEN_BACK, self._pool, fate.reason.replace(" ", "_"))
        _log.info("task given back", extra={"reason": fate.reason, "delay_s": fate.delay_s})
        try:
            await item.give_back(fate.delay_s)
        except TransientFault as fault:
            # The server delivers it again by itself when its patience is over.
            _log.warning("task not given back", extra={"reason": str(fault)})

    async def _bury(self, item: WorkItem, reason: str) -> None:
        self._metrics.add(m.TASKS_DEAD, self._pool)
        extra = {"subject": item.subject, "bytes": len(item.payload), "reason": reason}
        _log.error("task that cannot be read", extra=extra)
        subject, parked = buried(item.subject, item.payload, reason)
        if await self._outbox.send(self._messages.dead(subject, parked)) in _SENT:
            await self._acknowledge(item)
        else:
            await self._give_back(item, GiveBack(DELAY_UNREADABLE_S, "unreadable"))


def _bind(delivery: Delivery) -> None:
    task = delivery.task
    bind(
        run=task.run_id,
        node=task.node,
        task=task.task_id,
        attempt=task.attempt,
        agent=task.agent,
    )
    bind_place(handling_of(delivery.traceparent))
