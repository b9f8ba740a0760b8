"""Clients of simulated gateways: an answer holds, and whoever gets none may ask again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from penstock_contracts.records import read_record
from penstock_contracts.subjects import CATALOG_PARTITION, Stream
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_testkit.builders.workflows import workflow
from penstock_testkit.checking.history import History
from penstock_testkit.sim import run_seed
from penstock_testkit.sim.clients import (
    ADMIN,
    CREATED,
    OK,
    Clients,
    one_key_is_one_trigger,
    token_of,
)
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.door import Answer, Broken
from penstock_testkit.sim.gateways import RATE_PER_MINUTE
from penstock_testkit.sim.links import Weather
from penstock_testkit.sim.loop import ShuffledLoop, run_shuffled
from penstock_testkit.sim.people import People
from penstock_testkit.sim.plan import Topology, plan_of
from penstock_testkit.sim.processes import Process
from penstock_testkit.sim.world import SimWorld
from penstock_testkit.virtual_time import until

SEED = 3
FLOW = workflow("flow-0", nodes={"n0": {"agent": "work"}})
WITHIN_S = 30.0
BY_API = next(seed for seed in range(100) if all(one.by_api for one in plan_of(seed).asked))


@dataclass(frozen=True)
class Stage:
    """A world without weather, and one gateway in it."""

    world: SimWorld
    clients: Clients
    people: People

    @property
    def gateway(self) -> Process:
        """Give the one gateway."""
        return next(one for one in self.world.processes if one.name == "gateway-1")

    async def trigger(self, key: str, within_s: float = WITHIN_S, who: str = ADMIN) -> Answer:
        """Ask for a run, once."""
        headers = {"Authorization": f"Bearer {token_of(who)}", "Idempotency-Key": key}
        door = self.world.doors["gateway-1"]
        return await door.post("/api/workflows/flow-0/trigger", {"inputs": {}}, headers, within_s)

    def when_published(self, act: Callable[[], object]) -> None:
        """Do something in the very moment in which the first trigger is on the bus."""
        note = self.world.bus.on_stored

        def noted(stream: str, subject: str, payload: bytes) -> None:
            note(stream, subject, payload)
            if stream == Stream.TRIGGERS:
                self.world.bus.on_stored = note
                act()

        self.world.bus.on_stored = noted

    def matched(self) -> Sequence[TriggerMatched]:
        """Read from the store what became of triggers."""
        records = self.world.ledger.records()[CATALOG_PARTITION]
        events = [read_record(record) for record in records]
        return [
            TriggerMatched.model_validate(event.data)
            for event in events
            if event.topic == TriggerMatched.TYPE
        ]


def on_stage(tmp_path: Path, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """Play a scene in a world where the workflow is known."""
    plan = replace(
        plan_of(SEED), topology=Topology(1, 1, 1, 1, 1), documents=[FLOW], repeats=0.0,
        weather=Weather(),
    )  # fmt: skip

    async def tell(loop: ShuffledLoop) -> None:
        world = SimWorld(plan, loop, tmp_path)
        clients = Clients(world.doors, Dice(SEED, "clients"))
        people = People(
            world.bus, world.views, clients, world.clock, world.deeds, Dice(SEED, "people")
        )
        world.start()
        try:
            await people.define(plan.documents)
            await scene(Stage(world, clients, people))
        finally:
            await world.stop()
        assert world.defects == []

    run_shuffled(SEED, tell)


def runs_of(answer: Answer) -> list[str]:
    """Give the runs that a client was told."""
    assert answer.status == CREATED, answer
    told = answer.body["runs"]
    assert isinstance(told, list)
    return [str(one["run_id"]) for one in told if isinstance(one, dict)]


def test_an_accepted_answer_holds_the_runs_that_the_store_has(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        answer = await stage.trigger("once")
        (matched,) = stage.matched()
        assert runs_of(answer) == [run.run_id for run in matched.runs] != []
        assert answer.body["trigger_id"] == matched.trigger_id

    on_stage(tmp_path, scene)


def test_who_is_cut_off_by_a_death_gets_the_same_runs_from_the_next_life(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.when_published(stage.gateway.kill)
        with pytest.raises(Broken, match="broke"):
            await stage.trigger("once")
        with pytest.raises(Broken, match="refused"):
            await stage.trigger("once")
        await until(stage.world.clock, lambda: bool(stage.matched()))
        stage.gateway.start()
        (matched,) = stage.matched()
        assert runs_of(await answered(stage, "once")) == [run.run_id for run in matched.runs]
        assert len(stage.matched()) == 1

    on_stage(tmp_path, scene)


async def answered(stage: Stage, key: str) -> Answer:
    """Ask until there is an answer with runs."""
    async with asyncio.timeout(600):
        while True:
            try:
                answer = await stage.trigger(key)
            except Broken:
                answer = None
            if answer is not None and answer.status == CREATED:
                return answer
            await stage.world.clock.sleep(1.0)


def test_a_paused_gateway_answers_nobody_and_later_does_not_do_it_twice(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.gateway.pause()
        with pytest.raises(Broken, match="in time"):
            await stage.trigger("once", within_s=2.0)
        stage.gateway.resume()
        first = runs_of(await answered(stage, "once"))
        assert runs_of(await answered(stage, "once")) == first
        assert len(stage.matched()) == 1

    on_stage(tmp_path, scene)


def test_a_client_that_gives_up_is_not_the_end_of_what_it_asked_for(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        asking = asyncio.ensure_future(stage.trigger("once"))
        stage.when_published(asking.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(stage.world.clock, lambda: bool(stage.matched()))
        (matched,) = stage.matched()
        assert runs_of(await answered(stage, "once")) == [run.run_id for run in matched.runs]

    on_stage(tmp_path, scene)


def test_the_guard_and_the_limit_of_the_server_stand_at_the_door(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        assert (await stage.trigger("x", who="nobody")).status == 401
        assert (await stage.trigger("x", who="bob")).status == 403
        told = [(await stage.trigger("once")).status for _ in range(RATE_PER_MINUTE)]
        assert told[0] == CREATED
        assert told[-1] == 429

    on_stage(tmp_path, scene)


def test_a_refusal_that_nobody_should_get_is_a_finding(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        clients = stage.clients
        answer = await clients.start("flow-0", "known")
        assert answer is not None
        assert answer.status == CREATED
        (run,) = runs_of(answer)
        assert clients.defects == []
        await clients.start("nothing", "unknown")
        (found,) = clients.defects
        assert "/api/workflows/nothing/trigger" in found
        assert "404" in found
        clients.restored = lambda: True
        await clients.start("nothing", "forgotten")
        assert clients.defects == [found]
        cancelled = await clients.cancel(run, "enough")
        assert cancelled is not None
        assert cancelled.status == OK
        assert cancelled.body["status"] == "cancelled"

    on_stage(tmp_path, scene)


def test_a_trigger_that_nobody_was_told_of_is_a_finding(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        told = str((await stage.trigger("once")).body["trigger_id"])
        history = History(store=stage.world.ledger.records(), ended=True)
        assert list(one_key_is_one_trigger(history, {told})) == []
        (found,) = one_key_is_one_trigger(history, {"another"})
        assert told in found.detail

    on_stage(tmp_path, scene)


def test_a_seed_with_clients_of_the_api_is_the_same_story_again() -> None:
    first, second = run_seed(BY_API), run_seed(BY_API)
    assert first.violations == [], first.line
    assert first.digest == second.digest
