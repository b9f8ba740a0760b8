"""Messages that cannot be processed, refusals, purging, time, and the read model."""

from collections.abc import Sequence

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Choice
from penstock_contracts.codes import Code
from penstock_contracts.ids import derive, run_id, task_id
from penstock_contracts.partition.v1 import CommandRejected, MessageRedriven, RedriveMessages
from penstock_contracts.records import published_form
from penstock_contracts.run.v1 import ReportResult, RunStarted, TaskScheduled
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION, Stream
from penstock_contracts.task.v1 import Outcome
from penstock_contracts.trigger.v1 import TriggerIgnored
from penstock_contracts.values import Wire
from penstock_core.decision import Context
from penstock_core.decision import Outcome as Answer
from penstock_core.run.decider import RunDecider
from penstock_core.run.state import RunState
from penstock_runtime.ports.inbox import Received
from penstock_runtime.telemetry.metrics import PARKED, REJECTED
from penstock_testkit.builders.workflows import gate, linear, node, workflow
from penstock_testkit.virtual_time import VirtualClock, in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION, TENANT, raw_of
from penstock_webhook_gateway.kinds import View

FLOW = workflow(nodes=linear("a", "b"))


class Breaking(RunDecider):
    """The run's decider with a defect that a test can mend."""

    def __init__(self) -> None:
        self.on: type[Wire] | None = None
        self.effects_on: type[Wire] | None = None

    def decide(self, state: RunState, command: Wire, context: Context) -> Answer:
        if self.on is not None and isinstance(command, self.on):
            raise ZeroDivisionError("a defect")
        return super().decide(state, command, context)

    def effects(self, before: RunState, event: Wire, after: RunState):
        if self.effects_on is not None and isinstance(event, self.effects_on):
            raise ZeroDivisionError("a defect in an effect")
        return super().effects(before, event, after)


def broken(world: World) -> Breaking:
    """Give all runs a decider with a defect."""
    decider = Breaking()
    vars(world.scheduler.hosts[1]._domain)["decider"] = decider
    return decider


def dead(world: World) -> Sequence[str]:
    return [m.subject for m in world.bus.stream(Stream.DEAD).after(0, "penstock.>")]


# --- parking -------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_cannot_be_decoded_is_parked_and_the_partition_goes_on():
    async with World() as world:
        await world.ready_for(FLOW)
        world.bus.store(subjects.trigger(TENANT, "workflow.flow"), b"{not json")
        world.bus.store(subjects.run(TENANT, RUN_PARTITION, derive("x"), "cancel_run"), b"[]")
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(lambda: len(dead(world)) == 2)
        (trigger,), (command,) = world.parked(CATALOG_PARTITION), world.parked(RUN_PARTITION)
        assert trigger.code == command.code == Code.MALFORMED
        assert raw_of(trigger) == b"{not json"
        assert "not JSON" in trigger.detail
        assert "penstock.default.dead.TRIGGERS.trigger.workflow.flow" in dead(world)
        assert world.metrics.of(PARKED, CATALOG_PARTITION, Code.MALFORMED) == 1
        await world.until(world.shown)
        assert len(await world.views.page(View.DEAD, TENANT)) == 2


@in_virtual_time
async def test_what_was_parked_is_not_parked_again_when_its_stream_is_read_again():
    async with World() as world:
        await world.ready_for(FLOW)
        world.bus.store(subjects.trigger(TENANT, "workflow.flow"), b"{not json")
        world.bus.store(subjects.trigger(TENANT, "workflow.flow"), b"{nor this")
        await world.until(lambda: len(world.parked(CATALOG_PARTITION)) == 2)
        last = world.bus.stream(Stream.TRIGGERS).last_sequence
        world.bus.cut(Stream.TRIGGERS, last - 1)  # the position's message is gone: read all again
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        assert len(world.parked(CATALOG_PARTITION)) == 2


@in_virtual_time
async def test_a_large_parked_message_keeps_its_beginning_and_is_not_put_back():
    async with World() as world:
        await world.ready_for(FLOW)
        world.bus.store(subjects.trigger(TENANT, "x"), b"{" + b"x" * 200_000, {"h": "v" * 20_000})
        await world.until(lambda: bool(world.parked(CATALOG_PARTITION)))
        (parked,) = world.parked(CATALOG_PARTITION)
        assert (len(raw_of(parked)), parked.size_bytes, parked.headers) == (65_536, 200_001, {})
        holder = next(r for r in world.records(CATALOG_PARTITION) if "parked" in r.topic)
        path = subjects.catalog(TENANT, "message", holder.aggregate_id, "redrive_messages")
        for _ in range(2):
            world.send(path, RedriveMessages(aggregate=holder.aggregate_id), "redrive-1")
        await world.until(lambda: bool(world.facts(CATALOG_PARTITION, CommandRejected.TYPE)))
        await world.pass_time(1)
        (told,) = world.facts(CATALOG_PARTITION, CommandRejected.TYPE)
        assert isinstance(told, CommandRejected)
        assert told.code == Code.TOO_LARGE


@in_virtual_time
async def test_a_defect_freezes_its_run_and_redrive_gives_the_messages_back_in_order():
    async with World() as world:
        flow = workflow(nodes={"a": node(), "b": node(), "c": node("a", "b")})
        await world.ready_for(flow)
        decider = broken(world)
        decider.on = ReportResult
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "message_parked") == 2)
        codes = [parked.code for parked in world.parked(RUN_PARTITION)]
        assert codes == [Code.INVARIANT_BROKEN, Code.FROZEN]
        other = world.trigger("flow", "t2")  # the partition goes on
        await world.until(lambda: world.count(other, "message_parked") == 2)
        await world.until(lambda: len(dead(world)) == 4)
        decider.on = None
        await world.pass_time(1)
        for each in (run, other):
            path = subjects.run(TENANT, RUN_PARTITION, each, "redrive_messages")
            world.send(path, RedriveMessages(aggregate=each), actor="user:ops")
        await world.until(lambda: world.ended(run) and world.ended(other))
        assert world.story(run)[-1] == "run_succeeded"
        redriven = [e for e in world.facts(RUN_PARTITION) if isinstance(e, MessageRedriven)]
        assert [event.sequence for event in redriven[:2]] == sorted(
            event.sequence for event in redriven[:2]
        )
        assert redriven[0].by == "user:ops"
        await world.until(world.shown)
        assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_a_defect_in_an_effect_leaves_no_half_decision():
    async with World() as world:
        await world.ready_for(FLOW)
        decider = broken(world)
        decider.effects_on = TaskScheduled
        run = world.trigger("flow")
        await world.until(lambda: bool(world.parked(RUN_PARTITION)))
        assert world.story(run) == []
        (parked,) = world.parked(RUN_PARTITION)
        assert parked.code == Code.INVARIANT_BROKEN
        assert parked.aggregate is None
        decider.effects_on = None
        await world.until(lambda: world.ended(run))  # asked for again after a minute


@in_virtual_time
async def test_a_defect_in_a_timer_freezes_its_run_only():
    async with World() as world:
        retry = {"attempts": 2, "delay": "5s", "jitter": 0}
        await world.ready_for(workflow(nodes={"a": node(retry=retry)}))
        world.script.acts[("a", 1)] = Act.failing(again=True)
        decider = broken(world)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "attempt_failed") == 1)
        decider.on = type(world.scheduler.hosts[1]._domain.timer)
        await world.until(lambda: world.count(run, "message_parked") == 1)
        await world.pass_time(300)
        assert world.scheduler.ready
        assert world.count(run, "message_parked") == 1
        decider.on = None
        path = subjects.run(TENANT, RUN_PARTITION, run, "redrive_messages")
        world.send(path, RedriveMessages(aggregate=run))
        await world.until(lambda: world.ended(run), 300)
        assert world.story(run)[-1] == "run_succeeded"


# --- refusals ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_forged_result_is_only_counted():
    async with World() as world:
        world.script.acts[("a", 1)] = Act(silent=True)
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "task_scheduled") == 1)
        before = len(world.records(RUN_PARTITION))
        forged = ReportResult(
            task_id=task_id(run, "a", 1, "run"), node="a", attempt=1, executor="mallory",
            token="0" * 32, outcome=Outcome.SUCCEEDED,
        )  # fmt: skip
        path = subjects.run(TENANT, RUN_PARTITION, run, "report_result")
        world.send(path, forged)
        world.send(subjects.run(TENANT, RUN_PARTITION, run, "cancel_run"), forged)
        await world.pass_time(2)
        assert len(world.records(RUN_PARTITION)) == before
        assert world.metrics.of(REJECTED, RUN_PARTITION, Code.FORGED) == 2


@in_virtual_time
async def test_a_refusal_is_told_once_whatever_the_number_of_copies():
    async with World() as world:
        await world.ready_for(FLOW)
        unknown = derive("run", "nowhere")
        world.cancel(unknown, "cancel-1")
        world.cancel(unknown, "cancel-1")
        await world.pass_time(2)
        world.cancel(unknown, "cancel-1")
        await world.pass_time(2)
        (told,) = world.facts(RUN_PARTITION, CommandRejected.TYPE)
        assert isinstance(told, CommandRejected)
        assert (told.command_id, told.code) == ("cancel-1", Code.UNKNOWN_RUN)
        assert not world.parked(RUN_PARTITION)
        assert world.causes(RUN_PARTITION) == ["cancel-1"]


@in_virtual_time
async def test_a_cancel_that_comes_before_its_run_does_no_harm():
    async with World() as world:
        await world.ready_for(FLOW)
        run = run_id(TENANT, "flow", "msg:t1")
        world.cancel(run, "too-early")
        await world.pass_time(1)
        assert world.trigger("flow") == run
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        assert not world.parked(RUN_PARTITION)


@in_virtual_time
async def test_an_unknown_workflow_is_said_in_the_triggers_event():
    async with World() as world:
        world.trigger("nowhere")
        await world.until(lambda: bool(world.facts(CATALOG_PARTITION)))
        (ignored,) = world.facts(CATALOG_PARTITION)
        assert isinstance(ignored, TriggerIgnored)
        assert ignored.code == Code.UNKNOWN_WORKFLOW
        assert ignored.detail == "there is no workflow 'nowhere'"


# --- time ----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_vote_that_came_in_time_counts_though_the_service_was_down():
    async with World() as world:
        await world.ready_for(workflow(nodes={"ok": gate(expires="60s")}))
        run = world.trigger("flow")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION)))
        await world.approval.kill()
        world.vote(run, "ok", Choice.APPROVE)
        await world.pass_time(3_600)
        world.approval = world.start_approval()
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"


@in_virtual_time
async def test_a_result_that_came_in_time_counts_though_the_scheduler_was_down():
    async with World() as world:
        await world.ready_for(workflow(nodes={"a": node(timeout={"total": "60s"})}))
        world.script.acts[("a", 1)] = Act(after_s=5)
        run = world.trigger("flow")
        await world.until(lambda: bool(world.script.seen))
        await world.scheduler.kill()
        await world.pass_time(3_600)
        world.scheduler = world.start_scheduler()
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"


class Flooded(MemoryInbox):
    """An inbox in which there is always one message more."""

    async def take(self, limit: int, timeout_s: float) -> Sequence[Received]:
        path = subjects.run(TENANT, RUN_PARTITION, derive("run", "nowhere"), "report_started")
        self._server.store(path, b'{"id":"1","source":"x","type":"run.cancel_run.v1","data":{}}')
        await VirtualClock().sleep(0.05)
        return await super().take(limit, timeout_s)


@in_virtual_time
async def test_timers_fire_though_the_inbox_is_never_empty():
    world = World()
    world.make_inbox = Flooded
    async with world:
        retry = {"attempts": 2, "delay": "5s", "jitter": 0}
        world.script.acts[("a", 1)] = Act.failing(again=True)
        await world.ready_for(workflow(nodes={"a": node(retry=retry)}))
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run), 15)


# --- purging -------------------------------------------------------------------------------------


@in_virtual_time
async def test_inputs_are_purged_behind_a_margin_and_never_the_message_at_the_position():
    async with World() as world:
        await world.ready_for(FLOW)
        first = world.trigger("flow", "t1")
        await world.until(lambda: world.ended(first))
        stream = world.bus.stream(Stream.TRIGGERS)
        await world.pass_time(14 * 60)
        assert list(stream.messages) == [1]
        second = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(second))
        await world.pass_time(3_600)
        assert list(stream.messages) == [2]
        third = world.trigger("flow", "t3")
        await world.until(lambda: world.ended(third))
        assert len(world.facts(RUN_PARTITION, RunStarted.TYPE)) == 3


# --- the read model ------------------------------------------------------------------------------


@in_virtual_time
async def test_the_read_model_passes_over_duplicates_and_gaps():
    async with World() as world:
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        records = world.records(RUN_PARTITION)
        world.bus.recreate(Stream.EVENTS)
        # 2 3 / 1 2 3 4 ... as a unit sent twice over a hole would stand there
        for record in [*records[1:3], *records, *records[2:5]]:
            name = record.topic.split(".")[1]
            path = subjects.event(TENANT, "run", record.aggregate_id, name)
            world.bus.store(path, published_form(record))
        await world.pass_time(60)
        rebuilt = await world.rebuilt_views()
        assert rebuilt._rows == world.views._rows


@in_virtual_time
async def test_a_read_model_built_again_is_identical():
    async with World() as world:
        await world.ready_for(workflow(nodes={"a": node(), "ok": gate("a"), "b": node("ok")}))
        runs = [world.trigger("flow", f"t{number}") for number in range(3)]
        await world.until(lambda: len(world.facts(APPROVAL_PARTITION)) == 3)
        world.vote(runs[0], "ok", Choice.APPROVE)
        world.vote(runs[1], "ok", Choice.REJECT)
        world.cancel(runs[2])
        await world.until(lambda: all(world.ended(run) for run in runs))
        await world.pass_time(2)
        await world.until(world.shown)
        rebuilt = await world.rebuilt_views()
        assert rebuilt._rows == world.views._rows
        for run in runs:
            assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_a_run_that_precedes_its_definition_in_events_is_shown_all_the_same():
    async with World() as world:
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        await world.until(world.shown)
        world.scheduler.gate.hold("publish_unit", "last_sequence", "last_marker")
        world.bus.recreate(Stream.EVENTS)
        for partition in (RUN_PARTITION, CATALOG_PARTITION):  # partitions have no mutual order
            for record in world.records(partition):
                kind, name, _ = record.topic.split(".")
                path = subjects.event(TENANT, kind, record.aggregate_id, name)
                world.bus.store(path, published_form(record))
        rebuilt = await world.rebuilt_views()
        assert rebuilt._rows == world.views._rows
