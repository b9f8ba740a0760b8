"""What two faults in a row show and one does not: margins, sweeps, starts that are recorded."""

from __future__ import annotations

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.subjects import Stream
from penstock_runtime.telemetry.metrics import INCARNATIONS
from penstock_testkit.builders.workflows import gate, linear, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from tests.unit.recovering_world import all_is_well, recovered

FLOW = workflow(nodes=linear("a", "b"))
GATED = workflow(nodes={"a": node(), "ok": gate("a"), "b": node("ok")})


@in_virtual_time
async def test_a_store_put_back_within_the_margin_of_the_purge_reads_everything_again():
    async with World() as world:
        await world.ready_for(FLOW)
        await world.until(world.shown)
        copy = world.ledger.keep_copy()
        runs = []
        for number in range(4):
            run = world.trigger("flow", f"t{number}")
            await world.until(lambda run=run: world.ended(run))
            await world.pass_time(180)
            runs.append(run)
        await world.stop_all()
        world.ledger.put_back(copy)
        await recovered(world)
        await world.start_all()
        await world.until(lambda: all(map(world.ended, runs)), 900)
        await all_is_well(world)


@in_virtual_time
async def test_what_is_lost_while_nobody_owns_it_is_asked_for_by_the_next_owner_at_once():
    async with World() as world:
        await world.ready_for(GATED)
        await world.approval.kill()
        run = world.trigger("flow")
        await world.until(lambda: world.count(run, "gate_opened") == 1)
        await world.pass_time(4 * 60)  # past what is asked for again in its own time, until 7 min
        await world.scheduler.kill()
        world.bus.recreate(Stream.APPROVALS)
        world.scheduler = world.start_scheduler()
        world.approval = world.start_approval()
        await world.until(lambda: world.scheduler.ready and world.approval.ready)
        await world.until(lambda: len(world.bus.stream(Stream.APPROVALS).messages) > 0, 5)
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run), 30)


@in_virtual_time
async def test_a_new_incarnation_is_new_once():
    async with World() as world:
        await world.ready_for(FLOW)
        before = world.metrics.of(INCARNATIONS, Stream.TRIGGERS)
        world.bus.recreate(Stream.TRIGGERS)
        await world.until(lambda: world.metrics.of(INCARNATIONS, Stream.TRIGGERS) == before + 1)
        await world.until(lambda: world.scheduler.ready)
        await world.scheduler.kill()
        world.scheduler = world.start_scheduler()
        await world.until(lambda: world.scheduler.ready)
        assert world.metrics.of(INCARNATIONS, Stream.TRIGGERS) == before + 1
