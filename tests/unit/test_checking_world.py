"""Worlds judged in the midst of their work, and a repair that lies behind a gap."""

from __future__ import annotations

from typing import cast

import pytest

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import decode_state, published_form
from penstock_contracts.registry import kind_of, name_of
from penstock_contracts.subjects import event as event_subject
from penstock_runtime.faults import TransientFault
from penstock_testkit.builders.workflows import gate, linear, node, workflow
from penstock_testkit.checking import check
from penstock_testkit.checking.memory import history_in
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.links import Link, LinkedRelayLog, Weather
from penstock_testkit.sim.processes import Life
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION

TRIED = workflow(
    nodes={"a": node(retry={"attempts": 2, "delay": 5}), "ok": gate("a"), "b": node("ok")}
)


@in_virtual_time
async def test_every_promise_is_kept_at_every_moment():
    """The index of what is open as well: a retry is due long before the task would be asked for."""
    async with World() as world:
        world.script.acts[("a", 1)] = Act.failing(again=True)
        world.script.acts[("b", 1)] = Act(after_s=3)
        await world.ready_for(TRIED)
        run = world.trigger("flow")
        ledgers = (world.ledger, world.approvals)
        for moment in range(40):
            await world.pass_time(0.3)
            if moment == 25:
                world.vote(run, "ok", Choice.APPROVE)
            assert check(history_in(ledgers, world.bus, world.views)) == []
        await world.until(lambda: world.ended(run))


@in_virtual_time
async def test_a_reader_goes_on_to_the_repair_behind_a_gap():
    """The middle of a unit comes before its beginning: 2 3 / 1 2 3."""
    async with World() as world:
        await world.ready_for(workflow(nodes=linear("a", "b")))
        await world.until(world.shown)
        world.scheduler.gate.hold("publish_unit")
        run = world.trigger("flow")
        await world.until(lambda: world.ended(run))
        for record in world.records(RUN_PARTITION)[1:3]:
            tenant = decode_state(record.state)[0].tenant
            kind, name = kind_of(record.topic), name_of(record.topic)
            path = event_subject(tenant, kind, record.aggregate_id, name)
            world.bus.store(path, published_form(record))
        await world.pass_time(5)
        world.scheduler.gate.let_go()
        await world.until(world.shown)


class LosesTheSecond:
    """Dice by which the second message of a unit is lost, and nothing else."""

    def __init__(self) -> None:
        self.asked = 0

    def chance(self, share: float) -> bool:
        self.asked += share == LOST
        return share == LOST and self.asked == 3  # the way there, the first, the second


class Alive:
    """A life that nothing happens to."""

    async def breathe(self) -> None:
        """Live."""


LOST = 0.5


@in_virtual_time
async def test_a_unit_of_which_a_message_fails_alone_gets_no_marker():
    async with World() as world:
        weather = Weather(lost=LOST)
        link = Link(cast("Life", Alive()), weather, world.clock, cast("Dice", LosesTheSecond()))
        relay = LinkedRelayLog(world.bus, link)
        await world.ready_for(TRIED)
        unit = [
            (event_subject("default", "run", f"run-{number}", "run_started"), b"{}")
            for number in range(3)
        ]
        told: list[int] = []

        def marker(last: int) -> Marker:
            told.append(last)
            return Marker(
                partition="run-9", epoch=1, first=1, last=3, chain_head="",
                last_event_sequence=last, previous_marker_sequence=0,
            )  # fmt: skip

        with pytest.raises(TransientFault):
            await relay.publish_unit("run-9", unit, marker, 0)
        assert told == []
