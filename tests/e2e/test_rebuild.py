"""Whatever is derived is thrown away while runs wait, and made again from the store alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing

import aiohttp
import pytest

from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_contracts.records import StoredRecord
from penstock_contracts.registry import read_event
from penstock_contracts.run.v1 import RunStarted
from penstock_core.run.evolve import evolve
from penstock_core.run.snapshot import state_hash
from penstock_core.run.state import RunState
from penstock_runtime.definitions import Definitions
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.published import STORES, assert_events_are_the_store

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(150),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_S = 60.0
GATED: Json = {
    "before": {"agent": "noop", "with": {"payload": {"found": 3}}},
    "review": {"needs": ["before"], "approval": {"title": "Go on?"}},
    "after": {"agent": "noop", "needs": ["review"]},
}


class Store:
    """Reads the scheduler's store as an auditor, in the form that `Definitions` asks for."""

    def __init__(self, stack: RunningStack) -> None:
        self._url = stack.endpoints.auditor_urls["penstock_scheduler"]

    async def load(self, ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        with PostgresAuditor(self._url) as auditor:
            return {wanted: auditor.of_aggregate(wanted) for wanted in ids}


async def folded_hash(stack: RunningStack, run: str) -> str:
    """Give the hash of a run's state, folded from nothing but the store."""
    events = [read_event(event.topic, event.data) for event in stack.stored(run)]
    started = events[0]
    assert isinstance(started, RunStarted)
    plan = await Definitions(Store(stack)).plan(  # type: ignore[arg-type] - reads by id only
        started.tenant, started.workflow, started.definition_digest, started.agents
    )
    state = RunState(run, plan=plan)
    for event in events:
        state = evolve(state, event)
    return state_hash(state)


async def shows(stack: RunningStack, runs: Mapping[str, str]) -> None:
    """Wait until every run is shown with its hash."""

    async def same() -> bool:
        try:
            shown = [(await stack.get(f"/api/runs/{run}"))["state_hash"] for run in runs]
        except (AssertionError, OSError, aiohttp.ClientError):
            return False
        return shown == list(runs.values())

    await stack.until(same, WAIT_S)


async def test_everything_derived_is_rebuilt_while_runs_wait(stack: RunningStack) -> None:
    await stack.apply("gated", GATED)
    await stack.apply("short", {"only": {"agent": "noop", "with": {"payload": [1, "two"]}}})
    done, waiting = await stack.trigger("short"), await stack.trigger("gated")
    await stack.ended(done)
    approval = await stack.pending_approval(waiting)
    before: dict[str, str] = {}
    for run in (done, waiting):
        before[run] = (await stack.get(f"/api/runs/{run}"))["state_hash"]
        assert before[run] == await folded_hash(stack, run)
    await assert_events_are_the_store(stack)

    api = JetStreamApi(await stack.bus())
    created_us = (await api.stream_info("EVENTS")).created_us
    await stack.lose_jetstream()
    await stack.lose_read_model()

    await shows(stack, before)
    await assert_events_are_the_store(stack)
    assert (await api.stream_info("EVENTS")).created_us > created_us
    for run, was in before.items():
        assert was == await folded_hash(stack, run)

    async def approved() -> bool:
        path = f"/api/approvals/{approval}/respond"
        try:
            status, answer = await stack.call("POST", path, {"decision": "approve"})
        except (OSError, aiohttp.ClientError):
            return False
        return status in (200, 409) and answer.get("code") != "unavailable"

    await stack.until(approved, WAIT_S)
    shown = await stack.ended(waiting)
    assert shown["run"]["status"] == "succeeded"
    assert shown["state_hash"] == await folded_hash(stack, waiting)
    names = [event.topic for event in stack.stored(waiting)]
    assert names.count("run.node_succeeded.v1") == 3
    for database, partitions in STORES.items():
        for name in partitions:
            assert stack.chain_fault(name, database) is None


async def test_the_read_model_alone_is_rebuilt_from_events(stack: RunningStack) -> None:
    await stack.apply("short", {"only": {"agent": "noop"}})
    run = await stack.trigger("short")
    shown = await stack.ended(run)
    workflows = await stack.get("/api/workflows")
    await stack.lose_read_model()
    await shows(stack, {run: shown["state_hash"]})
    assert await stack.get("/api/workflows") == workflows


# --- live events --------------------------------------------------------------------------------


async def follow(stack: RunningStack, run: str, seen: list[int]) -> bool:
    """Collect versions of a run's events, resuming behind the last one; True: the run has ended."""
    path = f"/api/runs/{run}/events"
    async with aclosing(stack.frames(path, seen[-1] if seen else 0)) as frames:
        async for frame in frames:
            if frame.get("event") == "end":
                return True
            if "id" in frame:
                assert int(frame["id"]) == frame["data"]["version"]
                seen.append(int(frame["id"]))
    return False


async def test_live_events_resume_after_the_gateway_is_killed(stack: RunningStack) -> None:
    slow = {"agent": "noop", "with": {"sleep_ms": 400}}
    nodes = {f"n{i}": {**slow, "needs": [f"n{i - 1}"] if i else []} for i in range(6)}
    await stack.apply("slow", nodes)
    run = await stack.trigger("slow")
    seen: list[int] = []
    following = asyncio.create_task(follow(stack, run, seen))

    async def some() -> bool:
        return len(seen) >= 4

    await stack.until(some, WAIT_S)
    await stack.kill("webhook-gateway")  # events go on while nobody can hear them
    assert not await following

    async def missed() -> bool:
        return len(stack.stored(run)) > len(seen)

    await stack.until(missed, WAIT_S)

    async def ended() -> bool:
        try:
            return await follow(stack, run, seen)
        except (OSError, AssertionError, aiohttp.ClientError):
            return False

    await stack.until(ended, WAIT_S)
    assert seen == [event.version for event in stack.stored(run)]
    assert stack.stored(run)[-1].topic == "run.run_succeeded.v1"
