"""Several gateways at one read model: one keeps it, all answer, one follows when it dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from penstock_contracts.records import EventMeta, ReadEvent
from penstock_contracts.run.v1 import RunCancelled, RunStarted
from penstock_contracts.subjects import Stream
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_contracts.values import MICROSECONDS, Wire
from penstock_contracts.workflow.v1 import WorkflowApplied
from penstock_runtime.host import OTHERS_LEASE_S
from penstock_testkit.builders.workflows import linear, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Gate, World
from penstock_webhook_gateway.following import TELL_CAP_S
from penstock_webhook_gateway.projection import Projection
from penstock_webhook_gateway.waiting import Waiters

FLOW = workflow(nodes=linear("a", "b"))
MOVED_WITHIN_S = 5.0


class CountingGate(Gate):
    """Counts what passes."""

    def __init__(self) -> None:
        super().__init__()
        self.passages: Counter[str] = Counter()

    async def passed(self, operation: str) -> None:
        self.passages[operation] += 1
        await super().passed(operation)


class Second:
    """Another gateway, and what it was told."""

    def __init__(self, world: World, name: str = "gateway-2") -> None:
        self.gate = CountingGate()
        self.told: list[ReadEvent] = []
        self.projection: Projection = world.add_gateway(name, self._note, self.gate)

    def _note(self, applied: Sequence[tuple[ReadEvent, Wire]]) -> None:
        self.told.extend(event for event, _ in applied)

    def knows(self, topic: str, run: str) -> bool:
        return any(e.topic == topic and e.aggregate_id == run for e in self.told)


async def kept(world: World) -> None:
    await world.until(lambda: world.projection.keeping and world.projection.ready)


async def behind(world: World) -> tuple[Second, str]:
    """Have a run end while the keeper of the rows is held up; gives another gateway and the run."""
    await world.ready_for(FLOW)
    await kept(world)
    second = Second(world)
    await world.until(lambda: second.projection.ready)
    world.gateway.hold("commit")
    run = world.trigger("flow")
    await world.until(lambda: world.ended(run))
    return second, run


@in_virtual_time
async def test_a_second_gateway_stands_by_and_is_told_what_the_rows_contain():
    async with World() as world:
        await kept(world)
        second = Second(world)
        await world.until(lambda: second.projection.ready)
        await world.ready_for(FLOW)
        run = world.trigger("flow")
        await world.until(lambda: second.knows("run.run_succeeded.v1", run))
        assert not second.projection.keeping
        shown = await world.views.get("run", "default", run)
        assert shown is not None
        assert shown.state == "succeeded"
        numbers = [(event.partition, event.n) for event in second.told]
        assert len(numbers) == len(set(numbers))


@in_virtual_time
async def test_nobody_is_told_of_what_the_rows_do_not_contain_yet():
    async with World() as world:
        second, run = await behind(world)
        await world.pass_time(1)
        assert not second.knows(RunStarted.TYPE, run)
        world.gateway.let_go()
        await world.until(lambda: second.knows("run.run_succeeded.v1", run))


@in_virtual_time
async def test_the_store_is_asked_less_often_for_what_does_not_come():
    async with World() as world:
        second, run = await behind(world)
        second.gate.passages.clear()
        await world.pass_time(600)
        # Once a second at most, and as often again by whoever waits for the lease.
        assert second.gate.passages["seen"] < 600 * (1 / TELL_CAP_S + 1 / OTHERS_LEASE_S) + 100
        other = world.trigger("flow", "t2")
        await world.until(lambda: world.ended(other))
        world.gateway.let_go()
        await world.until(lambda: second.knows("run.run_succeeded.v1", run))
        await world.until(lambda: second.knows("run.run_succeeded.v1", other))


@in_virtual_time
async def test_events_made_again_is_noticed_while_something_is_awaited():
    async with World() as world:
        second, _ = await behind(world)
        await world.pass_time(1)
        await world.scheduler.kill()
        await world.approval.kill()
        world.bus.recreate(Stream.EVENTS)
        await world.until(lambda: "incarnation" in second.projection.fault)


@in_virtual_time
async def test_a_paused_gateway_is_succeeded_within_five_seconds_and_refused_when_it_wakes():
    async with World() as world:
        await world.ready_for(FLOW)
        await kept(world)
        second = Second(world)
        await world.until(lambda: second.projection.ready)
        world.gateway.hold("commit")
        first = world.trigger("flow", "t1")
        await world.until(lambda: "commit" in world.gateway.waiting)
        world.gateway.hold()
        paused_us = world.clock.now_us()
        await world.until(lambda: second.projection.keeping and second.projection.ready)
        assert (world.clock.now_us() - paused_us) / MICROSECONDS < MOVED_WITHIN_S
        await world.until(lambda: second.knows("run.run_succeeded.v1", first))
        seen = dict(await world.views.seen())
        world.gateway.let_go()  # its commit is of an epoch that is over
        await world.pass_time(10)
        assert dict(await world.views.seen()) == seen
        assert second.projection.keeping
        assert world.projection.ready
        assert not world.projection.keeping
        run = world.trigger("flow", "t2")
        await world.until(lambda: any(e.aggregate_id == run for e, _ in world.applied))
        assert await world.view_hash(first) == await world.store_hash(first)


@in_virtual_time
async def test_a_gateway_goes_on_answering_when_events_is_made_again():
    async with World() as world:
        await world.ready_for(FLOW)
        await kept(world)
        second = Second(world)
        await world.until(lambda: second.projection.ready)
        world.bus.recreate(Stream.EVENTS)
        await world.pass_time(30)
        run = world.trigger("flow")
        await world.until(lambda: second.knows("run.run_succeeded.v1", run))


@in_virtual_time
async def test_an_outage_of_the_store_is_only_a_pause_for_both():
    async with World() as world:
        await world.ready_for(FLOW)
        await kept(world)
        second = Second(world)
        await world.until(lambda: second.projection.ready)
        for gate in (world.gateway, second.gate):
            gate.hold("renew", "acquire", "seen", "commit")
        await world.pass_time(20)
        for gate in (world.gateway, second.gate):
            gate.let_go()
        run = world.trigger("flow")
        await world.until(lambda: second.knows("run.run_succeeded.v1", run))
        await world.until(lambda: world.projection.ready and second.projection.ready)


# --- who repeats a request at another gateway ----------------------------------------------------


def told(cause: str, actor: str, topic: str) -> tuple[ReadEvent, Wire]:
    event = ReadEvent(
        "catalog", 1, "a", 1, topic, EventMeta(0, causation_id=cause, actor=actor), "", {}
    )
    return event, RunCancelled(by="x", ended_us=1)


async def test_what_people_asked_elsewhere_is_held_until_rows_contain_it():
    waiters = Waiters()
    by_people = told("c1", "token:ann", WorkflowApplied.TYPE)
    by_service = told("c2", "service:scheduler", WorkflowApplied.TYPE)
    trigger = told("c3", "token:ann", TriggerMatched.TYPE)  # its row answers
    wanted = [waiters.wants(event) for event, _ in (by_people, by_service, trigger)]
    assert wanted == [True, False, False]
    with waiters.expect("c2"):
        assert waiters.wants(by_service[0])
