"""A history in which everything is as it should be, and much of what can happen has happened."""

from __future__ import annotations

from functools import cache

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.ids import idempotency_key
from penstock_contracts.run.v1 import TaskScheduled, TaskStarted
from penstock_contracts.values import Phase
from penstock_testkit.builders.workflows import gate, node, workflow
from penstock_testkit.checking.history import Accepted, Effected, History, Observed, Reported
from penstock_testkit.checking.memory import history_in
from penstock_testkit.checking.stories import stories
from penstock_testkit.virtual_time import run_virtually
from penstock_testkit.world import Act, World

FULL = workflow(
    "full",
    nodes={
        "a": node(retry={"attempts": 2, "delay": 1}),
        "ok": gate("a", quorum=2, separation=True),
        "p": node("ok", agent="pay"),
        "f": node("p", agent="patch"),
    },
)
BACK = workflow("back", nodes={"w": node(), "g": gate("w", push_back=["w"]), "z": node("g")})
DOUBT = workflow(
    "doubt",
    nodes={"q": node(agent="pay", retry={"attempts": 2}, timeout={"running": "5s"})},
)
LATE = workflow("late", nodes={"v": gate(expires="30s")})
SLOW = workflow("slow", nodes={"s": node(timeout={"total": "20s"}, retry={"attempts": 2})})
DOCUMENTS = (FULL, BACK, DOUBT, LATE, SLOW)


@cache
def valid() -> History:
    """Give a whole history: every document has run once, and everything has come to rest."""
    return run_virtually(_valid())


async def _valid() -> History:
    async with World() as world:
        world.script.acts[("a", 1)] = Act.failing(again=True)
        world.script.acts[("q", 1)] = Act(silent=True)
        world.script.acts[("s", 1)] = Act(silent=True)
        await world.ready_for(FULL)
        for document in DOCUMENTS[1:]:
            world.apply(document)
        await world.pass_time(1)
        runs = {
            str(one["name"]): world.trigger(str(one["name"]), f"t-{one['name']}")
            for one in DOCUMENTS
        }
        await _decide(world, runs)
        await world.until(lambda: all(map(world.ended, runs.values())), 900)
        await world.until(world.shown)
        await world.pass_time(5)
        bare = history_in((world.ledger, world.approvals), world.bus, world.views)
        now = world.clock.now_us()
        return history_in(
            (world.ledger, world.approvals),
            world.bus,
            world.views,
            accepted=[Accepted(f"msg:t-{name}", (run,), now) for name, run in runs.items()],
            observed=[Observed(run, "running", now - 1) for run in runs.values()],
            effects=_effects(bare),
            results=[
                Reported(runs["full"], "a", 1, Phase.RUN.value, None, now),
            ],
            secrets=(b"never-to-be-seen",),
            caught_up=True,
            ended=True,
        )


async def _decide(world: World, runs: dict[str, str]) -> None:
    full, back, doubt = runs["full"], runs["back"], runs["doubt"]
    await world.until(lambda: world.count(full, "gate_opened") == 1)
    await world.until(lambda: world.count(back, "gate_opened") == 1)
    await world.pass_time(1)
    world.vote(full, "ok", Choice.APPROVE, user="user:bob")
    world.vote(full, "ok", Choice.APPROVE, user="user:eve")
    world.vote(back, "g", Choice.PUSH_BACK, to="w")
    await world.until(lambda: world.count(full, "gate_opened") == 2)
    await world.until(lambda: world.count(back, "gate_opened") == 2)
    await world.pass_time(1)
    world.vote(full, "f", Choice.APPROVE)
    world.vote(back, "g", Choice.APPROVE, attempt=2)
    await world.until(lambda: world.count(doubt, "outcome_unknown") == 1)
    world.settle(doubt, "q", happened=False)


def _effects(history: History) -> list[Effected]:
    """Let every task have had its effect a moment after it was begun, or else scheduled."""
    found: dict[tuple[str, str, int, str], Effected] = {}
    for story in stories(history):
        phases: dict[str, str] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, TaskScheduled):
                phases[event.node] = event.phase.value
            if not isinstance(event, TaskScheduled | TaskStarted):
                continue
            phase = phases[event.node]
            nonce = event.nonce if isinstance(event, TaskStarted) else None
            agent = story.definition.nodes[event.node].agent or ""
            once = agent != "work"
            if phase == Phase.PLAN.value or (once and nonce is None):
                continue
            found[story.run_id, event.node, event.attempt, phase] = Effected(
                story.run_id, event.node, event.attempt, phase, agent, nonce,
                idempotency_key(story.run_id, event.node), once, fact.meta.time_us + 1,
            )  # fmt: skip
    return list(found.values())
