"""An agent's life in a real stack: registered, known, followed, ended before its time."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.bundles import default_roots
from penstock_cli.agents import manifests_in
from penstock_contracts.ids import agent_id
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.bundles import open_place, write_agent

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
SAY = "print('::penstock-{}', json.dumps({}), flush=True)\n"
HALF = SAY.format("progress", {"fraction": 0.5, "text": "half way"})
FOUND = SAY.format("partial", {"found": [1, 2]})
LATE = (
    "from penstock_agent_sdk import cancelled, partial, progress\n"
    "assert not cancelled()  # it listens from here\n"
    "progress('at work')\n"
    "while not cancelled():\n    time.sleep(0.01)\n"
    "partial({'let_go': True})\ntime.sleep(60)"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncGenerator[Path]:
    with open_place() as name:
        yield Path(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, place: Path
) -> AsyncGenerator[RunningStack]:
    home = tmp_path_factory.mktemp("stack") / "state"
    write_agent(place / "agents", "doer")
    (bundled,) = default_roots()
    async with RunningStack.started(
        home, PENSTOCK_AGENT_ROOTS=f"{place / 'agents'}:{bundled}"
    ) as running:
        await running.register_bundle(place / "agents" / "doer")
        yield running


async def begun(stack: RunningStack, name: str, code: str, **node: object) -> str:
    await stack.apply(name, {"only": {"agent": "doer", "with": {"do": code}, **node}})
    return await stack.trigger(name)


async def said(stack: RunningStack, run: str) -> list[Json]:
    return [frame async for frame in stack.frames(f"/api/runs/{run}/logs")]


def versions(stack: RunningStack, name: str) -> list[str]:
    events = stack.stored(agent_id(DEFAULT_TENANT, name))
    return [event.data["digest"] for event in events if event.topic.endswith("registered.v1")]


async def test_registering_all_twice_makes_no_second_version(stack: RunningStack):
    manifests = manifests_in([], every=True)
    assert {"notifier", "patcher", "security-scanner"} <= set(manifests)
    for changed in (True, False, False):
        for name, manifest in manifests.items():
            status, answer = await stack.call("PUT", f"/api/agents/{name}", manifest.to_data())
            assert (status, answer["changed"]) == (200, changed)
    for name in manifests:
        assert len(versions(stack, name)) == 1


async def test_a_version_is_its_content(stack: RunningStack, place: Path):
    folder = write_agent(place / "others", "changing")
    first = manifests_in([folder], every=False)["changing"]
    await stack.register(first.to_data())
    copied = shutil.copytree(folder, place / "copied" / "under another name")
    assert manifests_in([copied], every=False)["changing"] == first
    (folder / "agent.py").write_text("# other\n")
    second = manifests_in([folder], every=False)["changing"]
    assert second.bundle != first.bundle
    await stack.register(second.to_data())
    assert len(set(versions(stack, "changing"))) == 2


async def test_executors_tell_which_agents_they_have_and_how_much_room(stack: RunningStack):
    async def told() -> bool:
        items = (await stack.get("/api/executors"))["items"]
        if not items:  # its first heartbeat came before there was a place for it
            return False
        (one,) = items
        return one["free"] == one["capacity"] > 0 and bool(one["agents"])

    await stack.until(told)
    (one,) = (await stack.get("/api/executors"))["items"]
    known = {agent["name"]: agent["digest"] for agent in one["agents"]}
    assert {"doer", "notifier", "patcher", "security-scanner"} <= set(known)
    assert known["doer"] == (await stack.get("/api/agents/doer"))["digest"]
    assert one["version"]


async def test_progress_is_seen_while_it_runs(stack: RunningStack):
    run = await begun(stack, "slow", f"{HALF}{FOUND}time.sleep(600)")

    async def seen() -> bool:
        return len([one for one in await said(stack, run) if one["event"] != "end"]) == 2

    await stack.until(seen)
    progress, partial, _ = await said(stack, run)
    assert (progress["event"], progress["data"]["said"]) == (
        "progress", {"fraction": 0.5, "text": "half way"},
    )  # fmt: skip
    assert (partial["event"], partial["data"]["said"]) == ("partial", {"found": [1, 2]})
    shown = await stack.get(f"/api/runs/{run}")
    assert shown["nodes"]["only"]["output"] is None
    assert (await stack.call("POST", f"/api/runs/{run}/cancel", {}))[0] == 200


async def test_what_it_had_stands_beside_the_failure(stack: RunningStack):
    run = await begun(stack, "late", f"{FOUND}time.sleep(600)", timeout={"running": "2s"})
    node = (await stack.ended(run))["nodes"]["only"]
    assert (node["status"], node["error"]["code"]) == ("failed", "timeout_running")
    assert node["error"]["partial"] == {"found": [1, 2]}
    assert node["output"] is None


async def test_a_cancelled_agent_says_what_it_has_in_its_last_second(stack: RunningStack):
    run = await begun(stack, "cancelled", LATE)

    async def at_work() -> bool:
        return any(one["event"] == "progress" for one in await said(stack, run))

    await stack.until(at_work)
    assert (await stack.call("POST", f"/api/runs/{run}/cancel", {}))[0] == 200

    async def heard() -> bool:
        return any(one["data"].get("said") == {"let_go": True} for one in await said(stack, run))

    await stack.until(heard)
