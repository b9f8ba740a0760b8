"""JetStream's whole directory is deleted while runs are in flight: all of them go on and end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_contracts.run.v1 import NodeSucceeded, RunSucceeded
from penstock_contracts.subjects import Stream
from penstock_testkit.chaos.judge import (
    Stored,
    all_ended,
    events_are_the_store,
    results_once,
    runs_ended,
    views_are_folds,
)
from penstock_testkit.stack import RunningStack
from tests.e2e.published import assert_events_are_the_store

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.slow]

STEPS = 5
AT_ONCE = 100
STARTED_WITHIN_S = 120.0
WORKFLOW = "in-flight"


def chain(nap_ms: int) -> dict[str, object]:
    return {
        f"n{i}": {
            "agent": "noop",
            "with": {"sleep_ms": nap_ms, "payload": {"step": i}},
            "needs": [f"n{i - 1}"] if i else [],
        }
        for i in range(STEPS)
    }


async def begun(stack: RunningStack, runs: int) -> list[str]:
    """Start runs by messages on the bus, and wait until the store has each of them."""
    subject = subjects.trigger("default", f"workflow.{WORKFLOW}")
    keys = [f"flight-{number}" for number in range(runs)]
    for start in range(0, runs, AT_ONCE):
        _ = await asyncio.gather(
            *(
                stack.publish(Stream.TRIGGERS, subject, b'{"inputs":{}}', key)
                for key in keys[start : start + AT_ONCE]
            )
        )
    ids = [run_id("default", WORKFLOW, f"msg:{key}") for key in keys]

    async def all_are() -> bool:
        stored = await asyncio.to_thread(Stored, stack)
        return stored.runs.keys() >= set(ids)

    await stack.until(all_are, STARTED_WITHIN_S)
    return ids


async def lost_in_flight(home: Path, runs: int, nap_ms: int, ends_within_s: float) -> None:
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack:
        await stack.register_builtin()
        await stack.apply(WORKFLOW, chain(nap_ms))
        ids = await begun(stack, runs)
        before = await asyncio.to_thread(Stored, stack)
        open_before = len(list(runs_ended(before)))
        await stack.lose_jetstream()
        assert open_before > runs // 2, "too few were in flight"

        assert await all_ended(stack, ends_within_s) == {}
        stored = await asyncio.to_thread(Stored, stack)
        assert stored.runs.keys() == set(ids)
        assert list(runs_ended(stored)) == []
        assert list(results_once(stored)) == []
        for run in ids:
            topics = [event.topic for event in stored.runs[run]]
            assert topics[-1] == RunSucceeded.TYPE
            assert topics.count(NodeSucceeded.TYPE) == STEPS
        assert stored.chains == {}
        await assert_events_are_the_store(stack)
        faults, _ = await events_are_the_store(stack, stored)  # copies are legal
        assert faults == []
        assert await views_are_folds(stack, stored) == ([], runs)


@pytest.mark.timeout(300)
async def test_sixty_runs_in_flight_outlive_the_bus(tmp_path: Path) -> None:
    await lost_in_flight(tmp_path / "state", 60, 800, ends_within_s=180)


@pytest.mark.long
@pytest.mark.timeout(1_200)
async def test_a_thousand_runs_in_flight_outlive_the_bus(tmp_path: Path) -> None:
    await lost_in_flight(tmp_path / "state", 1_000, 3_000, ends_within_s=600)
