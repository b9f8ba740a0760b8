"""Writes the stored histories: `python -m tests.replay.record`. They are append-only.

A history is what a world's stores held after a scenario, with the hash of each run's state. A
recorded one is never written again: old histories must fold to the same states for ever.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.records import StoredRecord
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_testkit.builders.workflows import DIAMOND, gate, linear, node, workflow
from penstock_testkit.virtual_time import run_virtually
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION

HISTORIES = Path(__file__).parent / "histories"
Scenario = Callable[[World, str], Awaitable[None]]

GATED: dict[str, Any] = {**DIAMOND, "ok": gate("join", title="Go?"), "tell": node("ok")}
FORM: dict[str, Any] = {"type": "object", "properties": {"ticket": {"type": "string"}}}
REVIEWED: dict[str, Any] = {
    "draft": node(),
    "fix": node(
        "draft",
        agent="patch",
        with_={"text": "{{draft.output.done}}", "said": "{{run.feedback}}"},
        approval={"push_back": ["draft", "fix"], "form": FORM},
        retry={"attempts": 2, "delay": "1s", "jitter": 0},
        timeout={"running": "10s"},
    ),
    "tell": node("fix", with_={"ticket": "{{fix.approval.answers.ticket}}"}),
}
RETRY: dict[str, Any] = {"attempts": 3, "delay": "2s", "factor": 2, "cap": "1m", "jitter": 0.3}


async def _let_run(_world: World, _run: str) -> None:
    return


def _voting(choice: Choice) -> Scenario:
    async def vote(world: World, run: str) -> None:
        await world.until(lambda: world.count(run, "gate_opened") == 1)
        await world.pass_time(5)
        world.vote(run, "ok", choice, "as the test wants it")

    return vote


async def _settling(world: World, run: str) -> None:
    await world.until(lambda: world.count(run, "outcome_unknown") == 1)
    await world.pass_time(5)
    world.settle(run, "pay", happened=True, output={"receipt": 7})


async def _reviewing(world: World, run: str) -> None:
    """Send an ancestor back, then approve; the first apply is lost, and did not happen."""
    await world.until(lambda: world.count(run, "gate_opened") == 1)
    world.vote(run, "fix", Choice.PUSH_BACK, "shorter, please", to="draft")
    await world.until(lambda: world.count(run, "gate_opened") == 2)
    world.vote(run, "fix", Choice.APPROVE, attempt=2, answers={"ticket": "T-1"})
    await world.until(lambda: world.count(run, "outcome_unknown") == 1)
    world.settle(run, "fix", attempt=2, happened=False)
    await world.until(lambda: world.count(run, "gate_opened") == 3)
    world.vote(run, "fix", Choice.APPROVE, attempt=3, answers={"ticket": "T-2"})


async def _cancelling(world: World, run: str) -> None:
    await world.until(lambda: world.count(run, "task_scheduled") >= 1)
    await world.pass_time(3)
    world.cancel(run)


SCENARIOS: dict[str, tuple[dict[str, Any], dict[tuple[str, int], Act], Scenario]] = {
    "linear": (linear("a", "b", "c"), {("a", 1): Act({"n": 1.5, "text": "ä"})}, _let_run),
    "diamond-approved": (GATED, {("top", 1): Act({"value": [1]})}, _voting(Choice.APPROVE)),
    "diamond-rejected": (GATED, {("top", 1): Act({"value": 2})}, _voting(Choice.REJECT)),
    "retry": (
        {"a": node(retry=RETRY)},
        {("a", 1): Act.failing(again=True), ("a", 2): Act.failing(again=True)},
        _let_run,
    ),
    "timeout": (
        {"a": node(timeout={"total": "20s"}, on_failure="continue"), "b": node("a"), "c": node()},
        {("a", 1): Act(silent=True)},
        _let_run,
    ),
    "unknown": (
        {"pay": node(agent="pay", timeout={"running": "10s"})},
        {("pay", 1): Act(silent=True)},
        _settling,
    ),
    "plan-reviewed": (REVIEWED, {("fix", 2): Act(silent=True)}, _reviewing),
    "cancelled": ({"a": node(), "ok": gate()}, {("a", 1): Act(silent=True)}, _cancelling),
}


async def _history(name: str) -> dict[str, Any]:
    nodes, acts, scenario = SCENARIOS[name]
    async with World() as world:
        world.script.acts.update(acts)
        await world.ready_for(workflow(nodes=nodes))
        run = world.trigger("flow")
        await scenario(world, run)
        await world.until(lambda: world.ended(run), 900)
        return {
            "run": run,
            "story": world.story(run),
            "state_hash": await world.store_hash(run),
            "events": {
                partition: [_plain(record) for record in world.records(partition)]
                for partition in (CATALOG_PARTITION, RUN_PARTITION)
            },
        }


def _plain(record: StoredRecord) -> Sequence[Any]:
    return [record.aggregate_id, record.version, record.topic, record.state.decode()]


def main() -> None:
    for name in SCENARIOS:
        path = HISTORIES / f"{name}.json"
        if path.exists():
            print(f"{path.name} is recorded already")  # noqa: T201 - a script
            continue
        history = run_virtually(_history(name))
        path.write_text(json.dumps(history, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
