"""The stack as a whole: killed, stopped, twice on one machine, and run by an ordinary user."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.embedded.processes import Identity
from penstock_testkit.detached import DetachedStack
from penstock_testkit.sandbox_probes import processes_marked
from penstock_testkit.stack import RunningStack
from tests.e2e.bundles import open_place, write_agent
from tests.integration.embedded_people import obstacle, open_folder, ordinary

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(150),
]

MARK = f"--mark-{uuid.uuid4()}"  # finds our own processes, nobody else's
GONE_WITHIN_S = 10.0
ANSWER = "answer({'said': 1})"
SETTINGS = {"PENSTOCK_ACK_WAIT_S": "5", "PENSTOCK_GRACE_S": "1"}


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as name:
        yield Path(name)


def chain(*code: str) -> dict[str, object]:
    """Nodes that do one piece of code after the other."""
    return {
        f"n{i}": {"agent": "doer", "with": {"do": do}, "needs": [f"n{i - 1}"] if i else []}
        for i, do in enumerate(code)
    }


@asynccontextmanager
async def up(stack: RunningStack) -> AsyncGenerator[None]:
    try:
        await stack.start()
        yield
    finally:
        await stack.stop()


async def until_running(stack: RunningStack) -> None:
    async def lives() -> bool:
        return bool(processes_marked(MARK))

    await stack.until(lives)


async def nothing_left(stack: DetachedStack, everyone: Sequence[Identity] = ()) -> None:
    """Wait until no process of the agent lives, nor of the stack, nor any that names its folder.

    A process that ends has lost its command line a moment before it has gone.
    """

    async def gone() -> bool:
        marked = processes_marked(MARK) or processes_marked(str(stack.home))
        return not marked and not any(one.alive() for one in everyone)

    await stack.until(gone, GONE_WITHIN_S)


async def test_a_killed_supervisor_leaves_no_orphans_and_the_next_start_recovers(
    place: Path,
) -> None:
    home = place / "a state folder"
    folder = write_agent(place / "agents", "doer", MARK)
    settings = {**SETTINGS, "PENSTOCK_AGENT_ROOTS": str(place / "agents")}
    stack = DetachedStack(home, settings)
    async with up(stack):
        await stack.register_bundle(folder)
        await stack.apply("three", chain(ANSWER, f"time.sleep(1.5); {ANSWER}", ANSWER))
        run = await stack.trigger("three")
        await until_running(stack)

        async def half_way() -> bool:
            topics = [event.topic for event in stack.stored(run)]
            return topics.count("run.task_scheduled.v1") == 2 and bool(processes_marked(MARK))

        await stack.until(half_way)
        everyone = stack.everyone()
        assert len(everyone) == 7
        assert await stack.ended_by(signal.SIGKILL) == -signal.SIGKILL
        await nothing_left(stack, everyone)

        await stack.start()
        assert (await stack.ended(run))["run"]["status"] == "succeeded"
        topics = [event.topic for event in stack.stored(run)]
        assert topics.count("run.node_succeeded.v1") == 3
        assert topics.count("run.run_succeeded.v1") == 1
        assert stack.chain_fault("run-0") is None

        await stack.apply("long", chain("time.sleep(600)"))
        await stack.trigger("long")
        await until_running(stack)
        everyone = stack.everyone()
        assert await stack.ended_by(signal.SIGTERM) == 0
        assert not any(one.alive() for one in everyone)
        await nothing_left(stack, everyone)


async def test_two_instances_run_side_by_side(tmp_path: Path) -> None:
    one = RunningStack(tmp_path / "one", {"PENSTOCK_SANDBOX": "inline"})
    two = RunningStack(tmp_path / "two", {"PENSTOCK_SANDBOX": "inline"})
    async with up(one), up(two):
        runs: list[str] = []
        for stack in (one, two):
            await stack.register_builtin()
            await stack.apply("same", {"only": {"agent": "noop"}})
            runs.append(await stack.trigger("same"))
        for stack, run, other in ((one, *runs), (two, *reversed(runs))):
            assert (await stack.ended(run))["run"]["status"] == "succeeded"
            assert (await stack.call("GET", f"/api/runs/{other}"))[0] == 404


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


async def test_an_ordinary_user_runs_it_with_its_sandbox() -> None:
    if reason := await asyncio.to_thread(obstacle):
        pytest.skip(reason)
    with open_folder() as place:
        folder = write_agent(place / "agents", "doer", MARK)
        settings = {"PENSTOCK_AGENT_ROOTS": str(place / "agents"), "HOME": str(place)}
        stack = DetachedStack(place / ".penstock", settings, ordinary)
        async with up(stack):
            owner = stack.home.stat().st_uid
            assert owner != 0
            assert {uid_of(one.pid) for one in stack.everyone()} == {owner}
            await stack.register_bundle(folder)
            await stack.apply("two", chain(ANSWER, ANSWER))
            shown = await stack.ended(await stack.trigger("two"))
            assert shown["run"]["status"] == "succeeded", shown
        await nothing_left(stack)
