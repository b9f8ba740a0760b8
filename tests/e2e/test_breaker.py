"""An engine that goes away: tasks wait in their queue, one probe at a time, until it is back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from penstock_contracts.ids import executor_id
from penstock_testkit.stack import RunningStack
from tests.e2e import failing_executor
from tests.e2e.bundles import write_agent
from tests.e2e.hands import POOL, Hands, of_topic

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.asyncio(loop_scope="module"),
]
NAME = "hands-1"
NODES = 5  # as many as it takes
ANSWER = {"agent": "doer", "pool": POOL, "with": {"do": "answer({'said': 1})"}}
COMMAND_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(place: Path) -> AsyncGenerator[tuple[RunningStack, Hands, Path]]:
    """A stack, and an executor whose engine is away while the file is there."""
    folder = write_agent(place / "agents", "doer")
    settings = {
        "PENSTOCK_SANDBOX": "bubblewrap",
        "PENSTOCK_AGENT_ROOTS": str(place / "agents"),
        "PENSTOCK_POOLS": f"default,{POOL}",
    }
    switch = place / "the engine is away"
    async with RunningStack.started(place / "state", **settings) as stack:
        await stack.register_bundle(folder)
        hands = Hands(
            stack,
            NAME,
            ops_port=0,
            program=(failing_executor.__file__,),
            PENSTOCK_CAPACITY=str(NODES),
            PENSTOCK_BREAKER_OPEN_S="2",
            **{failing_executor.SWITCH: str(switch)},
        )
        try:
            yield stack, hands, switch
        finally:
            await hands.stop()


def changes(stack: RunningStack) -> list[str]:
    """Give the states that the breaker went through, as the store has them."""
    events = stack.stored(executor_id("default", NAME))
    assert {event.topic for event in events} <= {"executor.breaker_changed.v1"}
    return [event.data["state"] for event in events]


async def listed(stack: RunningStack) -> dict[str, Any]:
    """Give the executor as the command line shows it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "penstock_cli", "executors", "--json"),
        env={**os.environ, "PENSTOCK_HOME": str(stack.home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    found = {item["name"]: item for item in json.loads(said)["items"]}
    shown: dict[str, Any] = found[NAME]
    return shown


async def test_tasks_wait_while_the_engine_is_away_and_run_when_it_is_back(
    engine: tuple[RunningStack, Hands, Path],
):
    stack, hands, switch = engine
    switch.touch()
    await stack.apply("many", {f"n{number}": ANSWER for number in range(NODES)})
    run = await stack.trigger("many")

    async def queued() -> bool:
        return len(of_topic(stack, run, "task_scheduled")) == NODES

    await stack.until(queued)
    await hands.start()

    async def tried_in_vain() -> bool:
        return changes(stack)[:3] == ["OPEN", "HALF_OPEN", "OPEN"]

    await stack.until(tried_in_vain)
    later = await stack.trigger("many")
    await stack.until(lambda: told_open(stack))
    assert [await stack.run_status(one) for one in (run, later)] == ["running"] * 2
    for one in (run, later):
        assert of_topic(stack, one, "attempt_failed") == []
        assert of_topic(stack, one, "node_failed") == []

    switch.unlink()
    for one in (run, later):
        ended = await stack.ended(one)
        assert ended["run"]["status"] == "succeeded", ended
        assert {task["attempt"] for task in of_topic(stack, one, "task_scheduled")} == {1}

    async def closed() -> bool:
        return (await listed(stack))["breaker"]["state"] == "CLOSED"

    await stack.until(closed)
    told = changes(stack)
    assert told == ["OPEN", "HALF_OPEN"] * (len(told) // 2) + ["CLOSED"]


async def test_an_executor_killed_with_an_open_breaker_closes_it_in_the_record_when_it_is_back(
    engine: tuple[RunningStack, Hands, Path],
):
    stack, hands, switch = engine
    await hands.start()
    switch.touch()
    before = len(changes(stack))
    run = await stack.trigger("many")

    async def opened() -> bool:
        return "OPEN" in changes(stack)[before:]

    await stack.until(opened)
    await hands.kill()
    assert changes(stack)[-1] != "CLOSED"
    switch.unlink()
    await hands.start()
    assert (await stack.ended(run))["run"]["status"] == "succeeded"

    async def closed() -> bool:
        return changes(stack)[-1] == "CLOSED"

    await stack.until(closed)


async def told_open(stack: RunningStack) -> bool:
    """Tell whether the command line shows it open, with all there is to know."""
    shown = await listed(stack)
    if shown["breaker"]["state"] != "OPEN" or shown["available"]:
        return False
    assert (shown["pool"], shown["adapter"], shown["alive"]) == (POOL, "bubblewrap", True)
    assert shown["breaker"]["failures"] == NODES
    assert shown["breaker"]["reason"] == failing_executor.OBSTACLE
    return True
