"""What owners measure of their own work, in memory and in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts.approval.v1 import Choice
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_runtime.ports.inbox import Attachment, Received, Source
from penstock_runtime.ports.ledger import Witness
from penstock_runtime.telemetry import metrics as m
from penstock_runtime.telemetry.metrics import Metric
from penstock_testkit.builders.workflows import gate, linear, node, workflow
from penstock_testkit.fakes.measured import KeptMetrics
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION
from tests.unit.test_runtime_relay import Stage, TroubledLog, owned

PARTITION = "run-0"


class OneByOne(MemoryInbox):
    """Hands out one message a time and tells how many are behind it."""

    def __init__(self, server: MemoryServer, sources: Sequence[Source]) -> None:
        super().__init__(server, sources)
        self._waiting: list[Received] = []

    async def attach(self, positions: Mapping[str, Witness]) -> Attachment:
        self._waiting.clear()
        return await super().attach(positions)

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        if not self._waiting:
            self._waiting += await super().take(limit, timeout_s)
        found, self._waiting = self._waiting[:1], self._waiting[1:]
        return [replace(message, pending=len(self._waiting)) for message in found]

    async def confirm_empty(self) -> bool:
        return not self._waiting and await super().confirm_empty()


class Lags(KeptMetrics):
    """Keeps every lag that was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, float]] = []

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        super().set(metric, value, *labels)
        if metric is m.INBOX_OLDEST:
            self.told.append((self.of(m.INBOX_LAG, *labels), value))


@in_virtual_time
async def test_runs_and_triggers_are_counted_once_whoever_reads_them_again():
    async with World() as world:
        await world.ready_for(workflow(nodes=linear("a", "b")))
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        await world.rebuilt_views()
        assert world.metrics.of(m.TRIGGERS_DECIDED, "matched") == 1
        assert world.metrics.of(m.RUNS_STARTED) == 1
        assert world.metrics.of(m.RUNS_ENDED, "succeeded") == 1
        events = world.metrics.of(m.COMMITTED, RUN_PARTITION)
        assert world.metrics.of(m.COMMIT_EVENTS, RUN_PARTITION) == events
        assert world.metrics.of(m.EVENT_NUMBER, RUN_PARTITION) == events


@in_virtual_time
async def test_an_approval_is_measured_from_request_to_outcome():
    async with World() as world:
        await world.ready_for(workflow(nodes={"ok": gate(), "tell": node("ok")}))
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "gate_opened") == 1)
        await world.pass_time(600)
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.metrics.of(m.APPROVALS_REQUESTED) == 1
        assert world.metrics.of(m.APPROVALS_SETTLED, "granted") == 1
        assert world.metrics.of(m.APPROVAL_SECONDS, "granted") >= 600
        assert world.metrics.of(m.VOTES, Choice.APPROVE) == 1


@in_virtual_time
async def test_an_inbox_that_was_emptied_has_no_lag():
    world = World()
    world.make_inbox = OneByOne
    world.metrics = lags = Lags()
    async with world:
        await world.ready_for(workflow(nodes=linear("a", "b", "c")))
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.pass_time(60)
        for partition in (RUN_PARTITION, APPROVAL_PARTITION):
            assert world.metrics.of(m.INBOX_LAG, partition) == 0
            assert world.metrics.of(m.INBOX_OLDEST, partition) == 0
    behind = [oldest for lag, oldest in lags.told if lag]
    assert behind
    assert all(behind), "what waits has an age"


@in_virtual_time
async def test_what_is_not_relayed_has_an_age_until_it_is():
    stage = Stage()
    row = await stage.stored(await owned(stage.ledger, PARTITION), 1)
    log = TroubledLog(stage.log)
    relay = stage.relay(row, log)
    kept = relay._metrics
    assert isinstance(kept, KeptMetrics)
    began_s = stage.clock.now_us() / 1e6
    await relay.open(replace(row))
    assert kept.of(m.RELAY_OLDEST, PARTITION) == began_s
    relay.offer(await stage.records())
    await relay._publish_unit(await stage.records())
    assert kept.of(m.RELAY_OLDEST, PARTITION) == 0
    assert kept.of(m.RELAYED_NUMBER, PARTITION) == 1
